"""Random turns, sizes and shifts of the discriminator's input."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.stabilizer import Stabilizer


class RandomAffine(Stabilizer):
    """Turn, resize and shift the discriminator's input, real and fake, with random numbers for each image.

        y(u) = x(s R(a) u + t),    a ~ U(−rotation, rotation),  s ~ U(1 − zoom, 1 + zoom),  t ~ U(−shift, shift)²

    where u is a position relative to the middle, R(a) a rotation, and t is in sides of the image. Values between pixels
    are bilinear; beyond the edge those of the edge are repeated. Gradients pass to the generator.

    Like `DifferentiableAugmentation`, which is applied in the same place, it helps a discriminator that memorises few
    images. In `SEPGAN` the classifier sees the turned image: the generator has to draw what is recognised from any
    angle, which are strokes rather than textures.

    Args:
        rotation: largest angle in degrees, in [0, 180].
        zoom: largest change of the size as a share of it, in [0, 1).
        shift: largest shift as a share of each side, in [0, 1).

    Raises:
        ValueError: for a number out of range, or samples that are not images.

    Reference:
        Karras et al., Training Generative Adversarial Networks with Limited Data, NeurIPS 2020, arXiv 2006.06676, for a
        discriminator; Olah, Mordvintsev, Schubert, Feature Visualization, Distill 2017, "transformation robustness",
        for a classifier.
    """

    def __init__(self, rotation: float = 20.0, zoom: float = 0.2, shift: float = 0.1):
        arguments.between(self, 0, 180, rotation=rotation)
        arguments.fraction(self, include_one=False, zoom=zoom, shift=shift)
        self.rotation = rotation
        self.zoom = zoom
        self.shift = shift

    @override
    def apply_to(self, gan: GAN) -> None:
        """Refuse samples that are not images."""
        shape = gan.generator.sample_shape
        if len(shape) != 3:
            raise ValueError(f"RandomAffine turns images (C, H, W), but the samples are {shape}; leave it out.")

    @override
    def on_discriminator_input(self, gan: GAN, x: Tensor) -> Tensor:
        if self.rotation == self.zoom == self.shift == 0:
            return x
        height, width = x.shape[2:]
        angle, size, right, down = 2 * torch.rand(4, len(x), dtype=x.dtype, device=x.device) - 1
        angle, size = angle * math.radians(self.rotation), 1 + self.zoom * size
        cos, sin = size * angle.cos(), size * angle.sin()
        rows = (  # positions are in half sides, so a rotation of other than square images needs their ratio
            torch.stack([cos, -sin * height / width, 2 * self.shift * right], 1),
            torch.stack([sin * width / height, cos, 2 * self.shift * down], 1),
        )
        where = F.affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
        return F.grid_sample(x, where, padding_mode="border", align_corners=False)
