"""DRAGAN: a gradient penalty around the data, without the fakes."""

from __future__ import annotations

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.distributed import mean
from lightning_gans.gan import GAN
from lightning_gans.schedules import Schedule
from lightning_gans.stabilizers.penalty import Penalty
from lightning_gans.step import Step


class DRAGANPenalty(Penalty):
    """Keep the discriminator's slope near a target around the real samples.

        weight · mean[(‖∇D(x̂)‖₂ − target)²],    x̂ = x + α · sigma · s · u

    with s the standard deviation of all entries of the real batch, u ~ U(0, 1) for each entry and α ~ U(0, 1) for each
    sample (with `Packing` for each pack). It limits the discriminator around the data, where it would be steepest, and
    nowhere else; it was proposed for the cross-entropy of `NonSaturating`. As with `GradientPenalty`, the discriminator
    keeps a slope at the solution, so the players do not converge to it; with a target of 0 they do.

    This follows the authors' program, with its α between a sample and its noisy copy. The paper's text has x + δ with δ
    ~ N(0, cI) instead; some public programs leave out α, some centre u, and some use the variance for s. Noise that is
    not centred makes the data brighter. s is of the batch of all processes, or of a part of it under accumulation, of
    which a warning tells. It costs about one more forward and two more backwards of the discriminator per step; see
    `Penalty` for precision, BatchNorm and `every`.

    Args:
        weight: λ, at least 0, or a schedule; 10 in the authors' program.
        sigma: largest noise in standard deviations of the real batch, at least 0; 0 penalises real samples alone.
        target: the slope to keep, at least 0.
        every: the penalty acts in every `every`-th step of D, at least 1; above 1 is lazy regularisation.

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

    @override
    def apply_to(self, gan: GAN) -> None:
        """Warn of layers that mix a batch, and of batches in parts."""
        super().apply_to(gan)
        if self.sigma and gan.discriminator_accumulation > 1 and "parts" not in self._warned:
            self._warned.add("parts")
            rank_zero_warn(
                f"{type(self).__name__} with discriminator_accumulation={gan.discriminator_accumulation}: the noise "
                "has the spread of each part of a batch, not of the whole; set discriminator_accumulation to 1.",
                category=UserWarning,
            )

    @override
    def penalty(self, gan: GAN, step: Step) -> Tensor:
        assert step.real is not None
        x = step.real.to(gan.dtype)
        if self.sigma:
            alpha = self.draw(step, x)
            x = x + alpha * (self.sigma * _deviation(x)) * torch.rand_like(x)
        return (torch.linalg.vector_norm(self.slopes(gan, step, x), dim=1) - self.target).square().mean()


def _deviation(x: Tensor) -> Tensor:
    """Return the standard deviation of all entries in all processes."""
    own = x.mean()
    return mean(x.var(correction=0) + (own - mean(own)).square()).sqrt()
