"""The deep convolutional GAN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch.cli import OptimizerCallable

from lightning_gans.gan import GAN
from lightning_gans.networks import DCGANDiscriminator, DCGANGenerator, Uniform
from lightning_gans.optimizers import Adam


class DCGAN(GAN):
    """A convolutional GAN that follows the five guidelines of its paper.

    Strided and fractionally strided convolutions instead of pooling; BatchNorm in both networks except at
    the generator's output and the discriminator's input; no hidden fully connected layers; ReLUs in the
    generator with tanh at the output; LeakyReLUs in the discriminator. Initial weights are drawn from N(0, 0.02²).
    It takes images of any size from 8 × 8; the paper's batch size is 128.

    Args:
        image_shape: (C, H, W).
        latent_dim: dimensions of z ~ U(−1, 1).
        width: channels of the layer next to the image; they double at each stage, up to 8 × width.
        num_classes: number of labels; 0 is an unconditional GAN.
        generator_optimizer: makes the generator's optimizer.
        discriminator_optimizer: makes the discriminator's optimizer.
        kwargs: the other arguments of `GAN`.

    Raises:
        ValueError: for an image smaller than 8 × 8.

    Reference:
        Radford, Metz and Chintala, Unsupervised Representation Learning with Deep Convolutional Generative
        Adversarial Networks, ICLR 2016, arXiv 1511.06434.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dim: int = 100,
        width: int = 128,
        num_classes: int = 0,
        generator_optimizer: OptimizerCallable = lambda params: Adam(params, lr=2e-4, beta1=0.5),
        discriminator_optimizer: OptimizerCallable = lambda params: Adam(params, lr=2e-4, beta1=0.5),
        **kwargs: Any,
    ):
        super().__init__(
            generator=DCGANGenerator(image_shape, Uniform(latent_dim), width=width, num_classes=num_classes),
            discriminator=DCGANDiscriminator(image_shape, width=width, num_classes=num_classes),
            generator_optimizer=generator_optimizer,
            discriminator_optimizer=discriminator_optimizer,
            **kwargs,
        )
