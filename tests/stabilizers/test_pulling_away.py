"""The pulling-away term against its formula in plain Python, within classes, and through a classifier."""

import itertools
import math

import pytest
import torch
from helpers import gradients
from torch import nn

from lightning_gans import GAN, SEPGAN
from lightning_gans.networks import (
    DCGANGenerator,
    DigitClassifier,
    FrozenClassifier,
    MLPDiscriminator,
    MLPGenerator,
    RobustDigitClassifier,
)
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers import Packing, PullingAway
from lightning_gans.step import Step


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def formula(features, labels=None):
    rows = features.flatten(1).tolist()
    kinds = [0] * len(rows) if labels is None else labels.tolist()
    pairs = [(i, j) for i, j in itertools.permutations(range(len(rows)), 2) if kinds[i] == kinds[j]]
    return sum(cosine(rows[i], rows[j]) ** 2 for i, j in pairs) / max(1, len(pairs))


def term(gan, fake, labels=None, weight=1.0):
    step = Step(torch.zeros(()), fake, torch.zeros(len(fake)), labels=labels, discriminator=gan.discriminator)
    return PullingAway(weight).on_generator_loss(gan, step, step.loss)


def test_it_equals_its_formula(make_gan):
    gan, fake = make_gan(), torch.rand(7, 2)
    with torch.no_grad():
        features = gan.discriminator.features(fake)
    assert term(gan, fake, weight=0.3).item() == pytest.approx(0.3 * formula(features), rel=1e-5)


def test_with_labels_pairs_are_of_one_class():
    gan = GAN(MLPGenerator((2,), 3, width=8, num_classes=3), MLPDiscriminator((2,), width=8, num_classes=3))
    fake, labels = 4 * torch.randn(6, 2), torch.tensor([0, 1, 0, 2, 1, 0])
    with torch.no_grad():
        features = gan.discriminator.features(fake)
    assert term(gan, fake, labels).item() == pytest.approx(formula(features, labels), rel=1e-5)
    assert formula(features, labels) != pytest.approx(formula(features), rel=1e-3)
    assert term(gan, fake[:3], torch.tensor([0, 1, 2])).item() == 0


def test_behind_packing_pairs_are_of_packs():
    gan = GAN(MLPGenerator((2,), 3, width=8, num_classes=3), MLPDiscriminator((2,), width=8, num_classes=3))
    gan.stabilizers += [packing := Packing(2), PullingAway(1.0)]
    packing.apply_to(gan)
    x, labels = torch.rand(8, 2), torch.arange(8) % 3
    step = gan.generator_step((x, labels))
    with torch.no_grad():
        features = gan.discriminator.features(step.fake)
    assert len(features) == 4
    assert step.terms["pulling_away"].item() == pytest.approx(formula(features), rel=1e-5)


def test_equal_samples_pay_the_weight(make_gan):
    assert term(make_gan(), torch.rand(1, 2).expand(5, 2), weight=0.4).item() == pytest.approx(0.4, rel=1e-5)


def test_it_is_a_term_of_the_generators_loss_with_a_schedule(make_gan, batches):
    gan, x, fake = make_gan(), batches(1)[0], torch.rand(8, 2)
    plain = gan.generator_step(x, fake).loss
    gan.stabilizers.append(PullingAway(Linear(1.0, 0.0, updates=4)))
    with torch.no_grad():
        full = formula(gan.discriminator.features(fake))
    for gan.generator_updates, share in ((0, 1.0), (3, 0.25), (9, 0.0)):
        step = gan.generator_step(x, fake)
        assert step.terms["pulling_away"].item() == pytest.approx(share * full, rel=1e-4)
        assert (step.loss - plain).item() == pytest.approx(share * full, abs=1e-5)
    assert gan.stabilizers[-1].loss_terms == ["pulling_away"] and not step.terms["pulling_away"].requires_grad


def test_its_gradient_reaches_the_generator_and_a_step_along_it_lowers_it(make_gan):
    gan = make_gan()
    z = gan.generator.latents.sample(16)
    before = term(gan, gan.generator(z))
    before.backward()
    assert any(gradient.abs().sum() > 0 for gradient in gradients(gan.generator))
    with torch.no_grad():
        for weight in gan.generator.parameters():
            weight -= 0.05 * weight.grad
    assert term(gan, gan.generator(z)).item() < before.item()


@pytest.mark.parametrize("make", [DigitClassifier, RobustDigitClassifier])
def test_in_sepgan_the_features_are_what_the_classifiers_last_layer_takes(make, batches):
    gan = SEPGAN(DCGANGenerator((1, 28, 28), 3, width=2), make())
    fake = torch.rand(4, 1, 28, 28) * 2 - 1
    with torch.no_grad():
        expected = gan.classifier.network.features(fake)
    assert torch.allclose(gan.classifier.features(fake), expected, atol=1e-6)
    PullingAway().apply_to(gan)
    gan.stabilizers.append(PullingAway(2.0))
    step = gan.generator_step(torch.zeros(4, 1, 28, 28), fake)
    assert step.terms["pulling_away"].item() == pytest.approx(2 * formula(expected), rel=1e-4)


def test_what_has_no_features_is_refused(make_gan):
    gan = make_gan()
    gan.discriminator = nn.Linear(2, 1)
    with pytest.raises(ValueError, match="PullingAway needs a discriminator with `features`, and Linear has none"):
        PullingAway().apply_to(gan)
    plain = nn.Sequential(nn.Conv2d(1, 5, 8), nn.Flatten())
    gan = SEPGAN(DCGANGenerator((1, 8, 8), 3, width=2), FrozenClassifier(plain, (1, 8, 8), [0.5], [0.5]))
    with pytest.raises(ValueError, match="Sequential has no Linear layer that takes features; use one that has"):
        PullingAway().apply_to(gan)


@pytest.mark.parametrize("weight", [-0.1, math.nan])
def test_a_weight_out_of_range_is_refused(weight):
    with pytest.raises(ValueError, match=rf"PullingAway\(weight={weight}\): expected a number of at least 0"):
        PullingAway(weight)
