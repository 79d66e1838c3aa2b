"""Nearest-neighbour distances of fakes to real samples, which show copies."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from lightning_gans.metrics.distances import distance_blocks, distances_to_neighbours
from lightning_gans.metrics.feature_score import KeptFeatures


class NearestNeighbour(KeptFeatures):
    """How close fakes are to their nearest real sample, beside how close reals are to their nearest other real.

        nn_ratio   mean_f min_r ‖f − r‖ / mean_r min_{r'≠r} ‖r − r'‖
        nn_closer  probability that a fake is closer to the reals than a real is to the other reals; ties count half

    New samples of the reals' distribution have 1 and 0.5; copies of the reals 0 and 1; poor samples have a ratio above
    1 and a probability near 0. To detect memorisation the reals must be the training set: give `Evaluation` the split
    train. `nn_closer` is the Mann–Whitney statistic of Meehan's test with the whole space as one cell, and with the
    distances of each real to the others in place of those of held-out samples. N² · D operations, in blocks.

    Args:
        features: the feature network; None compares the samples themselves, flattened.

    Raises:
        ValueError: if every real sample has another equal to it.

    Reference:
        Meehan, Chaudhuri, Dasgupta, "A Non-Parametric Test to Detect Data-Copying in Generative Models", AISTATS 2020,
        arXiv 2004.05675.
    """

    name = "nn_ratio"
    figure_names = ("nn_ratio", "nn_closer")
    captions: ClassVar[dict[str, str]] = {
        "nn_ratio": "Distance to the nearest real sample over that among real ones: about 1 if new, 0 for copies.",
        "nn_closer": "How often generated samples are nearer to real ones than these are: 0.5 if new, 1 for copies.",
    }

    def __init__(self, features: nn.Module | None = None) -> None:
        super().__init__(features)

    @override
    def compute(self) -> dict[str, Tensor]:
        """Return the ratio, 0 and above, and the probability, 0–1."""
        real, fake = self.both()
        among = distances_to_neighbours(real, 1).double()
        if not among.any():
            raise ValueError(
                "NearestNeighbour: every real sample has another equal to it, so that the ratio is undefined; give "
                "real samples that differ, or leave this score out."
            )
        to_real = torch.cat([distances.min(1).values for _, distances in distance_blocks(fake, real)]).double()
        ranked = among.sort().values
        below, up_to = (torch.searchsorted(ranked, to_real, right=right) for right in (False, True))
        closer = 1 - (below + up_to).double().mean() / (2 * len(real))
        return {"nn_ratio": to_real.mean() / among.mean(), "nn_closer": closer}
