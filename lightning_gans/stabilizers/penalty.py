"""What penalties on the discriminator's slope have in common."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from lightning_gans import arguments
from lightning_gans.schedules import Schedule, value
from lightning_gans.stabilizer import Stabilizer

if TYPE_CHECKING:
    from lightning_gans.gan import GAN
    from lightning_gans.step import Step


class Penalty(Stabilizer, ABC):
    """A penalty on the slope of the discriminator with respect to its input, as a term of its loss.

        L_D + every · weight · penalty    in every `every`-th of its steps,  L_D in the others

    To write one, define `penalty`, a scalar without the weight, on top of `slopes`:

        class SlopeOnFakes(Penalty):
            def penalty(self, gan, step):
                return self.slopes(gan, step, step.fake).abs().sum(1).mean()

    Samples are what the discriminator was shown, hence noised or augmented where a stabilizer does that. Labels are
    passed on. Under mixed precision a penalty is computed in the precision of the weights, autocast off. It needs a
    double backward: each call of `slopes` costs about one more forward and two more backwards of the discriminator.
    Do not use BatchNorm or another layer that mixes a batch in the discriminator: a sample's slope then depends on
    its batch. You are warned of BatchNorm, and of any module with an attribute `mixes_batch` that is true. A penalty
    that is a mean over samples is that of the whole batch in several processes, by the averaging of gradients.

    With `every` above 1 (lazy regularisation, which StyleGAN2 has with 16) most steps are without the penalty and as
    cheap as if there were none, and the others pay `every` times its weight. R3GAN's authors found that this makes
    stacked MNIST and two-dimensional toys fail. The imagined steps of an `UnrolledGAN` all pay its weight once.

    Args:
        weight: of the penalty, at least 0, or a schedule; at 0 the step is as without it.
        every: in which of the discriminator's steps it acts, at least 1: every, every second, ….

    Raises:
        ValueError: for a negative weight, or an `every` below 1.

    Reference:
        Karras et al., Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020, arXiv 1912.04958, on lazy
        regularisation; Huang et al., The GAN is dead; long live the GAN! A Modern Baseline GAN, NeurIPS 2024,
        arXiv 2501.05441, against it.
    """

    def __init__(self, weight: float | Schedule, every: int = 1):
        arguments.at_least(self, 0, weight=weight)
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"{type(self).__name__}(every={every}): expected an integer of at least 1, every step.")
        self.weight = weight
        self.every = every
        self._warned: set[str] = set()

    def apply_to(self, gan: GAN) -> None:
        """Warn of layers that mix a batch."""
        names = set()
        for module in gan.discriminator.modules():
            if isinstance(module, _BatchNorm):
                names.add("BatchNorm")
            elif getattr(module, "mixes_batch", False):
                names.add(type(module).__name__)
        for name in sorted(names - self._warned):
            remedy = "Leave out one of the two, unless you follow a recipe that has both, as StyleGAN2 does."
            if name == "BatchNorm":
                remedy = "Use norm: null, or a per-sample norm such as torch.nn.InstanceNorm2d."
            rank_zero_warn(
                f"{type(self).__name__} with {name} in the discriminator: a sample's gradient then depends on its "
                f"whole batch, which the penalty does not mean. {remedy}",
                category=UserWarning,
            )
        self._warned |= names

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look again, at layers that stabilizers after this one have put in."""
        super().on_train_start(trainer, pl_module)
        Penalty.apply_to(self, pl_module)  # type: ignore[arg-type]

    def on_discriminator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        """Add the penalty where it is its turn."""
        every = 1 if gan.looking_ahead else self.every  # imagined steps do not count, and all see the mean penalty
        weight = every * value(self.weight, gan.generator_updates)
        if weight == 0 or (gan.discriminator_updates + 1) % every:
            return loss
        with torch.autocast(loss.device.type, enabled=False):
            penalty = weight * self.penalty(gan, step)
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(self).__name__)
        step.terms[words.lower()] = penalty.detach()
        return loss + penalty

    @abstractmethod
    def penalty(self, gan: GAN, step: Step) -> Tensor:
        """The penalty, a scalar without its weight."""

    @staticmethod
    def slopes(gan: GAN, step: Step, x: Tensor | None, factor: Callable[[Tensor], Tensor] = torch.ones_like) -> Tensor:
        """∇ₓD(x) of each sample, flattened, (N, …), with a graph.

        Args:
            gan: the game.
            step: whose discriminator judges, and whose labels the samples have.
            x: samples (N, …). With `Packing`, whose logits are of several samples each, slopes are still per sample.
            factor: of each logit; the slope of a sample is multiplied by that of its logit.
        """
        assert x is not None and step.discriminator is not None
        x = x.to(gan.dtype)
        x = x if x.requires_grad else x.detach().requires_grad_()  # fakes in a look-ahead have a graph, to be kept
        logits = gan.discriminate(step.discriminator, x, step.labels)
        (gradient,) = torch.autograd.grad(logits, x, factor(logits), create_graph=True)
        return gradient.flatten(1).to(logits.dtype)
