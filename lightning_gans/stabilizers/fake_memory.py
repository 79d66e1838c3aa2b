"""A memory of fakes, and what the two stabilizers that replay them have in common."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments, distributed
from lightning_gans.gan import GAN
from lightning_gans.stabilizer import Stabilizer

MEMORIES = "gan_memories"  # the key in a checkpoint for the memories of all processes but the first


class FakeMemory(Stabilizer, ABC):
    """A memory of fakes and their labels; a subclass defines what happens once it is full.

    Until the memory is full, every fake is stored and shown to the discriminator.

    Args:
        size: number of fakes that are stored, at least 1.
    """

    def __init__(self, size: int):
        arguments.whole(self, 1, size=size)
        self.size = size
        self._rows: dict[str, Tensor] = {}  # size + 1 rows; the last one is for what is not kept
        self._filled = 0
        self._restored: dict[str, Any] | None = None  # the state of this process in a checkpoint

    @override
    def apply_to(self, gan: GAN) -> None:
        """Refuse a memory larger than the machine's."""
        shape = gan.generator.sample_shape
        needed, available = self.size * math.prod(shape) * 4, math.inf
        if hasattr(os, "sysconf"):
            available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if needed > available:
            raise ValueError(
                f"{type(self).__name__}(size={self.size}) needs {needed / 2**30:.3g} GiB for samples of shape {shape}, "
                f"but the machine has {available / 2**30:.3g} GiB; expected a smaller size, such as 512."
            )

    @property
    @abstractmethod
    def _idle(self) -> bool:
        """Whether no fake is ever replaced."""

    @abstractmethod
    def _exchange(self, fake: Tensor, labels: Tensor) -> Tensor:
        """Return what replaces new fakes once the memory is full, and store some of them."""

    @override
    def on_fake_samples(self, gan: GAN, fake: Tensor, labels: Tensor | None) -> Tensor:
        """Replace some fakes by stored ones, and store some."""
        if gan.looking_ahead or self._idle:
            return fake
        if len(fake) > self.size:
            raise ValueError(
                f"{type(self).__name__}(size={self.size}): expected at least the {len(fake)} fakes of a batch; use a "
                "larger size, or smaller batches."
            )
        fake = fake.detach()
        labels = torch.zeros(len(fake), dtype=torch.int64, device=fake.device) if labels is None else labels.long()
        self._make_room(fake, labels)
        new = min(self.size - self._filled, len(fake))
        if new:
            self._fill(fake[:new], labels[:new])
        if new == len(fake):
            return fake
        shown = self._exchange(fake[new:], labels[new:])
        return torch.cat([fake[:new], shown]) if new else shown

    def _make_room(self, fake: Tensor, labels: Tensor) -> None:
        """Allocate rows for such fakes, or move the rows to their device."""
        for name, like in (("samples", fake), ("labels", labels)):
            rows = self._rows.get(name)
            self._rows[name] = like.new_zeros(self.size + 1, *like.shape[1:]) if rows is None else rows.to(like)

    def _fill(self, fake: Tensor, labels: Tensor) -> None:
        places = slice(self._filled, self._filled + len(fake))
        self._rows["samples"][places], self._rows["labels"][places] = fake, labels
        self._filled += len(fake)

    def _matching(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return distinct random places of stored fakes with these labels, and whether there is one for each."""
        order = torch.randperm(self.size, device=labels.device)
        stored, by_label = self._rows["labels"][order].sort(stable=True)
        wanted, positions = labels.sort(stable=True)
        earlier = torch.arange(len(labels), device=labels.device) - torch.searchsorted(wanted, wanted)
        earlier = torch.empty_like(labels).scatter_(0, positions, earlier)  # number in the batch with the same label
        rank = torch.searchsorted(stored, labels) + earlier
        found = rank < torch.searchsorted(stored, labels, right=True)
        return order[by_label[rank.clamp(max=self.size - 1)]], found

    def _show(self, places: Tensor, chosen: Tensor, fake: Tensor) -> Tensor:
        """Return the fakes, the chosen ones replaced by the stored ones at these places."""
        return torch.where(chosen.view(-1, *[1] * (fake.dim() - 1)), self._rows["samples"][places], fake)

    def _store(self, places: Tensor, chosen: Tensor, fake: Tensor, labels: Tensor) -> None:
        """Store the chosen fakes at these places."""
        places = torch.where(chosen, places, self.size)
        self._rows["samples"][places], self._rows["labels"][places] = fake, labels

    @override
    def state_dict(self) -> dict[str, Any]:
        return {name: rows[: self._filled].clone() for name, rows in self._rows.items()}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the stored fakes, at most `size` of them."""
        state_dict, self._restored = self._restored or state_dict, None
        self._rows, self._filled = {}, 0
        if state_dict:
            samples, labels = (state_dict[name][: self.size] for name in ("samples", "labels"))
            self._make_room(samples, labels)
            self._fill(samples, labels)

    @override
    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Save the memories of the other processes beside the first one's state."""
        if trainer.world_size > 1 and "callbacks" in checkpoint:  # not in a checkpoint of weights alone
            states = distributed.gathered(self.state_dict())
            checkpoint.setdefault(MEMORIES, {})[self.state_key] = states[1:]

    @override
    def on_load_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Find the memory of this process; an additional process starts with that of another."""
        others = checkpoint.get(MEMORIES, {}).get(self.state_key, [])
        place = trainer.global_rank % (len(others) + 1)
        self._restored = others[place - 1] if place else None
