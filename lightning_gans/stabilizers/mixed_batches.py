"""Layers with which a sample's logit and slope depend on its batch, and a warning of them."""

from __future__ import annotations

from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lightning_gans.stabilizer import Stabilizer


def mixing_layers(network: nn.Module) -> set[str]:
    """Return "BatchNorm" where a network has one, and the classes of its modules with a true `mixes_batch`."""
    names = set()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            names.add("BatchNorm")
        elif getattr(module, "mixes_batch", False):
            names.add(type(module).__name__)
    return names


def warn_of_mixing(stabilizer: Stabilizer, discriminator: nn.Module, warned: set[str]) -> None:
    """Warn of each kind of such layers once; `warned` has those that were named before, and is added to."""
    names = mixing_layers(discriminator)
    for name in sorted(names - warned):
        remedy = "Leave out one of the two, unless you follow a paper that has both, such as StyleGAN2."
        if name == "BatchNorm":
            remedy = "Use norm: null, or a per-sample norm such as torch.nn.InstanceNorm2d."
        rank_zero_warn(
            f"{type(stabilizer).__name__} with {name} in the discriminator: a sample's gradient then depends on its "
            f"whole batch, which {type(stabilizer).__name__} does not expect. {remedy}",
            category=UserWarning,
        )
    warned |= names
