"""The base class of spectral and weight normalisation, which compute weights from other tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from typing_extensions import override

from lightning_gans.gan import GAN
from lightning_gans.networks import weighted_layers
from lightning_gans.stabilizer import NetworkStabilizer


class Parametrization(NetworkStabilizer, ABC):
    """Parametrise the weight of every layer of the chosen networks; a subclass defines `parametrize`."""

    discriminator: bool
    generator: bool

    @override
    def change(self, gan: GAN) -> None:
        layers: dict[str, nn.Module] = {}
        for player in [player for player in ("discriminator", "generator") if getattr(self, player)]:
            layers |= {f"{player}.{name}": layer for name, layer in self.layers(gan, player)}
        if not layers and (self.discriminator or self.generator):
            raise ValueError(f"{self}: no linear layer or convolution in what it is to normalise; leave it out.")
        for name, layer in layers.items():
            if is_parametrized(layer, "weight"):
                made_by = getattr(layer.parametrizations, "weight")[0]  # noqa: B009 - mypy does not know the type
                raise ValueError(
                    f"{self}: the weight of {name} is parametrised already ({type(made_by).__name__.strip('_')}); "
                    "normalise a network's weights in one way only."
                )
            if isinstance(layer.weight, Tensor) and not layer.weight.any():
                raise ValueError(
                    f"{self}: the weight of {name} starts at 0, by whose norm it would be divided; give "
                    "OrthogonalInitialization first, or leave this stabilizer out."
                )
        for layer in dict.fromkeys(layers.values()):
            self.parametrize(layer)

    def layers(self, gan: GAN, player: str) -> list[tuple[str, nn.Module]]:
        """Return names and modules to parametrise in the network of "generator" or "discriminator"."""
        return list(weighted_layers(getattr(gan, player)))

    @abstractmethod
    def parametrize(self, layer: nn.Module) -> None:
        """Parametrise the weight of one layer."""
