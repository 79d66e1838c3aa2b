"""The regulariser of the Jensen-Shannon game: what noise on the samples would do, without the noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_gans.objectives import NonSaturating, ZeroSum
from lightning_gans.schedules import Exponential, Schedule
from lightning_gans.stabilizers.penalty import Penalty

if TYPE_CHECKING:
    from lightning_gans.gan import GAN
    from lightning_gans.step import Step


class JSRegularizer(Penalty):
    """Penalise the slope of the logits, each where the discriminator is not yet sure of its verdict.

        weight/2 · (mean[(1 − σ(D(x)))² ‖∇D(x)‖₂²] + mean[σ(D(G(z)))² ‖∇D(G(z))‖₂²])

    To first order, and near the best discriminator, what Gaussian noise of variance `weight` on both kinds of samples
    does to the discriminator's loss, without the blur. It is annealed: strong it steadies the game, weak it alters it
    less. σ(D) must be a probability: the discriminator's cost must be the cross-entropy, as in `NonSaturating`,
    `Minimax` and `ZeroSum` over either. The gradient goes through the factors too, as in the authors' program. It costs
    about two more forwards and four more backwards of the discriminator per step; see `Penalty` for precision,
    BatchNorm and `every`.

    Args:
        weight: γ, at least 0, or a schedule: in the paper from 2 down to 0.02 exponentially, or constant at 0.1. Give
            the schedule the length of your run.
        every: in which of the discriminator's steps it acts, at least 1; above 1 is lazy regularisation.

    Raises:
        ValueError: for a negative weight, or an `every` below 1; for an objective of another cost.

    Reference:
        Roth, Lucchi, Nowozin and Hofmann, Stabilizing Training of Generative Adversarial Networks through
        Regularization, NeurIPS 2017, arXiv 1705.09367.
    """

    def __init__(self, weight: float | Schedule = Exponential(2.0, 0.02, 10_000), every: int = 1):  # noqa: B008 - frozen
        super().__init__(weight, every)

    def apply_to(self, gan: GAN) -> None:
        """Refuse objectives whose logits are no log-odds, and warn of layers that mix a batch."""
        objective = gan.objective
        while isinstance(objective, ZeroSum):
            objective = objective.base
        if not isinstance(objective, NonSaturating):
            raise ValueError(
                f"JSRegularizer with {gan.objective}: expected an objective whose discriminator pays the cross-entropy "
                "of each logit, without which σ(D) means nothing; use NonSaturating or Minimax, or take R1Penalty."
            )
        super().apply_to(gan)

    def penalty(self, gan: GAN, step: Step) -> Tensor:
        """Half the sum of the two means."""
        real = self.slopes(gan, step, step.real, lambda logits: torch.sigmoid(-logits))
        fake = self.slopes(gan, step, step.fake, torch.sigmoid)
        return (real.square().sum(1).mean() + fake.square().sum(1).mean()) / 2
