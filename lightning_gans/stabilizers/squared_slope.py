"""What R1 and R2 share: the squared slope of the discriminator on some samples, exact or by a finite difference."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.parametrize import ParametrizationList, cached
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.networks import AlwaysOnDropout
from lightning_gans.randomness import seeded
from lightning_gans.schedules import Schedule
from lightning_gans.stabilizers.mixed_batches import mixing_layers
from lightning_gans.stabilizers.penalty import Penalty
from lightning_gans.step import Step, per_sample

_CHANGING = (_DropoutNd, AlwaysOnDropout, ParametrizationList)  # another function in each forward in training


class SquaredSlope(Penalty):
    """Half the mean squared slope of the discriminator on some samples of its step, with a cheaper estimate.

        exact, sigma = 0:    ½ mean ‖∇D(x)‖₂²
        estimate, sigma > 0:    ½ mean ((D(x + sigma · v) − D(x)) / sigma)²,    v ~ N(0, I), one per sample

    Of a linear D the estimate has the exact mean, as E (v · g)² = ‖g‖². In general its bias is of order sigma²: with
    H the second derivative of D, it is ½ sigma² (¼ (tr H)² + ½ ‖H‖² + ∇D · ∇tr H) and higher orders. It varies as a
    square of one normal number does: the estimate of one sample has √2 of its mean as standard deviation, that of a
    batch √(2/N), and its gradient varies accordingly. Its gradient is an ordinary one, without a double backward.

    D(x) is that of the step where a second forward would give the same; the estimate then costs one forward and one
    backward of D. Under autocast, with Dropout or parametrised weights (`SpectralNorm`) in D, or with a share of the
    batch and layers that mix it, D(x) is computed again, in the precision of the weights, with the same weights and
    random numbers as D(x + sigma · v): twice that cost. A `sigma` near the rounding error of x or D(x) measures that
    error, as do weights in half precision; use the exact form there. A subclass defines `samples`.

    Args:
        weight: weight of the penalty, at least 0, or a schedule.
        every: the penalty acts in every `every`-th step of D, at least 1.
        share: the share of the batch on whose first samples the mean is taken, above 0 and at most 1; at least one
            sample, or one pack with `Packing`.
        sigma: standard deviation of the difference, at least 0, in the units of the samples; 0 is the exact form.

    Raises:
        ValueError: for a number out of range.
    """

    def __init__(self, weight: float | Schedule, every: int, share: float, sigma: float):
        super().__init__(weight, every)
        arguments.fraction(self, include_zero=False, share=share)
        arguments.at_least(self, 0, sigma=sigma)
        self.share = share
        self.sigma = sigma
        self._mixed_precision = False

    @abstractmethod
    def samples(self, step: Step) -> tuple[Tensor, Tensor]:
        """Return samples (N, …) of a step, and their logits in it."""

    @override
    def on_discriminator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        self._mixed_precision = torch.is_autocast_enabled(loss.device.type)  # of the step's logits
        return super().on_discriminator_loss(gan, step, loss)

    @override
    def penalty(self, gan: GAN, step: Step) -> Tensor:
        x, logits = self.samples(step)
        rows = math.ceil(self.share * len(logits) - 1e-9)
        number = rows * (len(x) // len(logits))  # a row has m samples with `Packing`
        part = replace(step, labels=None if step.labels is None else step.labels[:number])
        x = x[:number]
        if self.sigma == 0:
            return self.slopes(gan, part, x).square().sum(1).mean() / 2
        known = per_sample(logits[:rows]) if self._same_again(gan, whole=rows == len(logits)) else None
        return self._differences(gan, part, x.to(gan.dtype), known).square().mean() / 2

    def _differences(self, gan: GAN, step: Step, x: Tensor, logits: Tensor | None) -> Tensor:
        """Return (D(x + sigma · v) − D(x)) / sigma for each logit of a sample, with the logits D(x) if known."""
        discriminator: Any = step.discriminator

        def discriminate(samples: Tensor) -> Tensor:
            return per_sample(gan.discriminate(discriminator, samples, step.labels))

        shifted = x + self.sigma * torch.randn_like(x)
        if logits is not None:
            return (discriminate(shifted) - logits) / self.sigma
        seed = int(torch.randint(2**62, ()))
        with cached():  # spectral normalisation changes its weights in every forward
            with seeded(seed):
                logits = discriminate(x)
            with seeded(seed):
                return (discriminate(shifted) - logits) / self.sigma

    def _same_again(self, gan: GAN, whole: bool) -> bool:
        """Return whether a second forward, of the whole batch or its first rows, would give the step's logits."""
        if self._mixed_precision:
            return False
        if any(isinstance(module, _CHANGING) for module in gan.discriminator.modules()):
            return False
        in_rows = type(gan).discriminate is GAN.discriminate and not mixing_layers(gan.discriminator)
        return whole or in_rows
