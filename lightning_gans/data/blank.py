"""No data: blank images for a game that looks at none."""

from collections.abc import Sequence

import torch

from lightning_gans.data.base import GANData, Samples, Split, at_least


class Blank(GANData):
    """Blank images that only say how many samples a step makes, and of what shape.

    For `SEPGAN`, whose generator learns from a classifier alone. Nothing is read or downloaded.

    Args:
        image_shape: (C, H, W) of the images to make.
        num_samples: images in an epoch, and in the test set; there is no validation set.
        batch_size: images in a batch, in each process.

    Raises:
        ValueError: for an argument out of range.
    """

    def __init__(self, image_shape: Sequence[int] = (3, 64, 64), num_samples: int = 6_400, batch_size: int = 64):
        super().__init__(batch_size)
        if len(image_shape) != 3:
            raise ValueError(f"image_shape={image_shape!r} is no image; give channels, height and width")
        at_least(1, channels=image_shape[0], height=image_shape[1], width=image_shape[2], num_samples=num_samples)
        self.image_shape = tuple(image_shape)
        self.num_samples = num_samples

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """(C, H, W)."""
        return self.image_shape

    def load(self, split: Split) -> Samples:
        """As many blank images as the split has; they share their memory."""
        count = 0 if split == "val" else self.num_samples
        return Samples(torch.zeros(1, 1, 1, 1).expand(count, *self.image_shape))
