"""What scores share that compare samples through the features of a network."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gans.metrics.score import Score


class FeatureScore(Score):
    """A score that sees samples through a frozen feature network, or as they are, flattened.

    Args:
        features: maps samples to features (N, num_features), such as `DigitFeatures`; None compares the samples
            themselves: points, or pixels.
        settings: of a class of torchmetrics that the score builds on.

    Raises:
        ValueError: if `features` is no network with `num_features`, or does not give features (N, num_features).
    """

    def __init__(self, features: nn.Module | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        if features is not None and not isinstance(getattr(features, "num_features", None), int):
            raise ValueError(
                f"{type(self).__name__}(features={type(features).__name__}): expected a network with num_features, the "
                "width of what it returns; set it, or use DigitFeatures, ImageNetFeatures or InceptionFeatures."
            )
        self._hide(features)

    @property
    def features(self) -> nn.Module | None:
        """The feature network, frozen, which is no part of the module."""
        return self.network

    def fit_data(self, data: Any) -> None:
        """Try the feature network on one blank sample of the data's shape."""
        if hasattr(data, "sample_shape"):
            with torch.no_grad():
                self.extract(torch.zeros(1, *data.sample_shape, device=self.device))

    def extract(self, samples: Tensor) -> Tensor:
        """Map samples to features (N, D), float32."""
        self.check_samples(samples)
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
    """A feature score that keeps every feature vector: 4 · D bytes a sample, and all processes' together at the end.

    Args:
        features: the feature network; None compares the samples themselves, flattened.
        settings: of a class of torchmetrics that the score builds on.
    """

    real_features: list[Tensor]
    fake_features: list[Tensor]

    def __init__(self, features: nn.Module | None = None, **settings: Any) -> None:
        super().__init__(features, **settings)
        self.add_state("real_features", [], dist_reduce_fx="cat")
        self.add_state("fake_features", [], dist_reduce_fx="cat")

    def update(self, samples: Tensor, real: bool) -> None:
        """Keep the features of samples (N, …) of one kind."""
        (self.real_features if real else self.fake_features).append(self.extract(samples))

    def both(self) -> tuple[Tensor, Tensor]:
        """Features of the reals and of the fakes, each in an order that does not depend on how they came."""
        return self._kept("real", self.real_features), self._kept("fake", self.fake_features)

    def _kept(self, kind: str, state: list[Tensor] | Tensor) -> Tensor:
        parts = state if isinstance(state, list) else [state]  # processes have joined them
        self.check_count(kind, sum(map(len, parts)))
        return in_fixed_order(torch.cat(parts))


def in_fixed_order(x: Tensor) -> Tensor:
    """Rows of x (N, …) sorted along one fixed direction, so that draws among them do not depend on how they came."""
    flat = x.flatten(1)
    direction = torch.arange(1, flat.shape[1] + 1, device=x.device).mul(math.sqrt(2)).cos().double()
    return x[torch.cat([part.double() @ direction for part in flat.split(4096)]).argsort(stable=True)]
