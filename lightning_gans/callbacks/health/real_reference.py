"""What every reading compares its few fakes with: a few hundred real samples, in pixels or coordinates."""

from __future__ import annotations

import torch
from torch import Tensor


class RealReference:
    """Real samples, flattened, and what is measured of them once.

    Args:
        x: the samples (N, …).
        labels: their labels (N,), where the GAN is conditional.
    """

    def __init__(self, x: Tensor, labels: Tensor | None = None):
        self.x = x.flatten(1).float()
        self.labels = labels
        self._spread = mean_of_pairs(torch.cdist(self.x, self.x))
        self._unit = torch.where(self._spread > 0, self._spread, torch.nan)  # nothing is a multiple of no variety

    def figures(self, fake: Tensor, among: Tensor, before: tuple[Tensor, Tensor] | None) -> dict[str, Tensor]:
        """Return the figures of fakes beside the real samples, and beside earlier fakes.

        Args:
            fake: (N, features).
            among: their mean distance.
            before: the fakes of the same latents at the last reading, and their mean distance.
        """
        across = torch.cdist(self.x, fake).mean()
        energy = 2 * across - self._spread - among
        figures = {"diversity": among / self._unit, "energy": energy / (2 * across)}
        if before is not None:
            fake_before, among_before = before
            between = torch.cdist(fake_before, fake)
            moved = 2 * between.mean() - among - among_before
            figures["shift"] = moved / (2 * between.mean()).clamp_min(1e-12)
            figures["movement"] = (fake - fake_before).norm(dim=1).mean() / self._unit
        return figures

    def sensitivity(self, fake: Tensor, labels: Tensor | None) -> Tensor:
        """Return the mean distance between fakes over that between real samples, within classes where there are any."""
        if labels is None or self.labels is None:
            return mean_of_pairs(torch.cdist(fake, fake)) / self._unit
        spreads = []
        for kind, kinds in ((fake, labels), (self.x, self.labels)):
            same = (kinds[:, None] == kinds) & ~torch.eye(len(kinds), dtype=torch.bool, device=kinds.device)
            spreads.append(torch.cdist(kind, kind)[same].mean())
        return spreads[0] / torch.where(spreads[1] > 0, spreads[1], torch.nan)


def mean_of_pairs(distances: Tensor) -> Tensor:
    """Return the mean over pairs of different samples of a distance matrix (N, N)."""
    number = len(distances)
    return distances.sum() / max(1, number * (number - 1))
