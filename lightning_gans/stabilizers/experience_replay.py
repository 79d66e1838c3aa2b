"""Experience replay: a discriminator that does not forget former fakes."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_gans import distributed
from lightning_gans.stabilizer import Stabilizer

if TYPE_CHECKING:
    from lightning_gans.gan import GAN


MEMORIES = "gan_memories"  # where a checkpoint keeps those of all processes but the first


class _Memory(Stabilizer, ABC):
    """A memory of fakes and of the labels they were made for, and what its two kinds have in common.

    Until it is full every fake is stored and shown. A subclass says in `_exchange` what happens then.
    """

    def __init__(self, size: int):
        if not isinstance(size, int) or not size >= 1:
            raise ValueError(f"{type(self).__name__}(size={size}): expected a whole number of at least 1, such as 512.")
        self.size = size
        self._rows: dict[str, Tensor] = {}  # of size + 1: the last one takes what is not to be kept
        self._filled = 0
        self._restored: dict[str, Any] | None = None  # what a checkpoint has for this process

    def apply_to(self, gan: GAN) -> None:
        """Refuse a memory that the machine cannot hold."""
        shape = gan.generator.sample_shape
        needed, there = self.size * math.prod(shape) * 4, math.inf
        if hasattr(os, "sysconf"):
            there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if needed > there:
            raise ValueError(
                f"{type(self).__name__}(size={self.size}) needs {needed / 2**30:.3g} GiB for samples of shape {shape}, "
                f"but the machine has {there / 2**30:.3g} GiB; expected a smaller size, such as 512."
            )

    @property
    @abstractmethod
    def _idle(self) -> bool:
        """Whether the arguments say to do nothing."""

    @abstractmethod
    def _exchange(self, fake: Tensor, labels: Tensor) -> Tensor:
        """What to show in place of fresh fakes, once the memory is full."""

    def on_fake_samples(self, gan: GAN, fake: Tensor, labels: Tensor | None) -> Tensor:
        """Show stored fakes in place of some, and store some."""
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
        """A memory for such fakes, on their device."""
        for name, like in (("samples", fake), ("labels", labels)):
            rows = self._rows.get(name)
            self._rows[name] = like.new_zeros(self.size + 1, *like.shape[1:]) if rows is None else rows.to(like)

    def _fill(self, fake: Tensor, labels: Tensor) -> None:
        places = slice(self._filled, self._filled + len(fake))
        self._rows["samples"][places], self._rows["labels"][places] = fake, labels
        self._filled += len(fake)

    def _matching(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Random places of stored fakes with these labels, no two the same, and whether there is one for each."""
        order = torch.randperm(self.size, device=labels.device)
        stored, by_label = self._rows["labels"][order].sort(stable=True)
        asked, turns = labels.sort(stable=True)
        earlier = torch.arange(len(labels), device=labels.device) - torch.searchsorted(asked, asked)
        earlier = torch.empty_like(labels).scatter_(0, turns, earlier)  # in the batch, with the same label
        rank = torch.searchsorted(stored, labels) + earlier
        found = rank < torch.searchsorted(stored, labels, right=True)
        return order[by_label[rank.clamp(max=self.size - 1)]], found

    def _show(self, places: Tensor, chosen: Tensor, fake: Tensor) -> Tensor:
        """Stored fakes in place of the chosen ones."""
        return torch.where(chosen.view(-1, *[1] * (fake.dim() - 1)), self._rows["samples"][places], fake)

    def _store(self, places: Tensor, chosen: Tensor, fake: Tensor, labels: Tensor) -> None:
        """The chosen ones of these fakes, each at its place."""
        places = torch.where(chosen, places, self.size)
        self._rows["samples"][places], self._rows["labels"][places] = fake, labels

    def state_dict(self) -> dict[str, Any]:
        """The stored fakes and their labels."""
        return {name: rows[: self._filled].clone() for name, rows in self._rows.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore them, as many as there is place for."""
        state_dict, self._restored = self._restored or state_dict, None
        self._rows, self._filled = {}, 0
        if state_dict:
            samples, labels = (state_dict[name][: self.size] for name in ("samples", "labels"))
            self._make_room(samples, labels)
            self._fill(samples, labels)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add what the other processes have stored to what the first one has."""
        if trainer.world_size > 1 and "callbacks" in checkpoint:  # not where weights alone are saved
            states = distributed.gathered(self.state_dict())
            checkpoint.setdefault(MEMORIES, {})[self.state_key] = states[1:]

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Find what this process had stored; one that is new goes on with that of another."""
        others = checkpoint.get(MEMORIES, {}).get(self.state_key, [])
        place = trainer.global_rank % (len(others) + 1)
        self._restored = others[place - 1] if place else None


class ExperienceReplay(_Memory):
    """Show the discriminator a share of stored fakes in place of fresh ones, and let fresh ones replace others.

    A discriminator that sees today's fakes only forgets yesterday's, and a generator may go round in circles, back to
    what is not punished any more. With batches of N, of each batch

        share · N places, random ones, go to stored fakes, random ones, which stay stored;
        share · N stored fakes, random ones, are then replaced by fresh ones, of those that are shown first.

    A number that is not whole is rounded up or down at random, right on average. Until the memory is full every
    fake is stored and shown. `ImagePool` empties the places that it reads; here a fake may be shown several times.
    It does not damp every circle: in the Dirac-GAN old fakes are a mere delay, with which the players go further out
    (`benchmarks/claims.py`).

    In a conditional game a stored fake stands in only for one with its label, and where none is stored the fresh
    one stays. The memory is on the device of the fakes, 4 bytes a number, and part of checkpoints. Each of
    several processes has its own, of `size` fakes, and goes on with it after a resume. In the look-ahead of an
    `UnrolledGAN` the fakes are those of the moment.

    Args:
        size: number of fakes that are stored, at least as many as a batch has.
        share: of a batch's fakes that are replaced, in [0, 1]; half in the paper, 0 does nothing.

    Raises:
        ValueError: for a size or share out of range, a size that the machine's memory cannot hold, or, at the first
            batch, one below the batch's.

    Reference:
        Shrivastava et al., Learning from Simulated and Unsupervised Images through Adversarial Training, CVPR 2017,
        arXiv 1612.07828, section 2.3.
    """

    def __init__(self, size: int = 1024, share: float = 0.5):
        super().__init__(size)
        if not 0 <= share <= 1:
            raise ValueError(f"ExperienceReplay(share={share}): expected a share in [0, 1], such as 0.5.")
        self.share = share

    @property
    def _idle(self) -> bool:
        return self.share == 0

    def _exchange(self, fake: Tensor, labels: Tensor) -> Tensor:
        rank = torch.randperm(len(fake), device=fake.device)
        number = self.share * len(fake) - torch.rand((), device=fake.device)
        places, found = self._matching(labels)
        shown = self._show(places, (rank < number) & found, fake)
        replaced = torch.randperm(self.size, device=fake.device)[: len(fake)]
        self._store(replaced, len(fake) - 1 - rank < number, fake, labels)
        return shown
