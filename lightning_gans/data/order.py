"""Training samples in an order, and with random numbers, that depend only on the run's seed and the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from lightning_gans.randomness import mix, seeded


class ResumableSampler(DistributedSampler):
    """Every sample once in each pass, in an order that depends on (seed, pass), shared among processes.

    Process r of W takes places r, r + W, r + 2W, … of the order, so that the batches of all processes together hold the
    same samples whatever W is. A pass may begin in its middle, where an interrupted run resumes. The sampler yields
    pass · size + index, from which `SeededDataset` reads the pass as well as the sample.

    Args:
        data: the data set to shuffle; only its length is read.
        seed: seed of the order.
        processes: how many share the samples, at least 1; each gets the same number, and a pass omits the remainder.
        process: which of them this is, from 0.
        place: returns the number of the pass, and how many of its samples this process has had; called at the start of
            every pass. None counts the passes from 0.
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
        size = size_of(self.dataset)
        source = torch.Generator().manual_seed(mix(self.seed, number))
        order = torch.randperm(size, generator=source)[self.rank : self.total_size : self.num_replicas]
        return iter((order[done:] + number * size).tolist())

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the next pass; ignored where `place` gives it."""
        if self.place is None:
            super().set_epoch(epoch)


class SeededDataset(Dataset):
    """A data set whose random numbers depend on the seed, the pass and the batch, not on the worker that makes it.

    For every batch torch's default generator is seeded, and for data sets that make samples one by one NumPy's and
    Python's too; afterwards all are restored. Indices are those of `ResumableSampler`; below the size they belong to
    pass 0.

    Args:
        data: a map-style data set of known size.
        seed: seed of the random numbers.
        augment: changes a batch, or a sample of a data set that makes them one by one; None changes nothing.
    """

    def __init__(self, data: Dataset, seed: int, augment: Callable[[Any], Any] | None = None):
        self.data: Any = data
        self.seed = seed
        self.augment = augment
        self.whole_batches = hasattr(data, "__getitems__")
        self.size = size_of(data)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        with seeded(mix(self.seed, index), libraries=True):
            return self._augmented(self.data[index % self.size])

    def __getitems__(self, indices: Sequence[int]) -> Any:
        """Return a batch, or a list of samples where the data set makes samples one by one."""
        chosen = [index % self.size for index in indices]
        with seeded(mix(self.seed, indices[0]), libraries=not self.whole_batches):
            if self.whole_batches:
                return self._augmented(self.data.__getitems__(chosen))
            return [self._augmented(self.data[i]) for i in chosen]

    def _augmented(self, batch: Any) -> Any:
        return batch if self.augment is None else self.augment(batch)

    def plain(self) -> SeededDataset:
        """Return the same data set without augmentation, for scores of the data itself."""
        return SeededDataset(self.data, self.seed)


class ResumableLoader(DataLoader):
    """A loader that resumes in the middle of an epoch, which Lightning recognises by these two methods.

    It has no state of its own: the Trainer knows the place and the data module the seed.
    """

    def state_dict(self) -> dict[str, int]:
        """Return an empty state."""
        return {}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Do nothing, as there is no state."""


def size_of(data: Dataset) -> int:
    """Return the number of samples of a data set; torch's base class does not declare a length."""
    return len(data)  # type: ignore[arg-type]
