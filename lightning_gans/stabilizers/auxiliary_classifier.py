"""The auxiliary classifier: the discriminator also tells the class of a sample, and the generator has to show it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.schedules import Schedule, bounds, value
from lightning_gans.stabilizers.feature_head import FeatureHead
from lightning_gans.step import Step


class AuxiliaryClassifier(FeatureHead):
    """Let the discriminator classify samples too, and train a conditional generator to be classified right.

        D: weight · (CE(x, y) + CE(G(z, y), y)),    G: generator_weight · CE(G(z, y), y)

    are added to the losses; CE(x, y) = −log softmax(W f(x) + b)_y with f the discriminator's `features`. In the paper
    the discriminator gets no labels: give it `num_classes=0`, which a conditional generator may stand beside then
    (`--model.discriminator.num_classes 0`). Beside one that gets labels, by projection, it is added to it. The term
    rewards samples that are easy to classify, so samples of a class vary less the larger `generator_weight` is. Fakes
    of an untrained generator show no class; `fakes=False` leaves them to the discriminator's own head.

    It costs one more forward and backward of the discriminator in either step. Several classifiers share one layer.

    Args:
        weight: weight in the discriminator's loss, at least 0.
        generator_weight: weight in the generator's loss, at least 0.
        fakes: whether the classifier is trained on fakes, too, as in the paper.

    Raises:
        ValueError: for a weight out of range; for a generator without labels, a discriminator without `features`, or
            one of packs.

    Reference:
        Odena, Olah, Shlens, Conditional Image Synthesis with Auxiliary Classifier GANs, ICML 2017, arXiv 1610.09585,
        which has weights 1; fewer differences inside a class: Gong et al., Twin Auxiliary Classifiers GAN, NeurIPS
        2019, arXiv 1907.02690.
    """

    def __init__(self, weight: float | Schedule = 1.0, generator_weight: float | Schedule = 1.0, fakes: bool = True):
        arguments.at_least(self, 0, weight=weight, generator_weight=generator_weight)
        self.weight = weight
        self.generator_weight = generator_weight
        self.fakes = fakes
        self.teaches_labels = bounds(weight)[1] > 0 and bounds(generator_weight)[1] > 0

    @property
    @override
    def loss_terms(self) -> list[str]:
        weights = {"auxiliary_classifier": self.weight, "generator_auxiliary_classifier": self.generator_weight}
        return [name for name, weight in weights.items() if bounds(weight)[1] > 0]

    @override
    def num_outputs(self, gan: GAN) -> int:
        if not gan.generator.num_classes:
            raise ValueError(
                "AuxiliaryClassifier needs a conditional generator, and this one has no labels; give it num_classes "
                "(--data.labels true)."
            )
        return gan.generator.num_classes

    @override
    def on_discriminator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        if bounds(self.weight)[1] == 0:
            return loss
        assert step.real is not None
        term = self._cross_entropy(gan, step, step.real)
        if self.fakes:
            term = term + self._cross_entropy(gan, step, step.fake)
        term = value(self.weight, gan.generator_updates) * term
        step.terms["auxiliary_classifier"] = term.detach()
        return loss + term

    @override
    def on_generator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        if bounds(self.generator_weight)[1] == 0:
            return loss
        term = value(self.generator_weight, gan.generator_updates) * self._cross_entropy(gan, step, step.fake)
        step.terms["generator_auxiliary_classifier"] = term.detach()
        return loss + term

    def _cross_entropy(self, gan: GAN, step: Step, x: Tensor) -> Tensor:
        assert step.labels is not None
        return F.cross_entropy(self.predict(gan, step.discriminator, x), step.labels)
