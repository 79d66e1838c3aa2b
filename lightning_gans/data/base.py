"""What every data module here shares: batches for a GAN, made one indexed batch at a time."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from lightning import LightningDataModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_gans.data.order import Drawn, ResumableLoader, Shuffled

Split = Literal["train", "val", "test"]
Batch = Tensor | tuple[Tensor, Tensor]

_SPLITS_OF_STAGE: dict[str, tuple[Split, ...]] = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("test",),
}


class GANData(LightningDataModule, ABC):
    """Batches of real samples for a GAN; a model becomes conditional exactly when the data gives labels.

    A batch is `x`, float32 of shape (N, *sample_shape), images in [−1, 1]; with `labels=True` it is
    `(x, y)` with y int64 of shape (N,). Training batches are shuffled and always full; validation and
    test batches are neither shuffled nor dropped. Which samples a training batch holds, and whatever is
    drawn to make them, follows from the run's seed and the number of the batch alone, whatever the number
    of workers: a resumed run goes on with the batches that the interrupted one would have had, in the
    middle of an epoch too. Nothing is read before `prepare_data` and `setup`, so
    that a command line may construct a data module only to ask for `sample_shape` and `num_classes`.

    To add a data set, define `load` and `sample_shape`, and `count_classes` where it has labels.

    Args:
        batch_size: samples in a batch, in each process, at least 1.
        labels: whether batches carry labels.
        num_workers: processes that make batches beside the main one, at least 0. Data held in memory is
            fastest with 0.

    Raises:
        ValueError: at once for an argument out of range, or labels asked of data that has none; when the
            loader is made, for a `batch_size` beyond the training set.
    """

    def __init__(self, batch_size: int = 64, labels: bool = False, num_workers: int = 0):
        super().__init__()
        at_least(1, batch_size=batch_size)
        at_least(0, num_workers=num_workers)
        if labels and type(self).count_classes is GANData.count_classes:
            raise ValueError(f"labels=True, but {type(self).__name__} has no labels; use labels=False")
        self.batch_size = batch_size
        self.labels = labels
        self.num_workers = num_workers
        self._sets: dict[Split, Dataset] = {}
        self._seed: int | None = None  # of the training batches, while a run lasts

    @property
    @abstractmethod
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample, without the batch: (C, H, W) for images."""

    @property
    def num_classes(self) -> int:
        """The number of classes with `labels=True`, else 0."""
        return self.count_classes() if self.labels else 0

    def count_classes(self) -> int:
        """The number of classes in the data, whether or not batches carry them."""
        return 0

    @abstractmethod
    def load(self, split: Split) -> Dataset:
        """The data set of a split: a `BatchDataset`, or any sized map-style data set of ready samples."""

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
        """Full batches in random order."""
        size: int = len(self._split("train"))  # type: ignore[arg-type]
        processes = self.trainer.world_size if self.trainer else 1
        if size // processes < self.batch_size:
            shared = f" shared by {processes} processes" if processes > 1 else ""
            raise ValueError(
                f"batch_size={self.batch_size} is more than the training set of {type(self).__name__} holds "
                f"({size} samples{shared}); use batch_size <= {max(1, size // processes)} or more data"
            )
        return self._shuffled_loader(self._split("train"), processes)

    def state_dict(self) -> dict[str, Any]:
        """The seed of the training batches; the place among them is known to the Trainer."""
        return {"seed": self._seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the batches of the run that made the checkpoint."""
        self._seed = state_dict["seed"]

    def _shuffled_loader(self, data: Dataset, processes: int) -> DataLoader:
        trainer, seed = self.trainer, torch.initial_seed() if self._seed is None else self._seed
        if trainer and processes > 1:  # whose seeds may differ, where nobody called seed_everything
            seed = trainer.strategy.broadcast(seed)
        self._seed = seed if trainer else None
        drawn = Drawn(data, seed)
        place = partial(self._place, trainer, len(drawn) // processes // self.batch_size) if trainer else None
        process = trainer.global_rank if trainer and processes > 1 else 0
        kind = ResumableLoader if trainer else DataLoader
        order = Shuffled(drawn, seed, processes, process, place)
        return kind(drawn, sampler=order, drop_last=True, **self._loader_options(data))

    def _place(self, trainer: Trainer, batches: int) -> tuple[int, int]:
        """The pass over the training set that is due, and how many of this process's samples are behind it."""
        limit = trainer.limit_train_batches
        each = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
        played = trainer.fit_loop.epoch_loop.batch_progress.total.processed  # type: ignore[attr-defined]
        number, done = divmod(played, max(1, each))
        return number, done * self.batch_size

    def val_dataloader(self) -> DataLoader | list:
        """The validation set in order; an empty list where it is empty."""
        return self._loader("val") if len(self._split("val")) else []  # type: ignore[arg-type]

    def test_dataloader(self) -> DataLoader | list:
        """The test set in order; an empty list where it is empty."""
        return self._loader("test") if len(self._split("test")) else []  # type: ignore[arg-type]

    def predict_dataloader(self) -> DataLoader | list:
        """The test set."""
        return self.test_dataloader()

    def _loader(self, split: Split) -> DataLoader:
        data = self._split(split)
        return DataLoader(data, **self._loader_options(data))

    def _loader_options(self, data: Dataset) -> dict[str, Any]:
        return {
            "batch_size": self.batch_size,
            "num_workers": self.num_workers,
            "collate_fn": _already_a_batch if isinstance(data, BatchDataset) else None,
            "pin_memory": torch.cuda.is_available(),
            "persistent_workers": self.num_workers > 0,
        }


class BatchDataset(Dataset, ABC):
    """A map-style data set that makes a whole batch from its indices, which is far cheaper than collating."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of samples."""

    @abstractmethod
    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """The batch with these indices."""

    def __getitem__(self, index: int) -> Batch:
        """One sample."""
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

    def __len__(self) -> int:
        return len(self.x)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        chosen = as_index(indices)
        x = self.x.index_select(0, chosen)
        x = to_unit_range(x) if x.dtype == torch.uint8 else x
        return x if self.y is None else (x, self.y.index_select(0, chosen))


def _already_a_batch(batch: Any) -> Any:
    return batch


def as_index(indices: Sequence[int]) -> Tensor:
    """Indices as int64 (N,), eight times as fast as `torch.tensor`."""
    return torch.from_numpy(np.fromiter(indices, dtype=np.int64, count=len(indices)))


def to_unit_range(images: Tensor) -> Tensor:
    """Bytes 0–255 to float32 in [−1, 1]."""
    return images.float().div_(127.5).sub_(1)


def batch_generator(indices: Sequence[int]) -> torch.Generator:
    """The random numbers of one fresh batch.

    They follow torch's default generator, hence the seed of the run, and the batch's first index. The
    index is there for several processes: alike seeds give them different samples all the same, since
    a distributed sampler gives them different indices.
    """
    seed = int(torch.randint(2**32, ())) + 0x9E3779B1 * (indices[0] + 1)
    return torch.Generator().manual_seed(seed % 2**32)


def fixed_generator(data_seed: int, split: Split) -> torch.Generator:
    """The random numbers that fix a split, independent of the run's seed and of the other splits."""
    return torch.Generator().manual_seed(3 * data_seed + ("train", "val", "test").index(split))


def at_least(minimum: int, **values: int) -> None:
    """Raise a ValueError for the first value that is not a whole number of at least `minimum`."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise ValueError(f"{name}={value!r} is out of range; give a whole number >= {minimum}")
