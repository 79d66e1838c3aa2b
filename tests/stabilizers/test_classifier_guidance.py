"""Classifier guidance: its term, whom it trains, and what is refused."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_gans import GAN
from lightning_gans.networks import FrozenClassifier, MLPDiscriminator, MLPGenerator, RobustDigitClassifier
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers import ClassifierGuidance
from lightning_gans.targets import Classes, Labels, PerRoute

SHAPE = (1, 8, 8)


class Small(nn.Module):
    input_shape = SHAPE

    def __init__(self, classes=4):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, classes))

    def forward(self, x):
        return self.layers(x)


def conditional(classes=4):
    torch.manual_seed(0)
    return GAN(
        MLPGenerator(SHAPE, 3, width=8, num_classes=classes), MLPDiscriminator(SHAPE, width=8, num_classes=classes)
    )


def batch(size=6):
    return torch.rand(size, *SHAPE) * 2 - 1, torch.arange(size) % 4


def test_the_term_is_the_targets_loss_of_the_frozen_classifiers_logits():
    gan, (x, labels), fake = conditional(), batch(), torch.rand(6, *SHAPE) * 2 - 1
    plain = gan.generator_step((x, labels), fake).loss
    gan.stabilizers.append(guidance := ClassifierGuidance(Small(), Labels(), weight=0.3))
    step = gan.generator_step((x, labels), fake)
    expected = 0.3 * F.cross_entropy(fake.flatten(1) @ guidance.frozen.network.layers[2].weight.T
                                     + guidance.frozen.network.layers[2].bias, labels)  # fmt: skip
    torch.testing.assert_close(step.loss - plain, expected)
    torch.testing.assert_close(step.terms["classifier_guidance"], expected)
    assert (
        guidance.loss_terms == ["classifier_guidance"]
        and "classifier_guidance" not in gan.discriminator_step((x, labels)).terms
    )


def test_it_trains_the_generator_towards_the_class_and_never_the_classifier(weights):
    gan, (x, labels) = conditional(), batch(32)
    guidance = ClassifierGuidance(Small(), Labels(), weight=100.0)
    gan.stabilizers.append(guidance)
    before = weights(guidance.frozen.network)
    g, d = (torch.optim.Adam(one.parameters(), lr=0.01) for one in (gan.generator, gan.discriminator))
    first = gan.generator_step((x, labels)).terms["classifier_guidance"].item()
    for _ in range(60):
        gan.train_batch((x, labels), g, d)
    assert gan.generator_step((x, labels)).terms["classifier_guidance"].item() < 0.5 * first
    assert torch.equal(weights(guidance.frozen.network), before) and not guidance.frozen.network.training
    assert not any("classifier" in name for name in gan.state_dict())


def test_the_weight_may_follow_a_schedule():
    gan, (x, labels), fake = conditional(), batch(), torch.rand(6, *SHAPE) * 2 - 1
    gan.stabilizers.append(ClassifierGuidance(Small(), Classes([1]), Linear(1.0, 0.0, updates=4)))
    terms = []
    for gan.generator_updates in (0, 1, 9):
        terms.append(gan.generator_step((x, labels), fake).terms["classifier_guidance"].item())
    assert terms[1] == pytest.approx(0.75 * terms[0]) and terms[2] == 0 < terms[0]


def test_the_robust_digit_classifier_is_the_default_and_its_name_stands_for_it():
    guidance = ClassifierGuidance()
    assert isinstance(guidance.frozen.network, RobustDigitClassifier)
    assert repr(ClassifierGuidance(Small())).startswith("ClassifierGuidance(classifier=Small, ")
    frozen = FrozenClassifier(Small())
    assert ClassifierGuidance(frozen).frozen is frozen


@pytest.mark.parametrize(
    ("gan", "arguments", "message"),
    [
        (lambda make: make(), {}, r"classifies images \(C, H, W\), but the samples are \(2,\); leave it out"),
        (
            lambda make: conditional(),
            {"target": PerRoute()},
            r"target=PerRoute\(\)\): routes are known in SEPGAN alone",
        ),
        (lambda make: conditional(5), {"target": Labels()}, r"at most the classifier's 4 classes, but this one has 5"),
        (
            lambda make: conditional(),
            {"target": Classes([4])},
            r"the classifier has no class 4; give classes from 0 to 3",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make_gan, gan, arguments, message):
    with pytest.raises(ValueError, match=message):
        ClassifierGuidance(Small(), **arguments).apply_to(gan(make_gan))


@pytest.mark.parametrize("weight", [-0.1, math.nan])
def test_a_weight_out_of_range_is_refused(weight):
    with pytest.raises(ValueError, match=rf"ClassifierGuidance\(weight={weight}\): expected a number of at least 0"):
        ClassifierGuidance(Small(), weight=weight)


def test_samples_that_the_classifier_does_not_take_are_refused_before_training():
    colours = FrozenClassifier(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), (3, 8, 8))
    gan = GAN(MLPGenerator((2, 8, 8), 3, width=8), MLPDiscriminator((2, 8, 8), width=8))
    with pytest.raises(
        ValueError, match=r"samples have shape \(1, 2, 8, 8\), expected images .*; change the generator's"
    ):
        ClassifierGuidance(colours).apply_to(gan)
