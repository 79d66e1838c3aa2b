"""The Stochastic-Ensemble Pseudo-GAN: a frozen classifier in place of the discriminator."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

from lightning_gans import batches, hooks
from lightning_gans.gan import GAN
from lightning_gans.models import teachers
from lightning_gans.models.image_priors import ImagePriors
from lightning_gans.networks import FrozenClassifier, Generator, StochasticGenerator
from lightning_gans.optimizers import Adam
from lightning_gans.schedules import Schedule
from lightning_gans.step import PROGRESS_METRICS, Batch, Step
from lightning_gans.targets import MarginalEntropy, Target
from lightning_gans.training import checks, returns_metrics

STUCK_AFTER = 20  # logged losses without progress
_CLASSIFIER_METRICS = ("confidence", "classes", "saturated")


class SEPGAN(GAN):
    """A generator trained against a frozen, pretrained image classifier; there is no discriminator.

        min over G of  target(C(G(z))) + total_variation · TV + image_norm · N + batch_norm_statistics · S

    A single network finds one picture that the classifier assigns to the class, "absolute mode collapse from the
    beginning". The paper uses a stochastic ensemble, whose routes end at different pictures:
    `StochasticEnsembleGenerator`. What they show depends on the classifier: of an ordinary one it is textures, of one
    that resists attacks, such as `RobustDigitClassifier`, it is its classes; `docs/sepgan.md` compares them. Three
    priors of the images x = G(z), off unless given a weight, make them smoother, darker, or closer to the classifier's
    data:

        TV = mean |x_{i+1,j} − x_{i,j}| + mean |x_{i,j+1} − x_{i,j}|
        N  = mean ‖(x + 1) / 2‖
        S  = mean over BatchNorm layers of ‖mean(x) − running mean‖ + ‖var(x) − running variance‖

    S uses the batch of one process; the rest of the loss that of all of them.

    Of a batch only the number of samples is used and, if the generator is conditional, the labels. The paper states
    the training against a frozen classifier, and the ensemble; losses and optimizer are inferred. Stabilizers of the
    generator work, those of the discriminator are refused. The share of saturated output (beyond ±0.99) is logged, and
    a warning tells when saturation has stopped the training.

    Args:
        generator: makes images; a `StochasticEnsembleGenerator` as in the paper.
        classifier: any image classifier, such as `DigitClassifier` or `torchvision.models.resnet18`. It is
            wrapped in a `FrozenClassifier`, which resizes, repeats channels and normalises for ImageNet; give a
            `FrozenClassifier` for another normalisation. It is frozen and not saved in checkpoints.
        target: the classes to generate; see `targets`.
        total_variation: weight of the first prior, at least 0.
        image_norm: weight of the second prior, at least 0, for data on a black ground.
        batch_norm_statistics: weight of the third prior, at least 0; the classifier must have BatchNorm.
        generator_optimizer: makes the generator's optimizer.
        generator_scheduler: makes its learning-rate schedule; None keeps the rate constant.
        generator_clip: the largest norm of the gradient; None for no clipping.
        generator_accumulation: number of parts in which a batch is processed.

    Raises:
        ValueError: for a classifier that does not take images or lacks the target's classes, a target that does not
            fit the generator, a negative weight, or a stabilizer of the discriminator.

    Reference:
        Chaplygin and Chacksfield, Stochastic Deconvolutional Neural Network Ensemble Training on Generative
        Pseudo-Adversarial Networks, 2018, arXiv 1802.02436; the first two priors: Mahendran, Vedaldi, Understanding
        Deep Image Representations by Inverting Them, CVPR 2015, arXiv 1412.0035; the third: Yin et al., Dreaming to
        Distill (DeepInversion), CVPR 2020, arXiv 1912.08795.
    """

    discriminator: FrozenClassifier  # type: ignore[assignment]

    def __init__(
        self,
        generator: Generator,
        classifier: nn.Module,
        target: Target = MarginalEntropy(),  # noqa: B008 - it has no state
        total_variation: float | Schedule = 0.0,
        image_norm: float | Schedule = 0.0,
        batch_norm_statistics: float | Schedule = 0.0,
        generator_optimizer: OptimizerCallable = lambda params: Adam(params, lr=2e-4, beta1=0.5),
        generator_scheduler: LRSchedulerCallable | None = None,
        generator_clip: float | None = None,
        generator_accumulation: int = 1,
    ):
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
        self.batch_norm_statistics = batch_norm_statistics
        self._check_target()
        self.priors = ImagePriors(self, classifier.network, total_variation, image_norm, batch_norm_statistics)
        self._losses: deque[float] = deque(maxlen=STUCK_AFTER)
        self._warned = False

    @override
    def check_networks(self, generator: Generator, discriminator: nn.Module) -> None:
        """Refuse a generator that does not make images which the classifier takes."""
        shape = generator.sample_shape
        if len(shape) != 3:
            raise ValueError(f"the generator makes samples of shape {shape}, expected images (C, H, W) to classify.")
        with torch.no_grad():
            discriminator(torch.zeros(1, *shape))

    @override
    def needing_whole_batch(self, player: str) -> list[Any]:
        found = checks.needing_whole_batch(player, self.target, *self.active_stabilizers)
        if "batch_norm_statistics" in self.loss_terms:
            found.append(f"SEPGAN(batch_norm_statistics={self.batch_norm_statistics})")
        return found

    def _check_target(self) -> None:
        self.target.check(self.discriminator.num_classes, self.generator.num_classes)
        if self.target.reads == "groups" and not isinstance(self.generator, StochasticGenerator):
            raise ValueError(
                f"{self.target} asks for a generator with routes, not for {type(self.generator).__name__}; use "
                "StochasticEnsembleGenerator."
            )

    @override
    def on_train_start(self) -> None:
        super().on_train_start()
        teachers.describe(self)

    @property
    def classifier(self) -> FrozenClassifier:
        """The frozen classifier, in the discriminator's place."""
        return self.discriminator

    @override
    def configure_callbacks(self) -> list[Callback]:
        self._refuse_stabilizers()
        return super().configure_callbacks()

    def _refuse_stabilizers(self) -> None:
        for stabilizer in self.active_stabilizers:
            if stabilizer.acts_on_discriminator or stabilizer.reads_real:
                raise ValueError(
                    f"{stabilizer} acts on the discriminator, and SEPGAN has none: a classifier takes its place; "
                    "leave out this stabilizer, or the part of it that is for the discriminator."
                )

    @override
    def generator_step(self, batch: Batch, fake: Tensor | None = None) -> Step:
        """Return the generator's loss, with its graph; `fake_logits` are the classifier's, (N, K).

        Args:
            batch: gives the number of images to make and, if the generator is conditional, their labels.
            fake: images that require grad; None makes them, which a target that reads routes needs.
        """
        x, labels = batches.read(self, batch)
        choice = labels if self.target.reads == "labels" else None
        if self.target.reads == "groups":
            if fake is not None:
                raise ValueError(f"{self.target} needs the routes of the fakes; let the step make them.")
            fake, choice = self._generate_with_groups(len(x), labels)
        fake = self.generate(len(x), labels) if fake is None else fake
        for stabilizer in self.active_stabilizers:
            fake = hooks.discriminator_input(stabilizer, self, fake)
        with self.priors.distances() as distances:
            logits = self.discriminate(self.discriminator, fake, None)
        step = Step(self.target.loss(logits, choice), fake, logits, labels=labels, discriminator=self.discriminator)
        for name, term in self.priors.terms(fake, distances, self.generator_updates).items():
            step.loss = step.loss + term
            step.terms[name] = term.detach()
        for stabilizer in self.active_stabilizers:
            step.loss = hooks.generator_loss(stabilizer, self, step)
        return step

    def _generate_with_groups(self, num: int, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return images, and the group of each in the last stochastic layer."""
        generator = self.generator
        assert isinstance(generator, StochasticGenerator)
        z = self.sample_latents(num)
        route = generator.draw_routes(num, self.device)
        fake = generator(z, labels, route).to(z.dtype)
        return fake, generator.last_group(route, num)

    @override
    def discriminator_step(self, *args: Any, **kwargs: Any) -> Step:
        """Raise `ValueError`: there is no discriminator to train."""
        raise ValueError("SEPGAN has no discriminator to train: a frozen classifier takes its place.")

    @override
    def train_batch(  # type: ignore[override]
        self, batch: Batch, generator_optimizer: Optimizer | LightningOptimizer
    ) -> dict[str, Step]:
        """Update the generator on a batch; without a Trainer, pass a torch optimizer."""
        if self.generator_updates == 0:
            self._refuse_stabilizers()
        return {"generator": self.update("generator", generator_optimizer, batch)}

    @property
    def loss_terms(self) -> list[str]:
        """The names of the terms in the loss, which are logged as `loss/<name>`."""
        return self.priors.names

    @returns_metrics(*PROGRESS_METRICS, *(f"generator/{name}" for name in _CLASSIFIER_METRICS))
    @override
    def metrics(self, steps: dict[str, Step]) -> dict[str, Tensor | float]:
        """Return the classifier's confidence, the number of its classes, the share of saturated output, and progress.

        It warns once of a run that is stuck: a loss that no longer falls, with almost all output saturated.
        """
        step = steps["generator"]
        metrics = _classifier_metrics(step)
        self._losses.append(float(step.loss))
        settled = len(self._losses) == STUCK_AFTER and max(self._losses) - min(self._losses) < 0.01 * max(self._losses)
        if settled and min(self._losses) > 0.5 and metrics["saturated"] > 0.9 and not self._warned:
            self._warned = True
            rank_zero_warn(
                f"SEPGAN is stuck: {100 * float(metrics['saturated']):.0f} % of the output is saturated, "
                f"where tanh passes no gradient, and the loss stays at {float(step.loss):.3g}. Start again with a "
                "lower learning rate, another seed, or a target that the generator can reach.",
                category=UserWarning,
            )
        return super().metrics(steps) | {f"generator/{name}": value for name, value in metrics.items()}

    @returns_metrics("loss", *_CLASSIFIER_METRICS)
    @override
    def evaluation_metrics(self, batch: Batch) -> dict[str, Tensor]:
        step = self.generator_step(batch)
        return {"loss": step.loss} | _classifier_metrics(step)


def _classifier_metrics(step: Step) -> dict[str, Tensor]:
    confidence, classes = step.fake_logits.softmax(1).max(1)
    values = confidence.mean(), classes.unique().numel() * torch.ones(()), (step.fake.abs() > 0.99).float().mean()
    return dict(zip(_CLASSIFIER_METRICS, values, strict=True))
