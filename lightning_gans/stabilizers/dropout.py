"""Dropout: noise inside the networks."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.networks import AlwaysOnDropout, Maxout, StochasticLayer, weighted_layers
from lightning_gans.stabilizer import NetworkStabilizer

ACTIVATIONS = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Hardswish, nn.Hardtanh, nn.Softplus, nn.Softsign, nn.Tanh, nn.Sigmoid, Maxout),
)


class Dropout(NetworkStabilizer):
    """Drop entries after every hidden activation: always in the generator, in training only in the discriminator.

        y = x · b / (1 − p),    b ~ Bernoulli(1 − p) for each entry

    In the discriminator it weakens a player that wins too easily. In the generator it is a second source of noise
    beside z, which stays on in evaluation and generation: the same z gives another sample each time, and interpolations
    between two latents are noisy. An activation is hidden if a layer with weights is registered after it, so a
    generator's final tanh is not; all activations of a discriminator are. Only activations that are modules are found,
    and dropout that a network already has stays.

    Args:
        discriminator: p of the discriminator, in [0, 1).
        generator: p of the generator, in [0, 1).

    Raises:
        ValueError: for a probability out of range, or a network without hidden activations.

    Reference:
        Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017, arXiv 1611.07004.
    """

    def __init__(self, discriminator: float = 0.0, generator: float = 0.5):
        arguments.fraction(self, include_one=False, discriminator=discriminator, generator=generator)
        self.discriminator = discriminator
        self.generator = generator

    @override
    def change(self, gan: GAN) -> None:
        hidden: list[tuple[nn.Module, nn.Module, nn.Module]] = []
        if self.discriminator:
            found = _activations(gan.discriminator.modules())
            hidden += [(gan.discriminator, module, nn.Dropout(self.discriminator)) for module in found]
            self._refuse_none(gan.discriminator, found)
        if self.generator:
            found = self._before_the_last_weights(gan.generator)
            hidden += [(gan.generator, module, AlwaysOnDropout(self.generator)) for module in found]
            self._refuse_none(gan.generator, found)
        for network, activation, dropout in hidden:
            self.replace(network, activation, nn.Sequential(activation, dropout).train(activation.training))

    @staticmethod
    def _before_the_last_weights(network: nn.Module) -> list[nn.Module]:
        modules, weighted = list(network.modules()), {layer for _, layer in weighted_layers(network)}
        places = [place for place, m in enumerate(modules) if m in weighted or isinstance(m, StochasticLayer)]
        return _activations(modules[: max(places, default=0)])

    def _refuse_none(self, network: nn.Module, found: list[nn.Module]) -> None:
        if not found:
            raise ValueError(
                f"{self}: {type(network).__name__} has no hidden activations that are modules; set its probability to "
                "0, or give the network layers such as torch.nn.ReLU."
            )


def _activations(modules: Iterable[nn.Module]) -> list[nn.Module]:
    return [module for module in modules if isinstance(module, ACTIVATIONS)]
