"""The real samples with which the fakes of a training are compared: the first that it sees."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_gans.gan import GAN
from lightning_gans.step import Batch

_MOST, _FEWEST = 1024, 128  # samples in a pool, as many as fit in …
_NUMBERS = 2**23  # … pixels or coordinates: 8 MiB of images in a checkpoint


class RealPool:
    """The first real samples of a training, each once: it closes when it is full, or after the first epoch.

    Args:
        least: samples that it holds at least, unless the first epoch has fewer.
        most: samples that it holds at most.

    Attributes:
        closed: whether it takes no more.
    """

    def __init__(self, least: int, most: int = _MOST) -> None:
        self.least, self.most = least, most
        self.closed = False
        self._x: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._epoch: int | None = None  # of the first

    def __len__(self) -> int:
        return sum(map(len, self._x))

    def note(self, gan: GAN, batch: Batch) -> None:
        """Keep the samples of a batch, while there is room."""
        if self._epoch not in (None, gan.current_epoch):
            self.close()  # the next epoch has the same samples
        if self.closed:
            return
        self._epoch = gan.current_epoch
        x, labels = gan.unpack_batch(batch)
        self._x.append(x.detach().float())
        if labels is not None:
            self._labels.append(labels)
        room = max(self.least, min(self.most, max(_FEWEST, _NUMBERS // max(1, x[0].numel()))))
        if len(self) >= room:
            self.close()
            self._x = [self.x[:room]]
            self._labels = [torch.cat(self._labels)[:room]] if self._labels else []

    def close(self) -> None:
        """Take no more."""
        self.closed, self._epoch = True, None

    @property
    def x(self) -> Tensor:
        """The samples (N, …), in single precision."""
        if len(self._x) > 1:
            self._x = [torch.cat(self._x)]
        return self._x[0]

    @property
    def labels(self) -> Tensor | None:
        """Their labels (N,), where the GAN is conditional."""
        return torch.cat(self._labels) if self._labels else None

    def state_dict(self) -> dict[str, Any]:
        """Return the samples; those that were bytes as bytes."""
        real = [_packed(x) for x in self._x]
        return {"real": real, "labels": list(self._labels), "epoch": self._epoch, "closed": self.closed}

    def load_state_dict(self, state_dict: dict[str, Any], device: torch.device | str = "cpu") -> None:
        """Restore what `state_dict` returned, on a device."""
        self._x = [_unpacked(x.to(device)) for x in state_dict["real"]]
        self._labels = [labels.to(device) for labels in state_dict["labels"]]
        self._epoch, self.closed = state_dict["epoch"], state_dict["closed"]


def _packed(real: Tensor) -> Tensor:
    """Return samples that were bytes as bytes, a quarter of the size; others as they are."""
    whole = real.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return whole if torch.equal(_unpacked(whole), real) else real


def _unpacked(real: Tensor) -> Tensor:
    return real.float().div_(127.5).sub_(1) if real.dtype == torch.uint8 else real
