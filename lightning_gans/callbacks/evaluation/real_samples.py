"""The real samples of a split, by index, through the data module or the loader that the Trainer was given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_gans.callbacks.trainer_attributes import data_module
from lightning_gans.data.order import SeededDataset
from lightning_gans.gan import GAN


class RealSamples:
    """The data set of a loader, independent of the loader's order and of the Trainer's limits on batches.

    Args:
        trainer: its data module's loader of the split is used, or the one that it was given.
        split: train, val or test.

    Raises:
        ValueError: where there is no such split, or its data set does not give single samples by index.
    """

    def __init__(self, trainer: Trainer, split: str):
        self.split = split
        self.data: Any = data_module(trainer)
        loaders: list[Any] = []
        with suppress(MisconfigurationException):  # of a hook that a data module does not define
            loaders = self._loaders(trainer, split)
        if not loaders:
            others = [name for name in ("train", "val", "test") if self._has(trainer, name)]
            raise ValueError(
                f"Evaluation: {self.data_name} has no {split} split; give Evaluation a split that it has "
                f"({' or '.join(others)})."
            )
        dataset = getattr(loaders[0], "dataset", None)
        indexed = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
        if len(loaders) > 1 or not indexed or loaders[0].batch_size is None:
            raise ValueError(
                f"Evaluation: the {split} split of {self.data_name} gives no single samples by index; use one "
                "DataLoader over a map-style data set, with a batch_size."
            )
        self.loader: DataLoader = loaders[0]
        self.dataset: Any = dataset.plain() if isinstance(dataset, SeededDataset) else dataset

    def _loaders(self, trainer: Trainer, split: str) -> list[Any]:
        if self.data is not None:
            found = getattr(self.data, f"{split}_dataloader")()
        else:
            found = getattr(trainer, "train_dataloader" if split == "train" else f"{split}_dataloaders")
        return [one for one in (found if isinstance(found, list | tuple) else [found]) if one is not None]

    def _has(self, trainer: Trainer, split: str) -> bool:
        try:
            return bool(self._loaders(trainer, split))
        except Exception:  # a split that its data module does not load at this stage
            return False

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def data_name(self) -> str:
        """The name of the data in tables and in names of files."""
        return "data" if self.data is None else type(self.data).__name__

    def chosen(self, count: int) -> Tensor:
        """Return indices (count,) of samples from the whole data set, always the same ones."""
        return torch.randperm(len(self), generator=torch.Generator().manual_seed(0))[:count].sort().values

    def read(self, gan: GAN, batches: list[Tensor]) -> Iterator[Tensor]:
        """Yield the samples (N, …) with these indices, batch by batch."""
        indices = [batch.tolist() for batch in batches]
        source = self.loader
        reader = DataLoader(
            self.dataset, batch_sampler=indices, collate_fn=source.collate_fn, num_workers=source.num_workers
        )
        for batch in reader:
            yield gan.unpack_batch(batch)[0].to(gan.device, torch.float32)
