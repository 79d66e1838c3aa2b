"""Density and coverage of samples, by the balls that reach each real sample's k-th neighbour."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from lightning_gans.metrics.distances import distance_blocks, distances_to_neighbours
from lightning_gans.metrics.feature_score import KeptFeatures
from lightning_gans.metrics.score import whole


class DensityCoverage(KeptFeatures):
    """How deep fakes lie among the reals, and the share of reals that have a fake nearby.

        density   mean over fakes of (number of balls of reals around it) / k; 1 for fakes like the reals, or above
        coverage  share of reals whose ball holds a fake; 1 − ½ᵏ or nearly, for fakes like the reals and as many

    The ball of a real sample reaches to its k-th nearest other real one, without its edge. Balls of reals alone make
    the two sturdier against outliers than `PrecisionRecall`. N² · D operations, distances in blocks; 10,000 by 2,048
    take half a minute on one core.

    Args:
        features: the feature network; None compares the samples themselves, flattened.
        k: which neighbour the balls reach, at least 1.

    Raises:
        ValueError: if `k` is out of its range, there are not more than k samples of a kind, or every real sample has
            k others equal to it, whose balls are empty.

    Reference:
        Naeem, Oh, Uh, Choi, Yoo, "Reliable Fidelity and Diversity Metrics for Generative Models", ICML 2020,
        arXiv 2002.09797.
    """

    name = "density_coverage"
    captions: ClassVar[dict[str, str]] = {
        "density": "How densely real samples surround generated ones: their quality. 1 is as dense as real samples.",
        "coverage": "The share of real samples with a generated one nearby: their variety. Higher is better, up to 1.",
    }

    def __init__(self, features: nn.Module | None = None, k: int = 5) -> None:
        super().__init__(features)
        self.k = whole(self, "k", k, 1)
        self.least_samples = k + 1

    def compute(self) -> dict[str, Tensor]:
        """Density, 0 and above, and coverage, 0–1."""
        real, fake = self.both()
        radii = distances_to_neighbours(real, self.k)
        if not radii.any():
            raise ValueError(
                f"DensityCoverage(k={self.k}): every real sample has {self.k} others equal to it, so that density and "
                "coverage are undefined; give real samples that differ, or leave this score out."
            )
        inside, covered = torch.zeros(2, dtype=torch.long, device=radii.device)
        for rows, distances in distance_blocks(real, fake):
            within = distances < radii[rows, None]
            inside += within.sum()
            covered += within.any(1).sum()
        return {"density": inside.double() / (self.k * len(fake)), "coverage": covered.double() / len(real)}
