"""Random brightness, contrast, hue and saturation of the discriminator's input."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.stabilizer import Stabilizer


class RandomColor(Stabilizer):
    """Change the colours of the discriminator's input, real and fake, with random numbers for each image.

        x' = c (±(m + b) + s R(a) (x − m)),    m the mean over the channels of each pixel

        brightness:  b ~ N(0, brightness²)
        contrast:    log₂ c ~ N(0, contrast²)
        luma flip:   − in place of + with probability `luma_flip`, which makes light dark and keeps the hue
        hue:         R(a) a rotation around the grey axis (1, 1, 1),  a ~ U(−hue, hue)
        saturation:  log₂ s ~ N(0, saturation²)

    This is the product of the paper's five matrices of homogeneous colours, in its order. An image of one channel has
    no hue and no saturation: x' = ±c (x + b). Nothing is clamped: values may leave [−1, 1], of real images and fakes in
    the same way. Gradients pass to the generator. It costs a few passes over the images.

    Use it where a discriminator memorises few images, best with a probability below 1, as in `AdaptiveAugmentation`:
    if every image has another hue, the generator cannot know which one the data has. The defaults are the paper's.

    Args:
        brightness: standard deviation of what is added to an image, at least 0, in units of the samples.
        contrast: standard deviation of the binary logarithm of the contrast's factor, at least 0.
        luma_flip: probability of an inverted luma, in [0, 1].
        hue: largest rotation of the hue in degrees, in [0, 180].
        saturation: standard deviation of the binary logarithm of the saturation's factor, at least 0.

    Raises:
        ValueError: for a number out of range, or samples that are not images of 1 or 3 channels.

    Reference:
        Karras et al., Training Generative Adversarial Networks with Limited Data, NeurIPS 2020, arXiv 2006.06676,
        appendix B.
    """

    def __init__(
        self,
        brightness: float = 0.2,
        contrast: float = 0.5,
        luma_flip: float = 0.5,
        hue: float = 180.0,
        saturation: float = 1.0,
    ):
        arguments.at_least(self, 0, brightness=brightness, contrast=contrast, saturation=saturation)
        arguments.fraction(self, luma_flip=luma_flip)
        arguments.between(self, 0, 180, hue=hue)
        self.brightness = brightness
        self.contrast = contrast
        self.luma_flip = luma_flip
        self.hue = hue
        self.saturation = saturation

    @override
    def apply_to(self, gan: GAN) -> None:
        """Refuse samples that are not images of 1 or 3 channels."""
        shape = gan.generator.sample_shape
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise ValueError(
                f"RandomColor changes images of 1 or 3 channels (C, H, W), but the samples are {shape}; leave it out."
            )

    @override
    def on_discriminator_input(self, gan: GAN, x: Tensor) -> Tensor:
        colored = x.shape[1] > 1 and (self.hue > 0 or self.saturation > 0)
        if not colored and self.brightness == self.contrast == self.luma_flip == 0:
            return x
        bright, contrast, saturation = torch.randn(3, len(x), 1, 1, 1, dtype=x.dtype, device=x.device)
        flip, angle = torch.rand(2, len(x), 1, 1, 1, dtype=x.dtype, device=x.device)
        factor = (self.contrast * contrast).exp2()
        luma = x.mean(1, keepdim=True)
        chroma = x - luma
        if colored:
            angle = math.radians(self.hue) * (2 * angle - 1)
            across = (x.roll(1, 1) - x.roll(-1, 1)) / math.sqrt(3)  # the cross product of (1, 1, 1)/√3 and x
            chroma = (self.saturation * saturation).exp2() * (angle.cos() * chroma + angle.sin() * across)
        luma = torch.where(flip < self.luma_flip, -factor, factor) * (luma + self.brightness * bright)
        return luma + factor * chroma if x.shape[1] > 1 else luma
