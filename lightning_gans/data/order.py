"""The order of training samples, and what is drawn for them: functions of the run's seed and of the batch."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler


class Shuffled(DistributedSampler):
    """Every sample once a pass, in an order that follows from (seed, pass), shared among processes.

    Process r of W takes places r, r + W, r + 2W, … of the order, so that the batches of all processes together hold the
    same samples whatever W is. A pass may begin in its middle: that is how an interrupted run goes on. What it yields
    tells `Drawn` the pass as well as the sample: pass · size + index.

    Args:
        data: what is shuffled; only its length is read.
        seed: of the order.
        processes: how many share the samples, at least 1; each gets as many, and a rest is left out of the pass.
        process: which of them this is, from 0.
        place: gives the pass, and how many of its samples this process has had; asked whenever a pass begins. None
            counts the passes that were begun.
    """

    def __init__(
        self,
        data: Dataset,
        seed: int,
        processes: int = 1,
        process: int = 0,
        place: Callable[[], tuple[int, int]] | None = None,
    ):
        super().__init__(data, processes, process, shuffle=True, seed=seed, drop_last=True)
        self.place = place

    def __iter__(self) -> Iterator[int]:
        number, done = (self.epoch, 0) if self.place is None else self.place()
        self.epoch = number + 1
        size: int = len(self.dataset)  # type: ignore[arg-type]
        source = torch.Generator().manual_seed(_mixed(self.seed, number))
        order = torch.randperm(size, generator=source)[self.rank : self.total_size : self.num_replicas]
        return iter((order[done:] + number * size).tolist())

    def set_epoch(self, epoch: int) -> None:
        """Count on from another pass; where the place is asked for, that is heard alone."""
        if self.place is None:
            super().set_epoch(epoch)


class Drawn(Dataset):
    """A data set whose random numbers follow from the seed, the pass and the batch, by whichever worker it is made.

    What the wrapped one draws from torch's default generator, and from those of numpy and Python where it makes its
    samples one by one, is seeded for every batch, and afterwards they are as they were. Indices are those of
    `Shuffled`; others, below the size, belong to pass 0.

    Args:
        data: a sized map-style data set.
        seed: of what it draws.
    """

    def __init__(self, data: Dataset, seed: int):
        self.data = data
        self.seed = seed
        self.whole_batches = hasattr(data, "__getitems__")
        self.size: int = len(data)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        with _seeded(_mixed(self.seed, index), everything=True):
            return self.data[index % self.size]

    def __getitems__(self, indices: Sequence[int]) -> Any:
        """A batch, or a list of samples where the data set makes no batches."""
        size = self.size
        chosen = [index % size for index in indices]
        with _seeded(_mixed(self.seed, indices[0]), everything=not self.whole_batches):
            return self.data.__getitems__(chosen) if self.whole_batches else [self.data[i] for i in chosen]  # type: ignore[attr-defined]


class ResumableLoader(DataLoader):
    """A loader that goes on where it stopped, which Lightning knows by these two methods.

    There is nothing to keep: the place is known to the Trainer and the seed to the data module.
    """

    def state_dict(self) -> dict[str, int]:
        """Nothing."""
        return {}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Do nothing."""


def _mixed(*numbers: int) -> int:
    return hash(numbers) % 2**63


@contextmanager
def _seeded(seed: int, everything: bool) -> Iterator[None]:
    before = torch.default_generator.get_state()
    others = (random.getstate(), np.random.get_state()) if everything else None
    torch.default_generator.manual_seed(seed)
    if everything:
        random.seed(seed)
        np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        torch.default_generator.set_state(before)
        if others:
            random.setstate(others[0])
            np.random.set_state(others[1])
