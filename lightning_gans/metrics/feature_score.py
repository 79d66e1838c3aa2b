"""What scores that compare samples through the features of a network share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from lightning_gans.metrics.score import Score


class FeatureScore(Score):
    """A score that sees samples through a frozen feature network, or as they are, flattened.

    Args:
        features: maps samples to features (N, num_features), such as `DigitFeatures`; None compares the samples
            themselves: points, or pixels.
        settings: arguments of the torchmetrics class that the score builds on.

    Raises:
        ValueError: if `features` is not a network with `num_features`, or does not return features (N, num_features).
    """

    def __init__(self, features: nn.Module | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        if features is not None and not isinstance(getattr(features, "num_features", None), int):
            raise ValueError(
                f"{type(self).__name__}(features={type(features).__name__}): expected a network with num_features, the "
                "width of what it returns; set it, or use DigitFeatures, ImageNetFeatures or InceptionFeatures."
            )
        if features is not None:
            self.hide(features)

    @property
    def features(self) -> Any:
        """The feature network, frozen and hidden; None where the score compares the samples themselves."""
        return self.network

    @override
    def fit_data(self, data: Any) -> None:
        """Run the feature network on one blank sample of the data's shape, to refuse data that does not fit."""
        if hasattr(data, "sample_shape"):
            with torch.no_grad():
                self.extract(torch.zeros(1, *data.sample_shape, device=self.device))

    def extract(self, samples: Tensor, real: bool | None = None) -> Tensor:
        """Return the features (N, D) of samples, float32; `real` as in `check_samples`."""
        self.check_samples(samples, real)
        samples = samples.detach().float()
        if self.features is None:
            return samples.flatten(1)
        features = self.features(samples).float()
        expected = (len(samples), self.features.num_features)
        if features.shape != expected:
            raise ValueError(
                f"{type(self).__name__}: {type(self.features).__name__} returned shape {tuple(features.shape)}, "
                f"expected {expected}; correct its num_features or its forward."
            )
        return features


class KeptFeatures(FeatureScore):
    """A feature score that keeps every feature vector, 4 · D bytes a sample; processes gather all of them at the end.

    Args:
        features: the feature network; None compares the samples themselves, flattened.
        settings: arguments of the torchmetrics class that the score builds on.
    """

    real_features: list[Tensor]
    fake_features: list[Tensor]

    def __init__(self, features: nn.Module | None = None, **settings: Any) -> None:
        super().__init__(features, **settings)
        self.add_state("real_features", [], dist_reduce_fx="cat")
        self.add_state("fake_features", [], dist_reduce_fx="cat")

    @override
    def update(self, samples: Tensor, real: bool) -> None:
        (self.real_features if real else self.fake_features).append(self.extract(samples, real))

    def both(self) -> tuple[Tensor, Tensor]:
        """Return the features of the reals and of the fakes, each in an order that does not depend on how they came."""
        return self.joined("real", self.real_features), self.joined("fake", self.fake_features)
