"""What spectral and weight normalisation share: layers whose weight is computed from another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from lightning_gans.networks import weighted_layers
from lightning_gans.stabilizer import NetworkStabilizer

if TYPE_CHECKING:
    from lightning_gans.gan import GAN


class Parametrization(NetworkStabilizer, ABC):
    """Compute the weight of every layer of the chosen networks from what the optimizer moves."""

    discriminator: bool
    generator: bool

    def change(self, gan: GAN) -> None:
        """Parametrise the layers, or refuse where one is parametrised already."""
        layers: dict[str, nn.Module] = {}
        for who in [who for who in ("discriminator", "generator") if getattr(self, who)]:
            layers |= {f"{who}.{name}": layer for name, layer in self.layers(gan, who)}
        if not layers and (self.discriminator or self.generator):
            raise ValueError(f"{self}: no linear layer or convolution in what it is to normalise; leave it out.")
        for name, layer in layers.items():
            if is_parametrized(layer, "weight"):
                made_by = getattr(layer.parametrizations, "weight")[0]  # noqa: B009 - of a type that mypy knows not
                raise ValueError(
                    f"{self}: the weight of {name} is parametrised already ({type(made_by).__name__.strip('_')}); "
                    "normalise a network's weights in one way only."
                )
        for layer in dict.fromkeys(layers.values()):
            self.parametrize(layer)

    def layers(self, gan: GAN, who: str) -> list[tuple[str, nn.Module]]:
        """Names and modules to parametrise in one of the two networks."""
        return list(weighted_layers(getattr(gan, who)))

    @abstractmethod
    def parametrize(self, layer: nn.Module) -> None:
        """Parametrise one layer."""
