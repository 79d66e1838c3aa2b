"""The base class of penalties on the discriminator's slope."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.schedules import Schedule, bounds, value
from lightning_gans.stabilizer import Stabilizer
from lightning_gans.stabilizers.mixed_batches import warn_of_mixing
from lightning_gans.step import Step, per_sample


class Penalty(Stabilizer, ABC):
    """A penalty on the slope of the discriminator with respect to its input, as a term of its loss.

        L_D + every · weight · penalty    in every `every`-th of its steps,  L_D in the others

    A subclass defines `penalty`, a scalar without the weight, with the help of `slopes`:

        class SlopeOnFakes(Penalty):
            def penalty(self, gan, step):
                return self.slopes(gan, step, step.fake).abs().sum(1).mean()

    Samples are the discriminator's input, with the noise or augmentation of other stabilizers. Labels are passed on.
    Under mixed precision a penalty is computed in the precision of the weights, autocast off. It needs a double
    backward: each call of `slopes` costs about one more forward and two more backwards of the discriminator. Do not use
    BatchNorm or another layer that mixes a batch in the discriminator: a sample's slope then depends on its batch. A
    warning tells of BatchNorm, and of any module with a true attribute `mixes_batch`. A penalty that is a mean over
    samples is over the whole batch of several processes, as gradients are averaged. D(x) is one number: the mean logit,
    where a sample has several, as of patches. With `Packing` the input is a pack, and its samples have one slope
    together.

    With `every` above 1 (lazy regularisation, 16 in StyleGAN2) most steps have no penalty and no cost of it, and the
    others have `every` times its weight. R3GAN's authors found that stacked MNIST and two-dimensional toys then fail.
    The steps in the lookahead of an `UnrolledGAN` all have the penalty with its weight.

    Args:
        weight: weight of the penalty, at least 0, or a schedule; 0 leaves the step unchanged.
        every: the penalty acts in every `every`-th step of D, at least 1; above 1 is lazy regularisation.

    Raises:
        ValueError: for a negative weight, or an `every` below 1.

    Reference:
        Karras et al., Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020, arXiv 1912.04958, on lazy
        regularisation; Huang et al., The GAN is dead; long live the GAN! A Modern Baseline GAN, NeurIPS 2024,
        arXiv 2501.05441, against it.
    """

    def __init__(self, weight: float | Schedule, every: int = 1):
        arguments.at_least(self, 0, weight=weight)
        arguments.whole(self, 1, every=every)
        self.weight = weight
        self.every = every
        self._warned: set[str] = set()

    @override
    def apply_to(self, gan: GAN) -> None:
        """Warn of layers that mix a batch."""
        warn_of_mixing(self, gan.discriminator, self._warned)

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Warn of layers that later stabilizers have added, too."""
        super().on_train_start(trainer, pl_module)
        Penalty.apply_to(self, pl_module)

    @property
    def loss_terms(self) -> list[str]:
        """The names of what it adds to losses, which are logged as `loss/<name>`."""
        return [self._term] if bounds(self.weight)[1] > 0 else []

    @property
    def _term(self) -> str:
        """The name of the class in snake case."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(self).__name__).lower()

    @override
    def on_discriminator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        every = 1 if gan.looking_ahead else self.every  # a lookahead does not count steps, and has the mean penalty
        weight = every * value(self.weight, gan.generator_updates)
        if weight == 0 or (gan.discriminator_updates + 1) % every:
            return loss
        with torch.autocast(loss.device.type, enabled=False):
            penalty = weight * self.penalty(gan, step)
        step.terms[self._term] = penalty.detach()
        return loss + penalty

    @abstractmethod
    def penalty(self, gan: GAN, step: Step) -> Tensor:
        """Return the penalty, a scalar without its weight."""

    @staticmethod
    def slopes(gan: GAN, step: Step, x: Tensor | None, factor: Callable[[Tensor], Tensor] = torch.ones_like) -> Tensor:
        """Return ∇ₓD(x) of each sample with its graph, flattened to (N, num_elements).

        Args:
            gan: the GAN.
            step: gives the discriminator and the labels of the samples.
            x: samples (N, …). With `Packing` of m samples there is a row for each pack, (N/m, m · num_elements).
            factor: maps one logit for each row to factors, by which slopes are multiplied.
        """
        assert x is not None and step.discriminator is not None
        x = x.to(gan.dtype)
        x = x if x.requires_grad else x.detach().requires_grad_()  # fakes in a lookahead have a graph, to keep
        logits = per_sample(gan.discriminate(step.discriminator, x, step.labels))
        (gradient,) = torch.autograd.grad(logits, x, factor(logits), create_graph=True)
        return gradient.reshape(len(logits), -1).to(logits.dtype)

    @staticmethod
    def draw(step: Step, x: Tensor) -> Tensor:
        """Draw a number from U(0, 1) for each sample of x, or each pack, in a shape that broadcasts to x (N, …)."""
        rows = len(step.fake_logits)
        drawn = torch.rand([rows] + [1] * (x.dim() - 1), dtype=x.dtype, device=x.device)
        return drawn if rows == len(x) else drawn.repeat_interleave(len(x) // rows, 0)
