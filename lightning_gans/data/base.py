"""What every data module shares: batches for a GAN, each made as a whole from its indices."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from lightning import LightningDataModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.data.flips import flipped
from lightning_gans.data.order import ResumableLoader, ResumableSampler, SeededDataset, size_of
from lightning_gans.step import Batch

Split = Literal["train", "val", "test"]

_SPLITS_OF_STAGE: dict[str, tuple[Split, ...]] = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("test",),
}


class GANData(LightningDataModule, ABC):
    """Batches of real samples for a GAN; a model becomes conditional exactly when the data gives labels.

    A batch is `x`, float32 of shape (N, *sample_shape), images in [−1, 1]; with `labels=True` it is `(x, y)` with y
    int64 of shape (N,). Training batches are shuffled and always full; validation and test batches are neither
    shuffled nor dropped. The samples of a training batch, and the random numbers drawn to make them, depend only on the
    run's seed and on the number of the batch, not on `num_workers`: a resumed run gets the batches that the interrupted
    one would have had, in the middle of an epoch too. Nothing is read before `prepare_data` and `setup`, so that the
    command line can construct a data module just to read `sample_shape` and `num_classes`.

    To add a data set, define `load` and `sample_shape`, and `count_classes` where it has labels.

    Args:
        batch_size: samples in a batch, in each process, at least 1.
        labels: whether batches include labels.
        num_workers: processes that make batches beside the main one, at least 0. Data held in memory is fastest with 0.

    Raises:
        ValueError: at once for an argument out of range, or for `labels=True` where the data has none; when the loader
            is made, for a `batch_size` beyond the training set.
    """

    def __init__(self, batch_size: int = 64, labels: bool = False, num_workers: int = 0):
        super().__init__()
        arguments.whole(self, 1, batch_size=batch_size)
        arguments.whole(self, 0, num_workers=num_workers)
        if labels and type(self).count_classes is GANData.count_classes:
            raise ValueError(f"labels=True, but {type(self).__name__} has no labels; use labels=False")
        self.batch_size = batch_size
        self.labels = labels
        self.num_workers = num_workers
        self.flips = False  # of images: mirror those of training batches at random
        self._sets: dict[Split, Dataset] = {}
        self._seed: int | None = None  # of the training batches, during a run

    @property
    @abstractmethod
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample, without the batch: (C, H, W) for images."""

    @property
    def num_classes(self) -> int:
        """The number of classes with `labels=True`, else 0."""
        return self.count_classes() if self.labels else 0

    def count_classes(self) -> int:
        """Return the number of classes in the data, whether or not batches include labels."""
        return 0

    @abstractmethod
    def load(self, split: Split) -> Dataset:
        """Return the data set of a split: a `BatchDataset`, or any map-style data set of known size."""

    def setup(self, stage: str | None = None) -> None:
        """Load the splits of a stage, each once."""
        self._seed = None
        for split in _SPLITS_OF_STAGE.get(stage or "", ("train", "val", "test")):
            self._split(split)

    def _split(self, split: Split) -> Dataset:
        if split not in self._sets:
            self._sets[split] = self.load(split)
        return self._sets[split]

    def train_dataloader(self) -> DataLoader:
        """Return a loader of full batches in random order."""
        size = size_of(self._split("train"))
        processes = self.trainer.world_size if self.trainer else 1
        most = size // processes
        if most < self.batch_size:
            shared = f" shared by {processes} processes" if processes > 1 else ""
            smaller = f"batch_size <= {most} or " if most else ""
            raise ValueError(
                f"batch_size={self.batch_size} is more than the training set of {type(self).__name__} holds "
                f"({size} samples{shared}); use {smaller}more data"
            )
        return self._shuffled_loader(self._split("train"), processes)

    def state_dict(self) -> dict[str, Any]:
        """Return the seed of the training batches; the Trainer knows how many of them are done."""
        return {"seed": self._seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with the training batches of the run that made the checkpoint."""
        self._seed = state_dict["seed"]

    def _shuffled_loader(self, data: Dataset, processes: int) -> DataLoader:
        trainer, seed = self.trainer, torch.initial_seed() if self._seed is None else self._seed
        if trainer and processes > 1:  # without seed_everything the processes have different seeds
            seed = trainer.strategy.broadcast(seed)
        self._seed = seed if trainer else None
        seeded = SeededDataset(data, seed, flipped if self.flips else None)
        place = partial(self._place, trainer, len(seeded) // processes // self.batch_size) if trainer else None
        process = trainer.global_rank if trainer and processes > 1 else 0
        kind = ResumableLoader if trainer else DataLoader
        sampler = ResumableSampler(seeded, seed, processes, process, place)
        return kind(seeded, sampler=sampler, drop_last=True, **self._loader_options(data))

    def _place(self, trainer: Trainer, batches: int) -> tuple[int, int]:
        """Return the number of the current pass over the training set, and how much of it this process has had."""
        limit = trainer.limit_train_batches
        each = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
        processed = trainer.fit_loop.epoch_loop.batch_progress.total.processed  # type: ignore[attr-defined]
        number, done = divmod(processed, max(1, each))
        return number, done * self.batch_size

    def val_dataloader(self) -> DataLoader | list:
        """Return a loader of the validation set in order; an empty list where the set is empty."""
        return self._loader("val")

    def test_dataloader(self) -> DataLoader | list:
        """Return a loader of the test set in order; an empty list where the set is empty."""
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader | list:
        """Return the loader of the test set."""
        return self.test_dataloader()

    def _loader(self, split: Split) -> DataLoader | list:
        data = self._split(split)
        return DataLoader(data, **self._loader_options(data)) if size_of(data) else []

    def _loader_options(self, data: Dataset) -> dict[str, Any]:
        return {
            "batch_size": self.batch_size,
            "num_workers": self.num_workers,
            "collate_fn": collate_of(data),
            "pin_memory": torch.cuda.is_available(),
            "persistent_workers": self.num_workers > 0,
        }


class BatchDataset(Dataset, ABC):
    """A map-style data set that makes a whole batch from its indices, which is far cheaper than collating samples."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples."""

    @abstractmethod
    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return the batch of the samples with these indices."""

    def __getitem__(self, index: int) -> Batch:
        """Return one sample, without the batch dimension."""
        batch = self.__getitems__([index])
        return batch[0] if isinstance(batch, Tensor) else (batch[0][0], batch[1][0])


class Samples(BatchDataset):
    """Samples in memory: uint8 images, scaled to [−1, 1] a batch at a time, or floats as they are.

    Args:
        x: samples (M, ...), uint8 or float32.
        y: labels (M,), or None for batches without labels.
    """

    def __init__(self, x: Tensor, y: Tensor | None = None):
        self.x = x
        self.y = y

    @override
    def __len__(self) -> int:
        return len(self.x)

    @override
    def __getitems__(self, indices: Sequence[int]) -> Batch:
        chosen = as_index(indices)
        x = self.x.index_select(0, chosen)
        x = to_unit_range(x) if x.dtype == torch.uint8 else x
        return x if self.y is None else (x, self.y.index_select(0, chosen))


def collate_of(data: Dataset) -> Callable[[Any], Any] | None:
    """Return the `collate_fn` of a `DataLoader`: the identity for a `BatchDataset`, None (torch's own) for others."""
    return _unchanged if isinstance(data, BatchDataset) else None


def _unchanged(batch: Any) -> Any:
    return batch


def as_index(indices: Sequence[int]) -> Tensor:
    """Return indices as int64 (N,), eight times as fast as `torch.tensor`."""
    return torch.from_numpy(np.fromiter(indices, dtype=np.int64, count=len(indices)))


def to_unit_range(images: Tensor) -> Tensor:
    """Map bytes 0–255 to float32 in [−1, 1]."""
    return images.float().div_(127.5).sub_(1)


def batch_generator(indices: Sequence[int]) -> torch.Generator:
    """Return the random numbers of one fresh batch.

    They follow torch's default generator, hence the run's seed, and the batch's first index. The index makes several
    processes draw different samples from equal seeds, since a distributed sampler gives them different indices.
    """
    seed = int(torch.randint(2**32, ())) + 0x9E3779B1 * (indices[0] + 1)
    return torch.Generator().manual_seed(seed % 2**32)


def fixed_generator(data_seed: int, split: Split) -> torch.Generator:
    """Return the random numbers of a fixed split, which depend neither on the run's seed nor on the other splits."""
    return torch.Generator().manual_seed(3 * data_seed + ("train", "val", "test").index(split))
