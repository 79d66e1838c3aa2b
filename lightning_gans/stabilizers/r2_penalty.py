"""R2: a penalty on the discriminator's slope on fakes."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from lightning_gans.schedules import Schedule
from lightning_gans.stabilizers.squared_slope import SquaredSlope
from lightning_gans.step import Step


class R2Penalty(SquaredSlope):
    """Push the discriminator's slope on fakes to zero.

        weight/2 · mean ‖∇D(G(z))‖₂²

    The counterpart of `R1Penalty`, with the same solution and speed of convergence near it. It is rarely used alone;
    R3GAN has both, over a relativistic objective, with one weight. See `R1Penalty` for its cost and for
    the cheaper forms by `share` and `sigma`, and `Penalty` for precision, BatchNorm and `every`.

    Args:
        weight: γ, at least 0, or a schedule; 10 in the paper, on images. For points of a few dimensions start with 1.
        every: the penalty acts in every `every`-th step of D, at least 1; above 1 is lazy regularisation.
        share: the share of the batch on whose first fakes the mean is taken, above 0 and at most 1.
        sigma: standard deviation of the finite difference, at least 0, in the units of the samples: 0.01 to 0.1 on
            images in [−1, 1]; 0 is the exact form.

    Raises:
        ValueError: for a negative weight or sigma, a share out of range, or an `every` below 1.

    Reference:
        Mescheder, Geiger and Nowozin, Which Training Methods for GANs do actually Converge?, ICML 2018,
        arXiv 1801.04406; Huang et al., The GAN is dead; long live the GAN!, NeurIPS 2024, arXiv 2501.05441.
    """

    def __init__(self, weight: float | Schedule = 10.0, every: int = 1, share: float = 1.0, sigma: float = 0.0):
        super().__init__(weight, every, share, sigma)

    @override
    def samples(self, step: Step) -> tuple[Tensor, Tensor]:
        return step.fake, step.fake_logits
