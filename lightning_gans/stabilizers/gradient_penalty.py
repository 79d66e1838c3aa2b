"""The gradient penalty of WGAN-GP."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.schedules import Schedule
from lightning_gans.stabilizers.penalty import Penalty
from lightning_gans.step import Step


class GradientPenalty(Penalty):
    """Keep the critic's slope near a target between real and fake samples.

        weight · mean[(‖∇D(x̂)‖₂ − target)²],    x̂ = εx + (1 − ε)G(z),  ε ~ U(0, 1), one per sample

    The norm is per sample (with `Packing` per pack), over all its dimensions, of the gradient with respect to the
    input; of a discriminator of patches, of the gradient of a sample's mean logit. Under mixed
    precision it is computed in the precision of the weights, autocast off. It needs a double backward: about one more
    forward and two more backwards of the discriminator per step. Do not use BatchNorm in the discriminator, which
    makes a sample's gradient depend on its batch; a warning tells if there is any.

    Args:
        weight: λ, at least 0, or a schedule; 10 in the paper, smaller on two-dimensional toys.
        target: the slope to keep, at least 0; 1 makes a critic 1-Lipschitz where it matters.
        every: the penalty acts in every `every`-th step of D, at least 1; above 1 is lazy regularisation.

    Raises:
        ValueError: for a negative weight or target, or an `every` below 1.

    Reference:
        Gulrajani et al., Improved Training of Wasserstein GANs, NeurIPS 2017, arXiv 1704.00028.
    """

    def __init__(self, weight: float | Schedule = 10.0, target: float = 1.0, every: int = 1):
        super().__init__(weight, every)
        arguments.at_least(self, 0, target=target)
        self.target = target

    @override
    def penalty(self, gan: GAN, step: Step) -> Tensor:
        assert step.real is not None
        real, fake = step.real.to(gan.dtype), step.fake.to(gan.dtype)
        slopes = self.slopes(gan, step, torch.lerp(fake, real, self.draw(step, real)))
        return (torch.linalg.vector_norm(slopes, dim=1) - self.target).square().mean()
