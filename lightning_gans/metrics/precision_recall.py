"""Precision and recall of samples, by balls that reach to each sample's k-th neighbour."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.metrics.distances import distance_blocks, distances_to_neighbours
from lightning_gans.metrics.feature_score import KeptFeatures


class PrecisionRecall(KeptFeatures):
    """Share of fakes that look real, and share of reals that the fakes cover.

        precision  share of fakes in the ball of some real sample
        recall     share of reals in the ball of some fake

    The ball of a sample reaches to its k-th nearest other sample of its kind. Low precision means poor quality, low
    recall means lost variety. Both depend on the number of samples. An outlier among the reals has a large ball, which
    inflates precision; `DensityCoverage` is more robust. N² · D operations, distances in blocks; 10,000 samples of
    2,048 features take half a minute on one core.

    Args:
        features: the feature network; None compares the samples themselves, flattened.
        k: which neighbour the balls reach to, at least 1.

    Raises:
        ValueError: if `k` is out of its range, or there are not more than k samples of a kind.

    Reference:
        Kynkäänniemi, Karras, Laine, Lehtinen, Aila, "Improved Precision and Recall Metric for Assessing Generative
        Models", NeurIPS 2019, arXiv 1904.06991.
    """

    name = "precision_recall"
    figure_names = ("precision", "recall")
    for_fewer_samples = "lower its k"
    captions: ClassVar[dict[str, str]] = {
        "precision": "Share of generated samples that lie among real ones: their quality. Higher is better, up to 1.",
        "recall": "Share of real samples that lie among generated ones: their variety. Higher is better, up to 1.",
    }

    def __init__(self, features: nn.Module | None = None, k: int = 3) -> None:
        super().__init__(features)
        arguments.whole(self, 1, k=k)
        self.k = k
        self.least_samples = k + 1

    @override
    def compute(self) -> dict[str, Tensor]:
        real, fake = self.both()
        real_radii, fake_radii = distances_to_neighbours(real, self.k), distances_to_neighbours(fake, self.k)
        precise = torch.zeros(len(fake), dtype=torch.bool, device=fake.device)
        recalled = torch.zeros(len(real), dtype=torch.bool, device=real.device)
        for rows, distances in distance_blocks(fake, real):
            precise[rows] = (distances <= real_radii).any(1)
            recalled |= (distances <= fake_radii[rows, None]).any(0)
        return {"precision": precise.double().mean(), "recall": recalled.double().mean()}
