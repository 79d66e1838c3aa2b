"""R1: a penalty on the discriminator's slope on real samples."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from lightning_gans.schedules import Schedule
from lightning_gans.stabilizers.squared_slope import SquaredSlope
from lightning_gans.step import Step


class R1Penalty(SquaredSlope):
    """Push the discriminator's slope on real samples to zero.

        weight/2 · mean ‖∇D(x)‖₂²

    Once fakes match the data, a slope that the discriminator keeps drives the generator away again, so training without
    it cycles around the solution. With this penalty training converges from nearby. The norm is over all dimensions of
    a sample, so larger images need a larger weight. See `Penalty` for precision, BatchNorm and `every`.

    It costs about one more forward and two more backwards of the discriminator per step. With `share` it costs that
    share of it. With `sigma` the slope is measured by a finite difference, without a double backward, and the penalty
    keeps its meaning and its weight:

        weight/2 · mean ((D(x + sigma · v) − D(x)) / sigma)²,    v ~ N(0, I)

    A training step costs 1.5 times as much as without penalty in the exact form, 1.1 on a quarter of the batch, 1.2 by
    a difference and 1.0 by both (DCGAN at 32 pixels, batch 64, one thread, medians of 7 rounds of
    `benchmarks/stabilizer_cost.py --only DCGAN-32` on a machine whose noise is a tenth). The estimate is noisy: of a
    trained discriminator of this kind its value was 3 ± 15 % below the exact one of the same batch, and its gradient
    had a cosine with the exact one of 0.37 with sigma 0.01, of 0.84 as a mean of 16 batches (0.49 and 0.94 with sigma
    0.1).
    See `SquaredSlope` for its bias, of order sigma², and for discriminators of which it costs twice as much. The paper
    on it has sigma 0.01 and no division by sigma²: its factor 100 is a `weight` of 0.02 here.

    Args:
        weight: γ, at least 0, or a schedule; 10 in the paper, on images. For points of a few dimensions start with 1,
            as separating modes needs steep slopes there.
        every: the penalty acts in every `every`-th step of D, at least 1; 16 in StyleGAN2, lazy regularisation.
        share: the share of the batch on whose first samples the mean is taken, above 0 and at most 1.
        sigma: standard deviation of the finite difference, at least 0, in the units of the samples: 0.01 to 0.1 on
            images in [−1, 1]; 0 is the exact form.

    Raises:
        ValueError: for a negative weight or sigma, a share out of range, or an `every` below 1.

    Reference:
        Mescheder, Geiger and Nowozin, Which Training Methods for GANs do actually Converge?, ICML 2018,
        arXiv 1801.04406; the finite difference: Lin et al., Diffusion Adversarial Post-Training for One-Step Video
        Generation, ICML 2025, arXiv 2501.08316.
    """

    def __init__(self, weight: float | Schedule = 10.0, every: int = 1, share: float = 1.0, sigma: float = 0.0):
        super().__init__(weight, every, share, sigma)

    @override
    def samples(self, step: Step) -> tuple[Tensor, Tensor]:
        assert step.real is not None and step.real_logits is not None
        return step.real, step.real_logits
