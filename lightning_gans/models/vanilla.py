"""The first GAN: two multilayer perceptrons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch.cli import OptimizerCallable
from torch import nn

from lightning_gans.gan import GAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator, Uniform
from lightning_gans.optimizers import SGD


class VanillaGAN(GAN):
    """The GAN of the first paper, as its authors ran it on MNIST.

    The generator has two hidden layers of rectifiers, the discriminator two of maxout with dropout; weights
    start uniform in ±0.05 and ±0.005; both learn by momentum SGD, one step each, on the non-saturating
    objective. Different from the authors' run: data in [−1, 1] with tanh instead of [0, 1] with a sigmoid,
    and constant rates (they decay the rate by 1.000004 per step and raise the momentum to 0.7).

    On two-dimensional mixtures it collapses readily; that makes it the base line of the examples.

    Args:
        sample_shape: of one sample, (C, H, W) or (D,).
        latent_dim: dimensions of z ~ U(−1, 1).
        generator_width: rectifiers per hidden layer.
        discriminator_width: maxout units per hidden layer.
        maxout_pieces: linear pieces per maxout unit.
        dropout: share of hidden units of the discriminator dropped in training, in [0, 1).
        input_dropout: share of its inputs dropped, in [0, 1).
        num_classes: of a conditional game; 0 for none.
        generator_optimizer: makes the generator's optimizer.
        discriminator_optimizer: makes the discriminator's optimizer.
        kwargs: whatever else `GAN` takes.

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
