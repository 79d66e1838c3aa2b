"""Random horizontal flips of training images."""

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from lightning_gans.data.base import BatchDataset
from lightning_gans.step import Batch


class Flipped(BatchDataset):
    """A data set each of whose images (C, H, W) is mirrored, left to right, with probability ½ whenever it is read.

    The random numbers are torch's default ones, which for training batches depend on the run's seed and the batch.

    Args:
        data: a data set of images, with labels or without.
    """

    def __init__(self, data: BatchDataset):
        self.data = data

    @override
    def __len__(self) -> int:
        return len(self.data)

    @override
    def __getitems__(self, indices: Sequence[int]) -> Batch:
        batch = self.data.__getitems__(indices)
        x, *labels = (batch,) if isinstance(batch, Tensor) else batch
        mirrored = torch.rand(len(x)) < 0.5
        x = torch.where(mirrored.view(-1, 1, 1, 1), x.flip(-1), x)
        return (x, labels[0]) if labels else x
