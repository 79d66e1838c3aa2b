"""The Stochastic-Ensemble Pseudo-GAN: a frozen classifier where the discriminator would stand."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from lightning_gans.gan import GAN
from lightning_gans.networks import FrozenClassifier, Generator, StochasticGenerator
from lightning_gans.optimizers import Adam
from lightning_gans.step import Batch, Step
from lightning_gans.targets import MarginalEntropy, Target

STUCK_AFTER = 20  # looks at the log without any progress


class SEPGAN(GAN):
    """A generator that learns to please a frozen, pretrained image classifier; there is no discriminator.

        min over G of  target(C(G(z))) + total_variation · TV(G(z)) + batch_norm_statistics · S(G(z))

    A classifier alone has no idea of an image: one network that pleases it with one class shows one picture,
    "absolute mode collapse from the beginning". The paper's answer is a stochastic ensemble, whose routes end at
    different pictures: use `StochasticEnsembleGenerator`. Judge the game by the variety across routes, not by
    the looks of its pictures; the two priors, off unless given a weight, lead it towards looks:

        TV(x) = mean |x_{i+1,j} − x_{i,j}| + mean |x_{i,j+1} − x_{i,j}|
        S(x)  = mean over BatchNorm layers of ‖mean(x) − running mean‖ + ‖var(x) − running variance‖

    S(x) is of the batch of one process; the rest of the loss is that of all of them.

    Of a batch only the number of samples and, where the generator is conditional, the labels count. What is
    stated in the paper: the game, the frozen classifier, the ensemble. Inferred: the losses, the optimizer.
    Stabilizers of the generator work; those of the discriminator are refused. The share of saturated output
    (beyond ±0.99) is logged, and you are warned of a run that it has brought to a stop.

    Args:
        generator: makes images; a `StochasticEnsembleGenerator` for the paper's game.
        classifier: any image classifier, such as `DigitClassifier` or `torchvision.models.resnet18`. It is
            wrapped in a `FrozenClassifier`, which resizes, repeats channels and normalises for ImageNet; give one
            yourself for another normalisation. It is frozen, and no part of checkpoints.
        target: what to show the classifier; see `targets`.
        total_variation: weight of the first prior, at least 0.
        batch_norm_statistics: weight of the second, at least 0; the classifier must have BatchNorm.
        generator_optimizer: makes the generator's optimizer.
        generator_scheduler: makes its learning-rate schedule; None keeps the rate constant.
        generator_clip: the largest norm of the gradient; None for no clipping.
        generator_accumulation: in how many parts a batch is worked through.

    Raises:
        ValueError: for a classifier that does not take images or has not the classes that the target asks
            for, a target that does not fit the generator, a negative weight, or a stabilizer of the discriminator.

    Reference:
        Chaplygin and Chacksfield, Stochastic Deconvolutional Neural Network Ensemble Training on Generative
        Pseudo-Adversarial Networks, 2018, arXiv 1802.02436; the second prior: Yin et al., Dreaming to Distill
        (DeepInversion), CVPR 2020, arXiv 1912.08795.
    """

    discriminator: FrozenClassifier  # type: ignore[assignment]

    def __init__(
        self,
        generator: Generator,
        classifier: nn.Module,
        target: Target = MarginalEntropy(),  # noqa: B008 - it has no state
        total_variation: float = 0.0,
        batch_norm_statistics: float = 0.0,
        generator_optimizer: OptimizerCallable = lambda params: Adam(params, lr=2e-4, beta1=0.5),
        generator_scheduler: LRSchedulerCallable | None = None,
        generator_clip: float | None = None,
        generator_accumulation: int = 1,
    ):
        for name, weight in (("total_variation", total_variation), ("batch_norm_statistics", batch_norm_statistics)):
            if not weight >= 0:
                raise ValueError(f"SEPGAN({name}={weight}): expected a number of at least 0.")
        classifier = classifier if isinstance(classifier, FrozenClassifier) else FrozenClassifier(classifier)
        super().__init__(
            generator=generator,
            discriminator=classifier,  # type: ignore[arg-type]
            generator_optimizer=generator_optimizer,
            generator_scheduler=generator_scheduler,
            generator_clip=generator_clip,
            generator_accumulation=generator_accumulation,
        )
        self.target = target
        self.total_variation = total_variation
        self.batch_norm_statistics = batch_norm_statistics
        self._check_target()
        self._norms = [module for module in classifier.network.modules() if isinstance(module, _BatchNorm)]
        if batch_norm_statistics and not self._norms:
            raise ValueError(
                f"batch_norm_statistics={batch_norm_statistics}, but {type(classifier.network).__name__} has no "
                "BatchNorm whose statistics could be matched; set it to 0."
            )
        self._losses: deque[float] = deque(maxlen=STUCK_AFTER)
        self._said_stuck = False

    def check_networks(self, generator: Generator, discriminator: FrozenClassifier) -> None:  # type: ignore[override]
        """The generator must make images that the classifier can take."""
        shape = generator.sample_shape
        if len(shape) != 3:
            raise ValueError(f"the generator makes samples of shape {shape}, expected images (C, H, W) to classify.")
        with torch.no_grad():
            discriminator(torch.zeros(1, *shape))

    def _check_target(self) -> None:
        classes, known = self.discriminator.num_classes, self.generator.num_classes
        self.target.check(classes)
        if self.target.reads == "labels" and not 0 < known <= classes:
            raise ValueError(
                f"{self.target} asks for a conditional generator with at most the classifier's {classes} classes, but "
                f"this one has {known}; give it data with such labels (--data.labels true)."
            )
        if self.target.reads == "groups" and not isinstance(self.generator, StochasticGenerator):
            raise ValueError(
                f"{self.target} asks for a generator with routes, not for {type(self.generator).__name__}; use "
                "StochasticEnsembleGenerator."
            )

    @property
    def classifier(self) -> FrozenClassifier:
        """The frozen classifier, in the discriminator's place."""
        return self.discriminator

    def configure_callbacks(self) -> list[Callback]:
        """Refuse what acts on a discriminator, before anything is prepared."""
        self._refuse_stabilizers()
        return super().configure_callbacks()

    def _refuse_stabilizers(self) -> None:
        for stabilizer in self.active_stabilizers:
            if stabilizer.acts_on_discriminator:
                raise ValueError(
                    f"{stabilizer} acts on the discriminator, and SEPGAN has none: a frozen classifier stands in its "
                    "place; leave this stabilizer out, or the part of it that is the discriminator's."
                )

    def generator_step(self, batch: Batch, fake: Tensor | None = None) -> Step:
        """The generator's loss, with its graph; `fake_logits` are the classifier's, (N, K).

        Args:
            batch: says how many images to make, and their labels where the generator is conditional.
            fake: images that carry a gradient; None makes them, which a target that reads routes needs.
        """
        x, labels = self.unpack_batch(batch)
        choice = labels if self.target.reads == "labels" else None
        if self.target.reads == "groups":
            if fake is not None:
                raise ValueError(f"{self.target} needs to know the routes of the fakes; let the step make them.")
            fake, choice = self._along_routes(len(x), labels)
        fake = self.generate(len(x), labels) if fake is None else fake
        for stabilizer in self.active_stabilizers:
            fake = stabilizer.on_discriminator_input(self, fake)
        with _statistics(self._norms if self.batch_norm_statistics else []) as distances:
            logits = self.discriminate(self.discriminator, fake, None)
        step = Step(self.target.loss(logits, choice), fake, logits, labels=labels, discriminator=self.discriminator)
        if self.total_variation:
            self._add(step, "total_variation", self.total_variation * total_variation(fake))
        if self.batch_norm_statistics:
            self._add(step, "batch_norm_statistics", self.batch_norm_statistics * torch.stack(distances).mean())
        for stabilizer in self.active_stabilizers:
            step.loss = stabilizer.on_generator_loss(self, step, step.loss)
        return step

    def _along_routes(self, num: int, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Images, and the group of each in the last stochastic layer."""
        generator: StochasticGenerator = self.generator  # type: ignore[assignment]
        z = self.sample_latents(num)
        route = generator.draw_routes(num, self.device)
        fake = generator(z, labels, route).to(z.dtype)
        return fake, generator.last_group(route, num)

    @staticmethod
    def _add(step: Step, name: str, term: Tensor) -> None:
        step.loss = step.loss + term
        step.terms[name] = term.detach()

    def discriminator_step(self, *args: Any, **kwargs: Any) -> Step:
        """There is none."""
        raise ValueError("SEPGAN has no discriminator to train: a frozen classifier stands in its place.")

    def train_batch(self, batch: Batch, generator_optimizer: Optimizer | LightningOptimizer) -> dict[str, Step]:  # type: ignore[override]
        """Play one batch: the generator's step. It needs no Trainer: pass a torch optimizer."""
        if self.generator_updates == 0:
            self._refuse_stabilizers()
        step = self.update("generator", generator_optimizer, batch)
        self.generator_updates += 1
        for stabilizer in self.active_stabilizers:
            stabilizer.on_generator_step_end(self)
        return {"generator": step}

    def metrics(self, steps: dict[str, Step]) -> dict[str, Tensor | float]:
        """How sure the classifier is, of how many classes, and how much of the output is saturated."""
        step = steps["generator"]
        figures = _figures(step.fake, step.fake_logits)
        self._losses.append(float(step.loss))
        settled = len(self._losses) == STUCK_AFTER and max(self._losses) - min(self._losses) < 0.01 * max(self._losses)
        if settled and min(self._losses) > 0.5 and figures["generator/saturated"] > 0.9 and not self._said_stuck:
            self._said_stuck = True
            rank_zero_warn(
                f"SEPGAN is stuck: {100 * float(figures['generator/saturated']):.0f} % of the output is saturated, "
                f"where tanh passes no gradient, and the loss stays at {float(step.loss):.3g}. Start again with a "
                "lower learning rate, a generator_clip, another seed, or a target that the generator can reach.",
                category=UserWarning,
            )
        return {**super().metrics(steps), **figures}

    def evaluation_metrics(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss, and how sure the classifier is, of how many classes."""
        step = self.generator_step(batch)
        figures = {"loss": step.loss, **_figures(step.fake, step.fake_logits)}
        return {name.rsplit("/")[-1]: value for name, value in figures.items()}


def total_variation(images: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, down plus across, of images (N, C, H, W); a scalar."""
    return images.diff(dim=2).abs().mean() + images.diff(dim=3).abs().mean()


@contextmanager
def _statistics(norms: list[_BatchNorm]) -> Iterator[list[Tensor]]:
    """For each BatchNorm that is used meanwhile, the distance of its input's statistics from those it remembers."""
    distances: list[Tensor] = []

    def measure(norm: _BatchNorm, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].float().transpose(0, 1).flatten(1)
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None and variance is not None
        distances.append((x.mean(1) - mean).norm() + (x.var(1, correction=0) - variance).norm())

    handles = [norm.register_forward_pre_hook(measure) for norm in norms]
    try:
        yield distances
    finally:
        for handle in handles:
            handle.remove()


def _figures(fake: Tensor, logits: Tensor) -> dict[str, Tensor]:
    sure, best = logits.softmax(1).max(1)
    return {
        "generator/confidence": sure.mean(),
        "generator/classes": best.unique().numel() * torch.ones(()),
        "generator/saturated": (fake.abs() > 0.99).float().mean(),
    }
