"""The LeCam regularizer: the discriminator's logits are held near their moving averages of the other kind."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.distributed import mean
from lightning_gans.gan import GAN
from lightning_gans.schedules import Schedule, bounds, value
from lightning_gans.stabilizer import Stabilizer
from lightning_gans.step import Step


class LeCamRegularizer(Stabilizer):
    """Hold logits of real samples near the average logit of fakes, and those of fakes near that of real samples.

        L_D + weight · (mean (D(x) − α_F)² + mean (D(G(z)) − α_R)²)
        α_R, α_F = moving averages of D(x) and of D(G(z)) over the steps before,  α ← decay · α + (1 − decay) · mean D

    The logits of the two kinds cannot move far apart, so a discriminator that memorises a small data set does not
    become too sure of it. With the Wasserstein objective the paper relates the regularised loss to the LeCam
    divergence, a bounded f-divergence. For few data, beside `DifferentiableAugmentation`. The averages start without
    bias: they are divided by 1 − decayᵗ after t steps of the discriminator, and the first step has no term. For a
    warm-up let the weight be 0 at first, `Linear(start=0.0, end=0.3, updates=1, begin=1000)`; the averages are kept
    meanwhile. They are over the batches of all processes. A lookahead of `UnrolledGAN` has the term with the current
    averages. It costs almost nothing.

    This is the paper's form. The authors' code squares max(0, D(x) − α_F) and max(0, α_R − D(G(z))) instead: logits on
    the far side of an average are left alone there, and pulled to it here.

    Args:
        weight: weight of the term, at least 0, or a schedule; 0.3 in the authors' configuration for CIFAR-10.
        decay: share of an average that is left after a step, in [0, 1); 0.99 in the authors' code for StyleGAN2.

    Raises:
        ValueError: for a number out of range.

    Reference:
        Tseng et al., Regularizing Generative Adversarial Networks under Limited Data, CVPR 2021, arXiv 2104.03310;
        the authors' code, https://github.com/google/lecam-gan.
    """

    def __init__(self, weight: float | Schedule = 0.3, decay: float = 0.99):
        arguments.at_least(self, 0, weight=weight)
        arguments.fraction(self, include_one=False, decay=decay)
        self.weight = weight
        self.decay = decay
        self._sums: Tensor | None = None  # decayed sums of mean real logits, mean fake logits, and ones

    @property
    def loss_terms(self) -> list[str]:
        """The names of what it adds to losses, which are logged as `loss/<name>`."""
        return ["lecam_regularizer"] if bounds(self.weight)[1] > 0 else []

    @override
    def on_discriminator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        weight = value(self.weight, gan.generator_updates)
        if weight == 0 or self._sums is None:
            return loss
        assert step.real_logits is not None
        real, fake, ones = self._sums.to(loss.device)
        of_real, of_fake = step.real_logits - fake / ones, step.fake_logits - real / ones
        term = weight * (of_real.square().mean() + of_fake.square().mean())
        step.terms["lecam_regularizer"] = term.detach()
        return loss + term

    @torch.no_grad()
    @override
    def on_discriminator_step_end(self, gan: GAN) -> None:
        """Add the logits of the whole step to the averages."""
        if not self.loss_terms:
            return
        step = gan.last_steps["discriminator"]
        assert step.real_logits is not None
        real = step.real_logits.mean()
        now = mean(torch.stack([real, step.fake_logits.mean(), torch.ones_like(real)]))
        finite = now.isfinite().all()  # as after an overflow in 16-mixed, whose step is skipped
        if self._sums is not None:
            before = self._sums.to(now)
            self._sums = torch.where(finite, torch.lerp(now, before, self.decay), before)
        elif finite:
            self._sums = (1 - self.decay) * now

    @override
    def state_dict(self) -> dict[str, Any]:
        return {} if self._sums is None else {"sums": self._sums.clone()}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._sums = state_dict.get("sums")
