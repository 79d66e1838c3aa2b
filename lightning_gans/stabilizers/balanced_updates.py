"""Balanced updates: a rule decides which player is updated on a batch."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.stabilizer import Stabilizer
from lightning_gans.stabilizers.rules import ByAccuracy, UpdateRule
from lightning_gans.step import Step


class BalancedUpdates(Stabilizer):
    """Let a rule decide which player is updated on a batch, for example skip the discriminator while it is too good.

    It is not reliable: the authors of the list of tricks had all tried it, found it hard to do, and advise against it
    without a principled reason. Goodfellow sees no problem in a discriminator that overpowers the generator, since its
    estimate is correct only at its optimum; if gradients then vanish, he changes the loss instead. Try `SpectralNorm`,
    `R1Penalty` or other learning rates first.

    The rule reads figures of the previous batches, smoothed over them,

        figure ← smoothing · figure + (1 − smoothing) · figure of the last batch,

    and averaged over processes, so that all decide the same. It decides once per batch, for which the CPU waits for
    the device (not for `Fixed`). If one player is skipped, the other one is updated whatever `n_critic` says, which
    continues to count the discriminator's steps.

    Args:
        rule: the rule, `Fixed`, `ByAccuracy` or `ByLossRatio` of `rules`.
        smoothing: share of a figure that is kept at every batch, in [0, 1).

    Raises:
        ValueError: for a smoothing out of range, or a rule that does not fit the objective or `n_critic`.

    Reference:
        Chintala, Denton, Arjovsky and Mathieu, How to Train a GAN?, NIPS 2016 workshop on adversarial training, trick
        11; Goodfellow, NIPS 2016 Tutorial: Generative Adversarial Networks, 2016, arXiv 1701.00160, section 4.4.
    """

    def __init__(self, rule: UpdateRule = ByAccuracy(), smoothing: float = 0.9):  # noqa: B008 - it is frozen
        arguments.fraction(self, include_one=False, smoothing=smoothing)
        self.rule = rule
        self.smoothing = smoothing
        self._figures: dict[str, float] = {}
        self._batch: dict[str, Tensor] = {}  # of the last batch: sum over samples, and number of samples
        self._step: dict[str, Tensor] = {}  # the same of the current step, in this process alone

    @override
    def apply_to(self, gan: GAN) -> None:
        self.rule.check(gan)

    @property
    def loss_terms(self) -> list[str]:
        """The names of what it adds to losses, which are logged as `loss/<name>`."""
        return []

    @override
    def on_updates_per_batch(self, gan: GAN, discriminator: int, generator: int) -> tuple[int, int]:
        if self._batch:
            sums = torch.stack(list(self._batch.values())).tolist()  # the CPU waits for the device
            for name, (total, samples) in zip(self._batch, sums, strict=True):
                last = total / samples
                if math.isfinite(last):  # an overflow in 16 bits would stay in every mean
                    self._figures[name] = last + self.smoothing * (self._figures.get(name, last) - last)
        self._batch, self._step = {}, {}
        return self.rule.updates_per_batch(self._figures, discriminator, generator)

    @override
    def on_discriminator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        if not gan.looking_ahead:
            self._read(self.rule.discriminator_figures(gan.objective, step), len(step.fake))
        return loss

    @override
    def on_generator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        self._read(self.rule.generator_figures(gan.objective, step), len(step.fake))
        return loss

    def _read(self, figures: dict[str, Tensor], samples: int) -> None:
        for name, figure in figures.items():
            part = torch.stack([figure * samples, torch.full_like(figure, samples)]).detach()
            self._step[name] = self._step[name] + part if name in self._step else part

    @override
    def on_discriminator_step_end(self, gan: GAN) -> None:
        """Add up the figures of all processes; if a batch has several steps, the first one counts."""
        new = {name: sums for name, sums in self._step.items() if name not in self._batch}
        if new and dist.is_available() and dist.is_initialized():
            sums = torch.stack(list(new.values()))
            dist.all_reduce(sums)
            new = dict(zip(new, sums, strict=True))
        self._batch |= new
        self._step = {}

    on_generator_step_end = on_discriminator_step_end

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"figures": dict(self._figures), "batch": dict(self._batch)}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._figures, self._batch = dict(state_dict["figures"]), dict(state_dict["batch"])
