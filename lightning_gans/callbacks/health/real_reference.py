"""The real samples with which readings compare generated ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_gans.gan import GAN
from lightning_gans.step import Batch

_NEIGHBOURS = 5


class RealReference:
    """The first real samples of a training, and what is measured of them once; all of them are flattened.

    Args:
        size: number of samples to keep.

    Attributes:
        x: the samples, (size, features); None until there are enough.
        labels: their labels (size,), where the GAN is conditional.
    """

    def __init__(self, size: int):
        self.size = size
        self.x: Tensor | None = None
        self.labels: Tensor | None = None
        self._pool: list[Tensor] = []
        self._pool_labels: list[Tensor] = []

    def note(self, gan: GAN, batch: Batch) -> None:
        """Keep the samples of a batch, until there are enough."""
        if self.x is not None:
            return
        x, labels = gan.unpack_batch(batch)
        self._pool.append(x.detach())
        if labels is not None:
            self._pool_labels.append(labels)
        if sum(map(len, self._pool)) >= self.size:
            self.x = torch.cat(self._pool)[: self.size].flatten(1).float()
            self.labels = torch.cat(self._pool_labels)[: len(self.x)] if self._pool_labels else None
            self._pool, self._pool_labels = [], []
            self._measure(self.x)

    def _measure(self, x: Tensor) -> None:
        distances = torch.cdist(x, x)
        self._spread = mean_of_pairs(distances)  # 0 for constant data, whose figures are all NaN
        self._radii = distances.kthvalue(min(_NEIGHBOURS + 1, len(x)), dim=1).values

    def figures(self, fake: Tensor, among: Tensor, before: tuple[Tensor, Tensor] | None) -> dict[str, Tensor]:
        """Return the figures of fakes beside the real samples, and beside earlier fakes.

        Args:
            fake: (N, features).
            among: their mean distance.
            before: the fakes of the same latents at the last reading, and their mean distance.
        """
        assert self.x is not None
        across = torch.cdist(self.x, fake)
        energy = 2 * across.mean() - self._spread - among
        inside = across <= self._radii[:, None]
        figures = {
            "diversity": among / self._spread,
            "energy": energy / (2 * across.mean()),
            "coverage": inside.any(1).float().mean(),
            "density": inside.float().sum(0).mean() / _NEIGHBOURS,
        }
        if before is not None:
            fake_before, among_before = before
            between = torch.cdist(fake_before, fake)
            moved = 2 * between.mean() - among - among_before
            figures["shift"] = moved / (2 * between.mean()).clamp_min(1e-12)
            figures["movement"] = (fake - fake_before).norm(dim=1).mean() / self._spread
        return figures

    def sensitivity(self, fake: Tensor, labels: Tensor | None) -> Tensor:
        """Return the mean distance between fakes over that between real samples, within classes where there are any."""
        if labels is None or self.labels is None or self.x is None:
            return mean_of_pairs(torch.cdist(fake, fake)) / self._spread
        spreads = []
        for kind, kinds in ((fake, labels), (self.x, self.labels)):
            same = (kinds[:, None] == kinds) & ~torch.eye(len(kinds), dtype=torch.bool, device=kinds.device)
            spreads.append(torch.cdist(kind, kind)[same].mean())
        return spreads[0] / spreads[1]

    def state_dict(self) -> dict[str, Any]:
        """Return the samples; those that were bytes as bytes."""
        return {
            "real": None if self.x is None else _packed(self.x),
            "labels": self.labels,
            "pool": list(self._pool),
            "pool_labels": list(self._pool_labels),
        }

    def load_state_dict(self, state_dict: dict[str, Any], device: torch.device | str = "cpu") -> None:
        """Restore what `state_dict` returned, on a device."""
        real, labels = state_dict["real"], state_dict["labels"]
        self.x = None if real is None else _unpacked(real.to(device))
        self.labels = None if labels is None else labels.to(device)
        self._pool = [x.to(device) for x in state_dict["pool"]]
        self._pool_labels = [x.to(device) for x in state_dict["pool_labels"]]
        if self.x is not None:
            self._measure(self.x)


def mean_of_pairs(distances: Tensor) -> Tensor:
    """Return the mean over pairs of different samples of a distance matrix (N, N)."""
    number = len(distances)
    return distances.sum() / max(1, number * (number - 1))


def _packed(real: Tensor) -> Tensor:
    """Return samples that were bytes as bytes, a quarter of the size; others as they are."""
    whole = real.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return whole if torch.equal(_unpacked(whole), real) else real


def _unpacked(real: Tensor) -> Tensor:
    return real.float().div_(127.5).sub_(1) if real.dtype == torch.uint8 else real
