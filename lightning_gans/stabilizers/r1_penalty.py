"""R1: a penalty on the discriminator's slope on real samples."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from lightning_gans.gan import GAN
from lightning_gans.schedules import Schedule
from lightning_gans.stabilizers.penalty import Penalty
from lightning_gans.step import Step


class R1Penalty(Penalty):
    """Push the discriminator's slope on real samples to zero.

        weight/2 · mean ‖∇D(x)‖₂²

    Once fakes match the data, a slope that the discriminator keeps drives the generator away again, so training without
    it cycles around the solution. With this penalty training converges from nearby. The norm is over all dimensions of
    a sample, so larger images need a larger weight. It costs about one more forward and two more backwards of the
    discriminator per step; see `Penalty` for precision, BatchNorm and `every`.

    Args:
        weight: γ, at least 0, or a schedule; 10 in the paper, on images. For points of a few dimensions start with 1,
            as separating modes needs steep slopes there.
        every: the penalty acts in every `every`-th step of D, at least 1; 16 in StyleGAN2, lazy regularisation.

    Raises:
        ValueError: for a negative weight, or an `every` below 1.

    Reference:
        Mescheder, Geiger and Nowozin, Which Training Methods for GANs do actually Converge?, ICML 2018,
        arXiv 1801.04406.
    """

    def __init__(self, weight: float | Schedule = 10.0, every: int = 1):
        super().__init__(weight, every)

    @override
    def penalty(self, gan: GAN, step: Step) -> Tensor:
        return self.slopes(gan, step, step.real).square().sum(1).mean() / 2
