"""Kernel distance between the features of real and generated samples: KID, with Inception's features."""

from __future__ import annotations

import warnings
from typing import ClassVar

from torch import Tensor, nn
from torchmetrics.image.kid import KernelInceptionDistance

from lightning_gans.metrics.feature_score import KeptFeatures
from lightning_gans.metrics.score import seeded, whole
from lightning_gans.networks.features import InceptionFeatures


class KernelDistance(KeptFeatures, KernelInceptionDistance):
    """Squared maximum mean discrepancy of features, by the kernel k(x, y) = (xᵀy / D + 1)³, over random subsets.

        mean over subsets of  mean_{i≠j} k(r_i, r_j) + mean_{i≠j} k(f_i, f_j) − 2 mean_{i,j} k(r_i, f_j)

    Called `kid` with `InceptionFeatures`, else `kd`; `kd_std` is the standard deviation over the subsets. Unbiased:
    0 on average at equal distributions, at any number of samples, and hence sometimes below 0; prefer it to the
    Fréchet distance where samples are few. The distance is torchmetrics', on subsets that follow `seed`; the defaults
    take 20 s on one core for 2,048 features, and 2 s for 128.

    Args:
        features: the feature network; None compares the samples themselves, flattened.
        subsets: number of subsets, at least 1.
        subset_size: samples of each kind in a subset, at least 2, and at most as many as there are.
        seed: of the subsets.

    Raises:
        ValueError: if an argument is out of its range, or there are fewer samples than `subset_size`.

    Reference:
        Bińkowski, Sutherland, Arbel, Gretton, "Demystifying MMD GANs", ICLR 2018, arXiv 1801.01401.
    """

    captions: ClassVar[dict[str, str]] = {
        "kd": "Kernel distance between features of real and of generated samples. Lower is better.",
        "kd_std": "Standard deviation of kd over its subsets of samples.",
        "kid": "Kernel Inception distance between real and generated samples. Lower is better.",
        "kid_std": "Standard deviation of kid over its subsets of samples.",
    }

    def __init__(
        self, features: nn.Module | None = None, subsets: int = 100, subset_size: int = 1000, seed: int = 0
    ) -> None:
        whole(self, "subsets", subsets, 1)
        whole(self, "subset_size", subset_size, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the memory that it takes, which KeptFeatures tells
            super().__init__(features, feature=nn.Identity(), subsets=subsets, subset_size=subset_size)
        self.seed = whole(self, "seed", seed, 0)
        self.name = "kid" if isinstance(features, InceptionFeatures) else "kd"
        self.least_samples = subset_size

    def compute(self) -> dict[str, Tensor]:  # type: ignore[override]
        """Mean and standard deviation over the subsets."""
        kept = self.real_features, self.fake_features
        real, fake = self.both()
        try:
            self.real_features, self.fake_features = [real.double()], [fake.double()]
            with seeded(self.seed):
                mean, deviation = KernelInceptionDistance.compute(self)
        finally:
            self.real_features, self.fake_features = kept
        return {self.name: mean, f"{self.name}_std": deviation}
