"""Pairwise diversity: the mean distance between fakes, beside that between reals."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from typing_extensions import override

from lightning_gans.metrics.distances import mean_distance
from lightning_gans.metrics.feature_score import KeptFeatures


class PairwiseDiversity(KeptFeatures):
    """Mean Euclidean distance between two fakes over that between two reals; 1 for fakes as varied as the reals.

        diversity = mean_{i≠j} ‖f_i − f_j‖ / mean_{i≠j} ‖r_i − r_j‖

    Near 0 where the generator has collapsed to one sample, whichever it is; above 1 for noise, so it does not measure
    quality. Uses all pairs, in blocks: N² · D operations.

    Args:
        features: the feature network; None compares the samples themselves, flattened.

    Raises:
        ValueError: if all real samples are equal.
    """

    name = "diversity"
    captions: ClassVar[dict[str, str]] = {"diversity": "Mean distance between generated samples: their variety."}

    def __init__(self, features: nn.Module | None = None) -> None:
        super().__init__(features)

    @override
    def compute(self) -> Tensor:
        """Return the ratio, 0 and above."""
        real, fake = map(mean_distance, self.both())
        if real == 0:
            raise ValueError(
                "PairwiseDiversity: all real samples are equal, so that the ratio is undefined; give real samples that "
                "differ, or leave this score out."
            )
        return fake / real
