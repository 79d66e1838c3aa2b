"""Classifier guidance: the generator is trained against a frozen classifier beside the discriminator."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.networks import FrozenClassifier, RobustDigitClassifier
from lightning_gans.schedules import Schedule, bounds, value
from lightning_gans.stabilizer import Stabilizer
from lightning_gans.step import Step
from lightning_gans.targets import MarginalEntropy, Target


class ClassifierGuidance(Stabilizer):
    """Train the generator against a frozen, pretrained classifier beside the discriminator.

        weight · target(C(G(z)))

    is added to the generator's loss. With `Labels` the samples of a conditional generator have to show their class to C
    as well; with `MarginalEntropy`, those of any generator have to be of some class, and all classes equally often. The
    classifier does not change, so that this part of the loss does not move away as the generator follows it, and it
    knows more images than a discriminator that is trained on few. The gradient of an ordinary classifier makes
    textures; take one that resists attacks (`RobustClassifier` trains one). In `SEPGAN` a classifier is all there is.

    It costs a forward and a backward of the classifier in the generator's step. The classifier is not in checkpoints.

    Attributes:
        frozen: the classifier, as a `FrozenClassifier`.

    Args:
        classifier: maps images to logits, through `FrozenClassifier`; None is `RobustDigitClassifier`.
        target: the classes that samples have to show, see `targets`; `PerRoute` is for `SEPGAN` alone.
        weight: weight of the term, at least 0.

    Raises:
        ValueError: for a weight out of range; for samples that the classifier does not take, or a target that does not
            fit the generator or the classifier.

    Reference:
        Odena, Olah, Shlens, Conditional Image Synthesis with Auxiliary Classifier GANs, ICML 2017, arXiv 1610.09585,
        there with a classifier that is trained beside the discriminator; Santurkar et al., Image Synthesis with a
        Single (Robust) Classifier, NeurIPS 2019, arXiv 1906.09453, without a discriminator.
    """

    def __init__(
        self,
        classifier: nn.Module | None = None,
        target: Target = MarginalEntropy(),  # noqa: B008 - it has no state
        weight: float | Schedule = 0.1,
    ):
        arguments.at_least(self, 0, weight=weight)
        self.classifier = classifier
        network = RobustDigitClassifier() if classifier is None else classifier
        self.frozen = network if isinstance(network, FrozenClassifier) else FrozenClassifier(network)
        self.target = target
        self.weight = weight
        self.needs_whole_batch = target.needs_whole_batch if bounds(weight)[1] > 0 else ()
        self.teaches_labels = target.reads == "labels" and bounds(weight)[1] > 0

    @override
    def apply_to(self, gan: GAN) -> None:
        """Refuse samples that the classifier does not take, and a target that does not fit."""
        shape = gan.generator.sample_shape
        if len(shape) != 3:
            raise ValueError(
                f"ClassifierGuidance classifies images (C, H, W), but the samples are {shape}; leave it out."
            )
        with torch.no_grad():
            self.frozen.to(gan.device)(torch.zeros(1, *shape, device=gan.device))
        self.target.check(self.frozen.num_classes, gan.generator.num_classes)
        if self.target.reads == "groups":
            raise ValueError(f"ClassifierGuidance(target={self.target}): routes are known in SEPGAN alone; use Labels.")

    @property
    def loss_terms(self) -> list[str]:
        """The names of what it adds to losses, which are logged as `loss/<name>`."""
        return ["classifier_guidance"] if bounds(self.weight)[1] > 0 else []

    @override
    def on_generator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        if not self.loss_terms:
            return loss
        self.frozen.to(step.fake.device)
        term = self.target.loss(self.frozen(step.fake), step.labels)
        term = value(self.weight, gan.generator_updates) * term
        step.terms["classifier_guidance"] = term.detach()
        return loss + term
