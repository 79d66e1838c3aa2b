"""R1: a discriminator that is flat on the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from lightning_gans.schedules import Schedule
from lightning_gans.stabilizers.penalty import Penalty

if TYPE_CHECKING:
    from lightning_gans.gan import GAN
    from lightning_gans.step import Step


class R1Penalty(Penalty):
    """Push the discriminator's slope on real samples to zero.

        weight/2 · mean ‖∇D(x)‖₂²

    Once fakes are like the data nothing is left for the discriminator to say, and a slope that it keeps drives the
    generator away again: the plain game circles around its solution. With this penalty it converges from nearby. The
    norm is over all dimensions of a sample, so that larger images want a larger weight. It costs about one more forward
    and two more backwards of the discriminator per step; see `Penalty` for precision, BatchNorm and `every`.

    Args:
        weight: γ, at least 0, or a schedule; 10 in the paper, on images. On points of a few dimensions begin with 1,
            as there the slopes that tell modes apart are steep.
        every: in which of the discriminator's steps it acts, at least 1; 16 in StyleGAN2, which is lazy regularisation.

    Raises:
        ValueError: for a negative weight, or an `every` below 1.

    Reference:
        Mescheder, Geiger and Nowozin, Which Training Methods for GANs do actually Converge?, ICML 2018,
        arXiv 1801.04406.
    """

    def __init__(self, weight: float | Schedule = 10.0, every: int = 1):
        super().__init__(weight, every)

    def penalty(self, gan: GAN, step: Step) -> Tensor:
        """Half the mean squared slope on real samples."""
        return self.slopes(gan, step, step.real).square().sum(1).mean() / 2
