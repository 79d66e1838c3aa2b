"""Blank images for `SEPGAN`, which trains without data."""

from collections.abc import Sequence

import torch
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.data.base import GANData, Samples, Split


class Blank(GANData):
    """Blank images that only define how many samples a step makes, their shape and, on demand, their labels.

    For `SEPGAN`, whose generator is trained by a classifier alone. Nothing is read or downloaded.

    Args:
        image_shape: (C, H, W) of the images to generate.
        num_samples: images in an epoch, and in the test set; there is no validation set.
        batch_size: images in a batch, in each process.
        num_classes: number K of labels, which the images have in turn, 0 to K − 1; 0 is a batch without labels.

    Raises:
        ValueError: for an argument out of range.
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (3, 64, 64),
        num_samples: int = 6_400,
        batch_size: int = 64,
        num_classes: int = 0,
    ):
        arguments.whole(self, 0, num_classes=num_classes)
        super().__init__(batch_size, labels=num_classes > 0)
        if len(image_shape) != 3:
            raise ValueError(
                f"Blank(image_shape={image_shape!r}): expected channels, height and width, such as (3, 64, 64)."
            )
        arguments.whole(self, 1, **{f"image_shape[{i}]": size for i, size in enumerate(image_shape)})
        arguments.whole(self, 1, num_samples=num_samples)
        self.image_shape = tuple(image_shape)
        self.num_samples = num_samples
        self._num_classes = num_classes

    @override
    def count_classes(self) -> int:
        return self._num_classes

    @property
    @override
    def sample_shape(self) -> tuple[int, ...]:
        return self.image_shape

    @override
    def load(self, split: Split) -> Samples:
        count = 0 if split == "val" else self.num_samples
        labels = torch.arange(count) % self._num_classes if self.labels else None
        return Samples(torch.zeros(1, 1, 1, 1).expand(count, *self.image_shape), labels)  # one pixel in memory
