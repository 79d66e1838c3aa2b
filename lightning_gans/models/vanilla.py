"""The first GAN, of two multilayer perceptrons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch.cli import OptimizerCallable
from torch import nn

from lightning_gans.gan import GAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator, Uniform
from lightning_gans.optimizers import SGD


class VanillaGAN(GAN):
    """The GAN of the first paper, two multilayer perceptrons, with its authors' settings for MNIST.

    The generator has two hidden ReLU layers, the discriminator two maxout layers with dropout. Initial weights are
    uniform in ±0.05 and ±0.005. Both players use SGD with momentum, one step each, on the non-saturating objective.
    Two things differ from the authors' run: data in [−1, 1] with tanh instead of [0, 1] with a sigmoid, and constant
    rates (they divide the rate by 1.000004 per step and raise the momentum to 0.7). On images in [−1, 1] their rate of
    0.1 lets the discriminator explode; `configs/vanilla_mnist.yaml` has 0.02.

    It often collapses on two-dimensional mixtures, so it is the baseline of the examples.

    Args:
        sample_shape: shape of one sample, (C, H, W) or (D,).
        latent_dim: dimensions of z ~ U(−1, 1).
        generator_width: ReLUs per hidden layer.
        discriminator_width: maxout units per hidden layer.
        maxout_pieces: linear pieces per maxout unit.
        dropout: probability of dropping a hidden unit of the discriminator, in [0, 1).
        input_dropout: probability of dropping an input of the discriminator, in [0, 1).
        num_classes: number of labels; 0 is an unconditional GAN.
        generator_optimizer: makes the generator's optimizer.
        discriminator_optimizer: makes the discriminator's optimizer.
        kwargs: the other arguments of `GAN`.

    Reference:
        Goodfellow et al., Generative Adversarial Nets, NeurIPS 2014, arXiv 1406.2661, and the authors'
        published settings for MNIST.
    """

    def __init__(
        self,
        sample_shape: Sequence[int],
        latent_dim: int = 100,
        generator_width: int = 1200,
        discriminator_width: int = 240,
        maxout_pieces: int = 5,
        dropout: float = 0.5,
        input_dropout: float = 0.2,
        num_classes: int = 0,
        generator_optimizer: OptimizerCallable = lambda params: SGD(params, lr=0.1, momentum=0.5),
        discriminator_optimizer: OptimizerCallable = lambda params: SGD(params, lr=0.1, momentum=0.5),
        **kwargs: Any,
    ):
        generator = MLPGenerator(
            sample_shape, Uniform(latent_dim), width=generator_width, depth=2, num_classes=num_classes
        )
        discriminator = MLPDiscriminator(
            sample_shape,
            width=discriminator_width,
            depth=2,
            maxout_pieces=maxout_pieces,
            dropout=dropout,
            input_dropout=input_dropout,
            num_classes=num_classes,
        )
        _initialize_uniform(generator, 0.05)
        _initialize_uniform(discriminator, 0.005)
        super().__init__(
            generator=generator,
            discriminator=discriminator,
            generator_optimizer=generator_optimizer,
            discriminator_optimizer=discriminator_optimizer,
            **kwargs,
        )


def _initialize_uniform(network: nn.Module, bound: float) -> None:
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.zeros_(module.bias)
