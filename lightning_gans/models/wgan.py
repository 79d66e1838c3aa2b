"""The Wasserstein GANs: with weight clipping, and with a gradient penalty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lightning.pytorch.cli import OptimizerCallable
from torch import nn

from lightning_gans.gan import GAN
from lightning_gans.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    Discriminator,
    Gaussian,
    Generator,
    MLPDiscriminator,
    MLPGenerator,
)
from lightning_gans.objectives import Wasserstein
from lightning_gans.optimizers import Adam, RMSProp
from lightning_gans.stabilizers import GradientPenalty, WeightClipping


class WGAN(GAN):
    """The Wasserstein GAN: a critic that estimates a distance, kept Lipschitz by clipping its weights.

    For images both networks are the DCGAN's, as in the paper; for points they are MLPs with three hidden
    ReLU layers. The paper's batch size is 64.

    Args:
        sample_shape: shape of one sample, (C, H, W) or (D,).
        latent_dim: dimensions of z ~ N(0, I).
        width: channels of the layer next to the image, or units per hidden layer for points (512 is usual).
        clip: bound c on the critic's weights.
        n_critic: critic steps per generator step.
        num_classes: number of labels; 0 is an unconditional GAN.
        generator_optimizer: makes the generator's optimizer.
        discriminator_optimizer: makes the critic's optimizer; the authors advise against momentum here.
        kwargs: the other arguments of `GAN` but the objective, which is `Wasserstein`.

    Reference:
        Arjovsky, Chintala and Bottou, Wasserstein GAN, ICML 2017, arXiv 1701.07875.
    """

    def __init__(
        self,
        sample_shape: Sequence[int],
        latent_dim: int = 100,
        width: int = 64,
        clip: float = 0.01,
        n_critic: int = 5,
        num_classes: int = 0,
        generator_optimizer: OptimizerCallable = lambda params: RMSProp(params, lr=5e-5),
        discriminator_optimizer: OptimizerCallable = lambda params: RMSProp(params, lr=5e-5),
        **kwargs: Any,
    ):
        generator, critic = _networks(sample_shape, latent_dim, width, num_classes, norm=nn.BatchNorm2d)
        super().__init__(
            generator=generator,
            discriminator=critic,
            objective=Wasserstein(),
            generator_optimizer=generator_optimizer,
            discriminator_optimizer=discriminator_optimizer,
            n_critic=n_critic,
            **kwargs,
        )
        self.stabilizers.append(WeightClipping(clip))


class WGANGP(GAN):
    """The Wasserstein GAN with a gradient penalty in place of weight clipping.

    The networks are those of `WGAN`, but the critic has no BatchNorm, which does not fit the penalty. The paper's
    batch size is 64.

    Args:
        sample_shape: shape of one sample, (C, H, W) or (D,).
        latent_dim: dimensions of z ~ N(0, I); 128 in the authors' image models.
        width: channels of the layer next to the image, or units per hidden layer for points (512 in the
            authors' toys).
        gradient_penalty: weight λ of the penalty; the authors use 0.1 for two-dimensional toys.
        n_critic: critic steps per generator step.
        num_classes: number of labels; 0 is an unconditional GAN.
        generator_optimizer: makes the generator's optimizer.
        discriminator_optimizer: makes the critic's optimizer.
        kwargs: the other arguments of `GAN` but the objective, which is `Wasserstein`.

    Reference:
        Gulrajani et al., Improved Training of Wasserstein GANs, NeurIPS 2017, arXiv 1704.00028, algorithm 1.
    """

    def __init__(
        self,
        sample_shape: Sequence[int],
        latent_dim: int = 128,
        width: int = 64,
        gradient_penalty: float = 10.0,
        n_critic: int = 5,
        num_classes: int = 0,
        generator_optimizer: OptimizerCallable = lambda params: Adam(params, lr=1e-4, beta1=0.0, beta2=0.9),
        discriminator_optimizer: OptimizerCallable = lambda params: Adam(params, lr=1e-4, beta1=0.0, beta2=0.9),
        **kwargs: Any,
    ):
        generator, critic = _networks(sample_shape, latent_dim, width, num_classes, norm=None)
        super().__init__(
            generator=generator,
            discriminator=critic,
            objective=Wasserstein(),
            generator_optimizer=generator_optimizer,
            discriminator_optimizer=discriminator_optimizer,
            n_critic=n_critic,
            **kwargs,
        )
        self.stabilizers.append(GradientPenalty(gradient_penalty))


def _networks(
    sample_shape: Sequence[int], latent_dim: int, width: int, num_classes: int, norm: Callable[[int], nn.Module] | None
) -> tuple[Generator, Discriminator]:
    """Return generator and critic for images or for points; `norm` is that of the image critic."""
    latents = Gaussian(latent_dim)
    if len(sample_shape) == 3:
        return (
            DCGANGenerator(sample_shape, latents, width=width, num_classes=num_classes),
            DCGANDiscriminator(sample_shape, width=width, norm=norm, num_classes=num_classes),
        )
    return (
        MLPGenerator(sample_shape, latents, width=width, depth=3, num_classes=num_classes),
        MLPDiscriminator(sample_shape, width=width, depth=3, activation=nn.ReLU, num_classes=num_classes),
    )
