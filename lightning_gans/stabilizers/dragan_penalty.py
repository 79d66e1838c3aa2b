"""DRAGAN: the gradient penalty around the data, away from the fakes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_gans import arguments
from lightning_gans.distributed import mean
from lightning_gans.schedules import Schedule
from lightning_gans.stabilizers.penalty import Penalty

if TYPE_CHECKING:
    from lightning_gans.gan import GAN
    from lightning_gans.step import Step


class DRAGANPenalty(Penalty):
    """Keep the discriminator's slope near a target around the real samples.

        weight · mean[(‖∇D(x̂)‖₂ − target)²],    x̂ = x + α · sigma · s · u

    with s the standard deviation of all entries of the real batch, u ~ U(0, 1) for each entry and α ~ U(0, 1) for each
    sample. It holds the discriminator back around the data, where it would be steepest, and asks nothing of it
    elsewhere; meant for the cross-entropy of `NonSaturating`. As the discriminator is to keep a slope, the players do
    not come to rest at the solution, no more than with `GradientPenalty`; they do with a target of 0.

    This is the authors' own program, with its α between a sample and its noised copy. The paper's text has x + δ with
    δ ~ N(0, cI) instead; of public programs some leave out α, some centre u, and some take the variance for s. Noise
    that is not centred lies on the brighter side of the data. s is of the batch of all processes, and of a part of it
    under accumulation. It costs about one more forward and two more backwards of the discriminator per step; see
    `Penalty` for precision, BatchNorm and `every`.

    Args:
        weight: λ, at least 0, or a schedule; 10 in the authors' program.
        sigma: reach of the noise in standard deviations of the real batch, at least 0; 0 penalises real samples alone.
        target: the slope to keep, at least 0.
        every: in which of the discriminator's steps it acts, at least 1; above 1 is lazy regularisation.

    Raises:
        ValueError: for a negative weight, sigma or target, or an `every` below 1.

    Reference:
        Kodali, Abernethy, Hays and Kira, On Convergence and Stability of GANs, 2017, arXiv 1705.07215.
    """

    def __init__(self, weight: float | Schedule = 10.0, sigma: float = 0.5, target: float = 1.0, every: int = 1):
        super().__init__(weight, every)
        arguments.at_least(self, 0, sigma=sigma, target=target)
        self.sigma = sigma
        self.target = target

    def penalty(self, gan: GAN, step: Step) -> Tensor:
        """The mean squared distance of the slope from the target."""
        assert step.real is not None
        x = step.real.to(gan.dtype)
        if self.sigma:
            alpha = torch.rand([len(x)] + [1] * (x.dim() - 1), dtype=x.dtype, device=x.device)
            x = x + alpha * (self.sigma * _deviation(x)) * torch.rand_like(x)
        return (torch.linalg.vector_norm(self.slopes(gan, step, x), dim=1) - self.target).square().mean()


def _deviation(x: Tensor) -> Tensor:
    """The standard deviation of all entries, those of the other processes among them."""
    own = x.mean()
    return mean(x.var(correction=0) + (own - mean(own)).square()).sqrt()
