"""Differentiable augmentation: it keeps the discriminator from memorising a small data set."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.stabilizer import Stabilizer


class DifferentiableAugmentation(Stabilizer):
    """Change colours, shift and cut the discriminator's input, real and fake, with random numbers for each image.

    In this order, with new random numbers for every image at every use:

        brightness:  x + b,  b ~ U(−½, ½)
        saturation:  m + s (x − m),  s ~ U(0, 2),  m the mean over the channels of each pixel
        contrast:    m + c (x − m),  c ~ U(½, 3/2),  m the mean of the image
        translation: by whole pixels, up to ⅛ of each side, uniform; filled with zeros
        cutout:      zeros in a square of half of each side, around a uniform point; it may extend over the edge

    If only the data were augmented, the generator would learn to make augmented images. Here fakes pass through the
    same transformations in the steps of both players, and gradients pass through them to the generator. It helps with
    few images (thousands or less); with many it makes no difference at best. It costs a few passes over the images.

    Args:
        color: strength of the first three, in [0, 1], as a factor on the widths of the ranges above; 0 is none.
        translation: largest shift as a share of each side, in [0, 1), rounded down to pixels; 0 is none.
        cutout: side of the square as a share of each side, in [0, 1), rounded down to pixels; 0 is none.

    Raises:
        ValueError: for a strength out of range, samples that are not images, or a shift or square of less than a pixel.

    Reference:
        Zhao et al., Differentiable Augmentation for Data-Efficient GAN Training, NeurIPS 2020, arXiv 2006.10738.
    """

    def __init__(self, color: float = 1.0, translation: float = 0.125, cutout: float = 0.5):
        arguments.fraction(self, color=color)
        arguments.fraction(self, include_one=False, translation=translation, cutout=cutout)
        self.color = color
        self.translation = translation
        self.cutout = cutout

    @override
    def apply_to(self, gan: GAN) -> None:
        """Refuse samples that are not images, and a shift or square of less than a pixel."""
        shape = gan.generator.sample_shape
        if len(shape) != 3:
            raise ValueError(
                f"DifferentiableAugmentation changes images (C, H, W), but the samples are {shape}; leave it out."
            )
        for name, share, side in (
            ("translation", self.translation, max(shape[1:])),
            ("cutout", self.cutout, min(shape[1:])),
        ):
            if share and int(side * share) == 0:
                raise ValueError(
                    f"DifferentiableAugmentation({name}={share}) is less than a pixel of images of {shape[1]} × "
                    f"{shape[2]}; expected a larger share, or 0 for none."
                )

    @override
    def on_discriminator_input(self, gan: GAN, x: Tensor) -> Tensor:
        if self.color:
            x = self._recolored(x)
        if self.translation:
            x = self._shifted(x)
        return self._cut(x) if self.cutout else x

    def _recolored(self, x: Tensor) -> Tensor:
        around_zero = self.color * (2 * torch.rand(3, len(x), 1, 1, 1, dtype=x.dtype, device=x.device) - 1)
        x = x + around_zero[0] / 2
        x = torch.lerp(x.mean(1, keepdim=True), x, 1 + around_zero[1])
        return torch.lerp(x.mean((1, 2, 3), keepdim=True), x, 1 + around_zero[2] / 2)

    def _shifted(self, x: Tensor) -> Tensor:
        for dim in (2, 3):
            side, most = x.shape[dim], int(x.shape[dim] * self.translation)
            by = torch.randint(-most, most + 1, (len(x), 1), device=x.device)
            source = torch.arange(side, device=x.device) - by
            inside = _along(dim, (source >= 0) & (source < side))
            x = x.gather(dim, _along(dim, source.clamp(0, side - 1)).expand_as(x)) * inside
        return x

    def _cut(self, x: Tensor) -> Tensor:
        hidden = torch.ones((), dtype=torch.bool, device=x.device)
        for dim in (2, 3):
            side, cut = x.shape[dim], int(x.shape[dim] * self.cutout)
            start = torch.randint(0, side + 1 - cut % 2, (len(x), 1), device=x.device) - cut // 2
            place = torch.arange(side, device=x.device) - start
            hidden = hidden & _along(dim, (place >= 0) & (place < cut))
        return x * ~hidden


def _along(dim: int, rows: Tensor) -> Tensor:
    """Return numbers (N, side) in a shape that broadcasts along rows (dim 2) or columns (dim 3) of (N, C, H, W)."""
    return rows[:, None, :, None] if dim == 2 else rows[:, None, None, :]
