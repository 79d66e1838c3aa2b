"""R2: a penalty on the discriminator's slope on fakes."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from lightning_gans.gan import GAN
from lightning_gans.schedules import Schedule
from lightning_gans.stabilizers.penalty import Penalty
from lightning_gans.step import Step


class R2Penalty(Penalty):
    """Push the discriminator's slope on fakes to zero.

        weight/2 · mean ‖∇D(G(z))‖₂²

    The counterpart of `R1Penalty`, with the same solution and speed of convergence near it. It is rarely used alone;
    R3GAN has both, over a relativistic objective, with one weight. It costs about one more forward and two
    more backwards of the discriminator per step; see `Penalty` for precision, BatchNorm and `every`.

    Args:
        weight: γ, at least 0, or a schedule; 10 in the paper, on images. For points of a few dimensions start with 1.
        every: the penalty acts in every `every`-th step of D, at least 1; above 1 is lazy regularisation.

    Raises:
        ValueError: for a negative weight, or an `every` below 1.

    Reference:
        Mescheder, Geiger and Nowozin, Which Training Methods for GANs do actually Converge?, ICML 2018,
        arXiv 1801.04406; Huang et al., The GAN is dead; long live the GAN!, NeurIPS 2024, arXiv 2501.05441.
    """

    def __init__(self, weight: float | Schedule = 10.0, every: int = 1):
        super().__init__(weight, every)

    @override
    def penalty(self, gan: GAN, step: Step) -> Tensor:
        return self.slopes(gan, step, step.fake).square().sum(1).mean() / 2
