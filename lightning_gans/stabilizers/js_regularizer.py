"""The regulariser of the Jensen-Shannon GAN: the effect of noise on the samples, without noise."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from lightning_gans.gan import GAN
from lightning_gans.objectives import NonSaturating, ZeroSum
from lightning_gans.schedules import Exponential, Schedule
from lightning_gans.stabilizers.penalty import Penalty
from lightning_gans.step import Step


class JSRegularizer(Penalty):
    """Penalise the slope of the logits, where the discriminator is not yet confident.

        weight/2 · (mean[(1 − σ(D(x)))² ‖∇D(x)‖₂²] + mean[σ(D(G(z)))² ‖∇D(G(z))‖₂²])

    To first order, and near the best discriminator, it is the effect on the discriminator's loss of Gaussian noise with
    variance `weight` on real and fake samples, without the blur. It is annealed: a large weight stabilises training, a
    small one changes the solution less. σ(D) must be a probability, so the discriminator's cost must be the
    cross-entropy, as in `NonSaturating`, `Minimax` and `ZeroSum` over either. The gradient passes through the factors
    too, as in the authors' program. It costs about two more forwards and four more backwards of the discriminator per
    step; see `Penalty` for precision, BatchNorm and `every`.

    Args:
        weight: γ, at least 0, or a schedule: in the paper from 2 to 0.02 exponentially, or constant at 0.1. Give the
            schedule the length of the run.
        every: the penalty acts in every `every`-th step of D, at least 1; above 1 is lazy regularisation.

    Raises:
        ValueError: for a negative weight, an `every` below 1, or an objective with another cost.

    Reference:
        Roth, Lucchi, Nowozin and Hofmann, Stabilizing Training of Generative Adversarial Networks through
        Regularization, NeurIPS 2017, arXiv 1705.09367.
    """

    def __init__(self, weight: float | Schedule = Exponential(2.0, 0.02, 10_000), every: int = 1):  # noqa: B008 - frozen
        super().__init__(weight, every)

    @override
    def apply_to(self, gan: GAN) -> None:
        """Refuse objectives whose logits are not log-odds, and warn of layers that mix a batch."""
        objective = gan.objective
        while isinstance(objective, ZeroSum):
            objective = objective.base
        if not isinstance(objective, NonSaturating):
            raise ValueError(
                f"JSRegularizer with {gan.objective}: expected an objective whose discriminator's cost is the "
                "cross-entropy, as σ(D) must be a probability; use NonSaturating or Minimax, or R1Penalty."
            )
        super().apply_to(gan)

    @override
    def penalty(self, gan: GAN, step: Step) -> Tensor:
        real = self.slopes(gan, step, step.real, lambda logits: torch.sigmoid(-logits))
        fake = self.slopes(gan, step, step.fake, torch.sigmoid)
        return (real.square().sum(1).mean() + fake.square().sum(1).mean()) / 2
