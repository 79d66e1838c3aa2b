"""Weight decay: a penalty on the discriminator's weights."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.schedules import Schedule, bounds, value
from lightning_gans.stabilizer import Stabilizer
from lightning_gans.step import Step


class WeightDecay(Stabilizer):
    """Add the squared norm of the discriminator's weights to its loss.

        weight/2 · Σ ‖W‖₂²    over the weights of its linear, convolutional and embedding layers

    Biases, norms and parameters of other layers are left alone. Small weights make a discriminator flat everywhere:
    prefer `R1Penalty`, which makes it flat where it matters, unless it costs too much; weight decay costs only a pass
    over the weights. As a part of the loss its gradient passes through the optimizer, and Adam rescales it; for
    decoupled decay use `torch.optim.AdamW` as the `discriminator_optimizer`. If a layer computes its weight (spectral
    or weight normalisation), the trained tensors are decayed, not the computed weight; under a norm that undoes the
    scale, such as these and BatchNorm, decay only raises the effective learning rate.

    Args:
        weight: weight of the penalty, at least 0, or a schedule; the gradient is `weight` times W.

    Raises:
        ValueError: for a negative weight; for a discriminator without such layers.

    Reference:
        Krogh and Hertz, A Simple Weight Decay Can Improve Generalization, NeurIPS 1991; Loshchilov and Hutter,
        Decoupled Weight Decay Regularization, ICLR 2019, arXiv 1711.05101, on its effect under Adam.
    """

    def __init__(self, weight: float | Schedule = 1e-4):
        arguments.at_least(self, 0, weight=weight)
        self.weight = weight

    @override
    def apply_to(self, gan: GAN) -> None:
        """Refuse a discriminator without weights to decay."""
        if next(_weights(gan.discriminator), None) is None:
            raise ValueError(
                f"WeightDecay: {type(gan.discriminator).__name__} has no linear, convolutional or embedding layer to "
                "decay; leave it out."
            )

    @property
    def loss_terms(self) -> list[str]:
        """The names of what it adds to losses, which are logged as `loss/<name>`."""
        return ["weight_decay"] if bounds(self.weight)[1] > 0 else []

    @override
    def on_discriminator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        """Add the penalty; in a lookahead it is that of the lookahead's weights, which `gan.discriminator` then has."""
        weight = value(self.weight, gan.generator_updates)
        if weight == 0:
            return loss
        weights = dict.fromkeys(_weights(gan.discriminator))  # once each, though layers may share them
        flat = torch.cat([parameter.flatten() for parameter in weights])
        penalty = weight / 2 * flat.to(torch.promote_types(flat.dtype, torch.float32)).square().sum()
        step.terms["weight_decay"] = penalty.detach()
        return loss + penalty


def _weights(network: nn.Module) -> Iterator[Tensor]:
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Bilinear | _ConvNd | nn.Embedding):
            for name, parameter in module.named_parameters():
                if name.removeprefix("parametrizations.").startswith("weight"):
                    yield parameter
