"""Fréchet distance between the features of real and generated samples: FID, with Inception's features."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from typing_extensions import override

from lightning_gans.metrics.feature_score import FeatureScore
from lightning_gans.networks.features import InceptionFeatures


class FrechetDistance(FeatureScore, FrechetInceptionDistance):
    """Fréchet distance between two Gaussians with the mean and covariance of real and of generated features.

        ‖μ_r − μ_f‖² + tr(Σ_r + Σ_f − 2 (Σ_r Σ_f)^½)

    Called `fid` with `InceptionFeatures`, else `fd`; figures of different feature networks are not comparable. It
    decreases with the number of samples, even for equal distributions, so compare figures of equal numbers only. The
    distance is torchmetrics'. It keeps sums, in float64: 2 · D² · 8 bytes, 64 MiB for Inception.

    Args:
        features: the feature network; None compares the samples themselves, flattened.

    Raises:
        ValueError: if there are fewer samples than features + 1, whose covariance would be singular.

    Reference:
        Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter, "GANs Trained by a Two Time-Scale Update Rule Converge to
        a Local Nash Equilibrium", NeurIPS 2017, arXiv 1706.08500.
    """

    for_fewer_samples = "use features of fewer dimensions"
    captions: ClassVar[dict[str, str]] = {
        "fd": "Fréchet distance between features of real and of generated samples. Lower is better.",
        "fid": "Fréchet Inception distance between real and generated samples. Lower is better.",
    }

    def __init__(self, features: nn.Module | None = None) -> None:
        super().__init__(features, feature=_ExtractedFeatures())
        self.name = "fid" if isinstance(features, InceptionFeatures) else "fd"
        if self.features is not None:
            self._allocate(self.features.num_features)

    @override
    def fit_data(self, data: Any) -> None:
        """Run the feature network on the data's shape, which also tells how many samples are needed."""
        super().fit_data(data)
        if self.features is None and hasattr(data, "sample_shape"):
            self._allocate(math.prod(data.sample_shape))

    @override
    def update(self, samples: Tensor, real: bool) -> None:
        features = self.extract(samples, real)
        self._allocate(features.shape[1])
        FrechetInceptionDistance.update(self, features, real)

    @override
    def compute(self) -> Tensor:
        """Return the distance, in units of the features squared."""
        self.check_count("real", int(self.real_features_num_samples))
        self.check_count("fake", int(self.fake_features_num_samples))
        return FrechetInceptionDistance.compute(self)

    def _allocate(self, width: int) -> None:
        self.least_samples = width + 1
        for kind in ("real", "fake"):
            for name, shape in (f"{kind}_features_sum", (width,)), (f"{kind}_features_cov_sum", (width, width)):
                state = getattr(self, name)
                if not state.numel():
                    empty = torch.zeros(shape, dtype=torch.float64, device=self.device)
                    self.add_state(name, empty, dist_reduce_fx="sum")
                elif state.shape != shape:
                    raise ValueError(
                        f"FrechetDistance: samples have {width} numbers each, and earlier ones {len(state)}; give "
                        "samples of one size, or a feature network."
                    )


class _ExtractedFeatures(nn.Module):
    """The feature network for torchmetrics: the identity, since `update` passes features."""

    num_features = 0  # `_allocate` sets the sizes of the states

    def forward(self, x: Tensor) -> Tensor:
        return x
