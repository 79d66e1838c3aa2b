"""Random turns, sizes, shifts and mirror images of the discriminator's input."""

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

        y(u) = x(s R(a) E u + t),    a ~ U(−rotation, rotation),  s ~ U(1 − zoom, 1 + zoom),  t ~ U(−shift, shift)²,
        E = diag(√e, 1/√e),          e ~ U(1 − stretch, 1 + stretch)

    where u is a position relative to the middle, R(a) a rotation, and t is in sides of the image. Values between pixels
    are bilinear; beyond the edge those of the edge are repeated. Before that, an image is mirrored left to right and
    turned by 90°, 180° or 270° with the given probabilities, which moves pixels and changes none. Gradients pass to the
    generator. With all six arguments it has the geometric transformations of the paper, there with Gaussian sizes.

    Like `DifferentiableAugmentation`, which is applied in the same place, it helps a discriminator that memorises few
    images. In `SEPGAN` the classifier sees the turned image: the generator has to draw what is recognised from any
    angle, which are strokes rather than textures.

    Args:
        rotation: largest angle in degrees, in [0, 180].
        zoom: largest change of the size as a share of it, in [0, 1).
        shift: largest shift as a share of each side, in [0, 1).
        flip: probability of a mirror image, left to right, in [0, 1].
        quarter_turns: probability of turning by 90°, 180° or 270°, each as likely, in [0, 1]; for square images.
        stretch: largest change of the ratio of width and height as a share of it, in [0, 1); the area stays.

    Raises:
        ValueError: for a number out of range, samples that are not images, or quarter turns of images that are not
            square.

    Reference:
        Karras et al., Training Generative Adversarial Networks with Limited Data, NeurIPS 2020, arXiv 2006.06676, for a
        discriminator; Olah, Mordvintsev, Schubert, Feature Visualization, Distill 2017, "transformation robustness",
        for a classifier.
    """

    def __init__(
        self,
        rotation: float = 20.0,
        zoom: float = 0.2,
        shift: float = 0.1,
        flip: float = 0.0,
        quarter_turns: float = 0.0,
        stretch: float = 0.0,
    ):
        arguments.between(self, 0, 180, rotation=rotation)
        arguments.fraction(self, include_one=False, zoom=zoom, shift=shift, stretch=stretch)
        arguments.fraction(self, flip=flip, quarter_turns=quarter_turns)
        self.rotation = rotation
        self.zoom = zoom
        self.shift = shift
        self.flip = flip
        self.quarter_turns = quarter_turns
        self.stretch = stretch

    @override
    def apply_to(self, gan: GAN) -> None:
        """Refuse samples that are not images, and quarter turns of images that are not square."""
        shape = gan.generator.sample_shape
        if len(shape) != 3:
            raise ValueError(f"RandomAffine turns images (C, H, W), but the samples are {shape}; leave it out.")
        if self.quarter_turns and shape[1] != shape[2]:
            raise ValueError(
                f"RandomAffine(quarter_turns={self.quarter_turns}): images of {shape[1]} × {shape[2]} are not square; "
                "use 0, and rotation for turns."
            )

    @override
    def on_discriminator_input(self, gan: GAN, x: Tensor) -> Tensor:
        if self.flip:
            x = torch.where(_happens(self.flip, x), x.flip(3), x)
        if self.quarter_turns:
            quarters = torch.randint(1, 4, (len(x), 1, 1, 1), device=x.device) * _happens(self.quarter_turns, x)
            turned = [x.rot90(number, (2, 3)) for number in (1, 2, 3)]
            for number, one in enumerate(turned, 1):
                x = torch.where(quarters == number, one, x)
        return x if self.rotation == self.zoom == self.shift == self.stretch == 0 else self._moved(x)

    def _moved(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        angle, size, right, down = 2 * torch.rand(4, len(x), dtype=x.dtype, device=x.device) - 1
        angle, size = angle * math.radians(self.rotation), 1 + self.zoom * size
        cos, sin = size * angle.cos(), size * angle.sin()
        rows = [[cos, -sin * height / width], [sin * width / height, cos]]  # positions are in half sides
        if self.stretch:
            ratio = 1 + self.stretch * (2 * torch.rand(len(x), dtype=x.dtype, device=x.device) - 1)
            rows = [[across * ratio.sqrt(), along / ratio.sqrt()] for across, along in rows]
        shifts = 2 * self.shift * right, 2 * self.shift * down
        matrix = [torch.stack([*row, shift], 1) for row, shift in zip(rows, shifts, strict=True)]
        where = F.affine_grid(torch.stack(matrix, 1), list(x.shape), align_corners=False)
        return F.grid_sample(x, where, padding_mode="border", align_corners=False)


def _happens(probability: float, x: Tensor) -> Tensor:
    """Draw for each image whether something happens, in a shape that broadcasts to (N, C, H, W)."""
    return torch.rand(len(x), 1, 1, 1, device=x.device) < probability
