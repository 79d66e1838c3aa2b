"""Top-k training: the generator learns from the fakes of a batch that the discriminator finds most real."""

from __future__ import annotations

import math

from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.schedules import Exponential, Schedule, bounds, value
from lightning_gans.stabilizer import Stabilizer
from lightning_gans.stabilizers.feature_matching import FeatureMatching
from lightning_gans.step import Step, per_sample


class TopK(Stabilizer):
    """Take the generator's loss over the k fakes with the highest logits alone.

        L + L_G(the k best) − L_G(all),    k = ⌈share · N⌉ of N fakes

    L is the generator's loss so far, with the terms of stabilizers before it. A fake between two modes has a low logit,
    and a gradient that may lead it away from both; without such fakes the others follow better gradients. It assumes
    that the discriminator is right about the fakes it finds worst, hence a share of 1 at first that falls with the
    training. The discriminator sees all fakes. A share of the worst can be a mode that is never learned: watch the
    number of modes, or the recall.

    A relativistic objective keeps the real samples of the rows of the chosen fakes. Of patches the mean logit of a
    sample counts, behind `Packing` that of a pack. The k best are of the batch of one process, and the loss needs the
    whole batch (`generator_accumulation`). It costs nothing.

    Args:
        share: share of the fakes that are kept, above 0 and at most 1, or a schedule; at least one fake is kept, and 1
            changes nothing. The paper lets k fall from N by a constant factor to a smallest share.

    Raises:
        ValueError: for a share out of range; beside another `TopK`, or beside `FeatureMatching` that replaces the
            loss of which this takes a part.

    Reference:
        Sinha et al., Top-k Training of GANs: Improving GAN Performance by Throwing Away Bad Samples, NeurIPS 2020,
        arXiv 2002.06224.
    """

    def __init__(self, share: float | Schedule = Exponential(1.0, 0.5, updates=10_000)):  # noqa: B008 - it is frozen
        arguments.fraction(self, include_zero=False, share=share)
        self.share = share
        self.needs_whole_batch = ("generator",) if self._acts else ()

    @property
    def _acts(self) -> bool:
        return bounds(self.share)[0] < 1

    @property
    @override
    def acts_on_discriminator(self) -> bool:
        return True  # it reads the logits that the discriminator gives to fakes

    @override
    def apply_to(self, gan: GAN) -> None:
        """Refuse what takes or replaces the same loss."""
        for other in gan.active_stabilizers if self._acts else ():
            if isinstance(other, TopK) and other is not self and other._acts:
                raise ValueError(f"{self} beside {other}: expected one choice of fakes; leave out either.")
            if isinstance(other, FeatureMatching) and other.replace:
                raise ValueError(
                    f"{self} beside {other}, which replaces the loss that TopK takes over some fakes; give "
                    "FeatureMatching replace=False, or leave out either."
                )

    @property
    def loss_terms(self) -> list[str]:
        """The names of what it adds to losses, which are logged as `loss/<name>`."""
        return []

    @override
    def on_generator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        rows = len(step.fake_logits)
        kept = math.ceil(value(self.share, gan.generator_updates) * rows - 1e-9)
        if kept == rows:
            return loss
        best = per_sample(step.fake_logits).topk(kept, sorted=False).indices
        real = None if step.real_logits is None else step.real_logits[best]
        of_best = gan.objective.generator_loss(step.fake_logits[best], real)
        return loss + of_best - gan.objective.generator_loss(step.fake_logits, step.real_logits)
