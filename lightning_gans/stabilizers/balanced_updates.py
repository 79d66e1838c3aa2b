"""Balanced updates: who moves on a batch, by a rule."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from lightning_gans.stabilizer import Stabilizer
from lightning_gans.stabilizers.rules import ByAccuracy, Rule

if TYPE_CHECKING:
    from lightning_gans.gan import GAN
    from lightning_gans.step import Step


class BalancedUpdates(Stabilizer):
    """Let a rule say who moves on a batch, such as holding the discriminator back while it is too good.

    It looks obvious and is not reliable: those who collected the tricks had all tried it, found it hard, and advise
    against it without a principled reason. Goodfellow finds nothing wrong with a discriminator that overpowers the
    generator, as its estimate is right only where it is optimal; where gradients then vanish he changes the loss
    instead. Try `SpectralNorm`, `R1Penalty` or other learning rates first.

    The rule reads figures of the batches before, smoothed over them,

        figure ← smoothing · figure + (1 − smoothing) · figure of the last batch,

    and averaged over processes, so that all agree. It decides once a batch, for which the CPU waits for the device
    (not for `Fixed`). Whoever waits lets the other move, whatever `n_critic` says, which counts on in D's steps.

    Args:
        rule: who moves: `Fixed`, `ByAccuracy` or `ByLossRatio`, of `rules`.
        smoothing: what share of a figure stays at every batch, in [0, 1).

    Raises:
        ValueError: for a smoothing out of range, or a rule that does not fit the objective or `n_critic`.

    Reference:
        Chintala, Denton, Arjovsky and Mathieu, How to Train a GAN?, NIPS 2016 workshop on adversarial training, trick
        11; Goodfellow, NIPS 2016 Tutorial: Generative Adversarial Networks, 2016, arXiv 1701.00160, section 4.4.
    """

    def __init__(self, rule: Rule = ByAccuracy(), smoothing: float = 0.9):  # noqa: B008 - it is frozen
        if not 0 <= smoothing < 1:
            raise ValueError(f"BalancedUpdates(smoothing={smoothing}): expected a number in [0, 1), such as 0.9.")
        self.rule = rule
        self.smoothing = smoothing
        self._figures: dict[str, float] = {}
        self._batch: dict[str, Tensor] = {}  # of the batch: sum over samples, and their number
        self._step: dict[str, Tensor] = {}  # the same of a step that is under way, of this process alone

    def apply_to(self, gan: GAN) -> None:
        """Refuse a game that the rule does not fit."""
        self.rule.check(gan)

    def on_updates_per_batch(self, gan: GAN, discriminator: int, generator: int) -> tuple[int, int]:
        """Let the rule decide, by what was seen so far."""
        if self._batch:
            sums = torch.stack(list(self._batch.values())).tolist()  # here the CPU waits
            for name, (total, samples) in zip(self._batch, sums, strict=True):
                last = total / samples
                if math.isfinite(last):  # else of a step that overflowed in 16 bits, which would stay in every mean
                    self._figures[name] = last + self.smoothing * (self._figures.get(name, last) - last)
        self._batch, self._step = {}, {}
        return self.rule.updates_per_batch(self._figures, discriminator, generator)

    def on_discriminator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        """Read the discriminator's step."""
        if not gan.looking_ahead:
            self._read(self.rule.of_discriminator(gan.objective, step), len(step.fake))
        return loss

    def on_generator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        """Read the generator's step."""
        self._read(self.rule.of_generator(gan.objective, step), len(step.fake))
        return loss

    def _read(self, figures: dict[str, Tensor], samples: int) -> None:
        for name, figure in figures.items():
            part = torch.stack([figure * samples, torch.full_like(figure, samples)]).detach()
            self._step[name] = self._step[name] + part if name in self._step else part

    def on_discriminator_step_end(self, gan: GAN) -> None:
        """Add up over the processes; of several steps on a batch the first one counts."""
        new = {name: sums for name, sums in self._step.items() if name not in self._batch}
        if new and dist.is_available() and dist.is_initialized():
            sums = torch.stack(list(new.values()))
            dist.all_reduce(sums)
            new = dict(zip(new, sums, strict=True))
        self._batch |= new
        self._step = {}

    on_generator_step_end = on_discriminator_step_end

    def state_dict(self) -> dict[str, Any]:
        """The figures, and those of the last batch."""
        return {"figures": dict(self._figures), "batch": dict(self._batch)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore them."""
        self._figures, self._batch = dict(state_dict["figures"]), dict(state_dict["batch"])
