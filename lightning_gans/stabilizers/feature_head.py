"""The base class of heads that are trained on the discriminator's features beside its own."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from lightning_gans.gan import GAN
from lightning_gans.networks import Discriminator, samples_in_pack
from lightning_gans.stabilizer import NetworkStabilizer


class FeatureHead(NetworkStabilizer, ABC):
    """A Linear layer on the discriminator's `features` beside its own head, which predicts something of a sample.

        prediction(x) = W f(x) + b,    f = the discriminator's `features`, of maps their mean over positions

    The layer is part of the discriminator: its optimizer trains it, checkpoints hold it, and it is frozen in the
    generator's step. A subclass defines `num_outputs`, its width, names in `layer_arguments` the arguments that decide
    it, and uses `predict` in the hooks of the losses. The other arguments are no part of what a checkpoint notes of the
    change: a run may continue with other strengths, and two that differ in these share one layer. Where all strengths
    are 0, which `loss_terms` tells, there is no layer.

    Raises:
        ValueError: for a discriminator without `features`, one that is not trained, or one of packs.
    """

    layer_arguments: tuple[str, ...] = ()
    """The names of the arguments that decide the width of the layer."""

    @property
    @abstractmethod
    def loss_terms(self) -> list[str]:
        """The names of what it adds to losses, which are logged as `loss/<name>`."""

    @abstractmethod
    def num_outputs(self, gan: GAN) -> int:
        """Return the width of the layer, or raise `ValueError` if the GAN does not fit."""

    @override
    def apply_to(self, gan: GAN) -> None:
        if not self.loss_terms:
            return
        self._check_discriminator(gan)
        width = self.num_outputs(gan)
        if not self.is_applied(gan):
            self._add(gan, width)
            gan.network_changes.append(self._recipe)

    @override
    def is_applied(self, gan: GAN) -> bool:
        return not self.loss_terms or super().is_applied(gan)

    @override
    def change(self, gan: GAN) -> None:
        self._add(gan, self.num_outputs(gan))

    def predict(self, gan: GAN, discriminator: Callable[..., Tensor] | None, x: Tensor) -> Tensor:
        """Return the layer's outputs (N, num_outputs) of samples (N, …), as the discriminator sees them, in float32.

        Args:
            gan: whose discriminator has the layer.
            discriminator: that of the step; where it is a function without features, those of `gan.discriminator`.
            x: samples.
        """
        features = getattr(discriminator, "features", gan.discriminator.features)(x)
        if len(features) != len(x):
            self._refuse_packs(gan)  # which later stabilizers have made
        pooled = features if features.dim() == 2 else features.flatten(2).mean(2)
        outputs = self.layer(gan, discriminator)(pooled)
        return outputs.to(torch.promote_types(outputs.dtype, torch.float32))

    def layer(self, gan: GAN, discriminator: Callable[..., Tensor] | None = None) -> nn.Module:
        """Return the layer, which wrappers of the discriminator may surround: that of a past one, where it is given."""
        networks = (discriminator, gan.discriminator) if isinstance(discriminator, nn.Module) else (gan.discriminator,)
        modules = (one for network in networks for one in network.modules())
        return next(one.get_submodule(self._name) for one in modules if hasattr(one, self._name))

    @property
    def _name(self) -> str:
        """The name of the class in snake case, and what decides the layer."""
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()
        return "_".join([name, *(str(getattr(self, argument)) for argument in self.layer_arguments)])

    @property
    @override
    def _recipe(self) -> dict[str, Any]:
        return {**super()._recipe, "init_args": {name: self._arguments[name] for name in self.layer_arguments}}

    def _add(self, gan: GAN, width: int) -> None:
        like = next(gan.discriminator.parameters(), torch.empty(0))
        layer = nn.Linear(gan.discriminator.num_features, width, device=like.device, dtype=like.dtype)
        gan.discriminator.add_module(self._name, layer)

    def _check_discriminator(self, gan: GAN) -> None:
        name, network = type(self).__name__, gan.discriminator
        if not isinstance(network, Discriminator) or not callable(getattr(network, "features", None)):
            raise ValueError(
                f"{name} needs a discriminator with `features` that are trained, and {type(network).__name__} has "
                "none; use one of the library's discriminators, or leave it out."
            )
        self._refuse_packs(gan)

    def _refuse_packs(self, gan: GAN) -> None:
        packed = samples_in_pack(gan.discriminator)
        if packed > 1:
            raise ValueError(
                f"{type(self).__name__} predicts something of each sample, and the discriminator sees packs of "
                f"{packed}; leave Packing out."
            )
