"""Packing in training; the discriminator of packs is tested with the networks."""

import copy
import math

import pytest
import torch
from penalties import LinearDiscriminator, gan_with
from torch import nn

from lightning_gans import GAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator, PackedDiscriminator
from lightning_gans.stabilizers import DRAGANPenalty, GradientPenalty, JSRegularizer, Packing, R1Penalty, R2Penalty


@pytest.mark.parametrize("samples", [2, 4])
def test_a_step_has_as_many_logits_as_packs(make_gan, batches, objective, samples):
    gan = make_gan(num_classes=2, objective=objective)
    Packing(samples).apply_to(gan)
    batch = batches(1, num_classes=2)[0]
    step, other = gan.discriminator_step(batch), gan.generator_step(batch)
    assert step.real_logits.shape == step.fake_logits.shape == other.fake_logits.shape == (8 // samples,)
    assert step.fake.shape == (8, 2) and step.loss.isfinite() and other.loss.isfinite()


def test_one_sample_changes_nothing(make_gan):
    gan = make_gan()
    before = gan.discriminator
    Packing(samples=1).apply_to(gan)
    assert gan.discriminator is before


def test_it_works_with_a_penalty_and_accumulation(make_gan, fit, weights):
    gan = make_gan(discriminator_accumulation=2, generator_accumulation=4)
    fit(gan, 3, callbacks=[Packing(), GradientPenalty()])
    assert isinstance(gan.discriminator, PackedDiscriminator) and weights(gan).isfinite().all()


@pytest.mark.parametrize("samples", [2, 4])
@pytest.mark.parametrize("kind", [GradientPenalty, DRAGANPenalty, R1Penalty, R2Penalty, JSRegularizer])
def test_a_penalty_of_packs_is_that_of_a_discriminator_whose_samples_are_the_packs(batches, samples, kind):
    """The same network and the same random numbers, once behind `Packing`, once on samples of m times the size."""
    discriminator = MLPDiscriminator((2,), width=8, depth=1)
    packed = GAN(MLPGenerator((2,), 3, width=8), discriminator)
    Packing(samples).apply_to(packed)
    whole = GAN(MLPGenerator((2 * samples,), 3, width=8), copy.deepcopy(packed.discriminator.inner))
    whole.discriminator.head = packed.discriminator.head
    real, fake = batches(2)
    terms = []
    for gan, shape in ((packed, (8, 2)), (whole, (8 // samples, 2 * samples))):
        gan.stabilizers.append(kind(3.0))
        torch.manual_seed(1)
        (term,) = gan.discriminator_step(real.view(shape), fake.view(shape)).terms.values()
        terms.append(term)
    torch.testing.assert_close(*terms)


@pytest.mark.parametrize("samples", [2, 4])
def test_a_critic_of_slope_one_on_packs_pays_nothing_and_r1_is_its_square(batches, samples):
    terms = []
    for penalty in (GradientPenalty(10.0), R1Penalty(2.0)):
        gan = gan_with(LinearDiscriminator(torch.ones(2)), penalty)
        gan.discriminator.features = nn.Linear(2, 2)
        Packing(samples).apply_to(gan)
        features, head = gan.discriminator.inner.features, gan.discriminator.head[0]
        with torch.no_grad():  # D(x₁, …, x_m) = w · (x₁, …, x_m) with ‖w‖ = 1
            features.weight.zero_()[0] = torch.randn(2 * samples)
            features.weight[0] /= features.weight[0].norm()
            head.weight.copy_(torch.tensor([[1.0, 0.0]]))
        terms += gan.discriminator_step(batches(1)[0]).terms.values()
    assert [term.item() for term in terms] == pytest.approx([0.0, 1.0], abs=1e-6)


def test_labels_stay_with_their_samples(make_gan, batches):
    gan = make_gan(num_classes=2)
    Packing(2).apply_to(gan)
    x, labels = batches(1, num_classes=2)[0]
    exchanged = labels.view(-1, 2).flip(1).flatten()
    assert ((gan.discriminator(x, labels) - gan.discriminator(x, exchanged)).abs() > 1e-4).all()


def test_a_batch_that_does_not_divide_is_refused_in_training_and_scored_in_validation(make_gan, fit, batches):
    with pytest.raises(ValueError, match=r"Packing\(samples=3\): a batch of 8 does not divide into packs of 3"):
        fit(make_gan(), callbacks=[Packing(3)])
    with pytest.raises(ValueError, match=r"Packing\(samples=4\): a batch of 2 does not divide"):
        fit(make_gan(discriminator_accumulation=4), callbacks=[Packing(4)])
    trainer = fit(make_gan(), callbacks=[Packing(2)], val=[torch.rand(7, 2), torch.rand(1, 2)])
    assert trainer.callback_metrics["val/discriminator_loss"].isfinite()


@pytest.mark.parametrize("samples", [0, -2, 1.5, math.nan])
def test_a_number_out_of_range_is_refused(samples):
    with pytest.raises(ValueError, match=rf"Packing\(samples={samples}\): expected a whole number of at least 1"):
        Packing(samples)


def test_what_cannot_be_packed_is_refused(make_gan):
    gan = make_gan()
    Packing(2).apply_to(gan)
    with pytest.raises(ValueError, match=r"Packing\(samples=4\): the discriminator is a PackedDiscriminator already"):
        Packing(4).apply_to(gan)
    gan.discriminator = nn.Identity()
    with pytest.raises(ValueError, match=r"Packing\(samples=3\): Identity is not a Discriminator"):
        Packing(3).apply_to(gan)
