"""Packing in training; the discriminator of packs is tested with the networks."""

import math

import pytest
import torch
from torch import nn

from lightning_gans.networks import PackedDiscriminator
from lightning_gans.stabilizers import GradientPenalty, Packing


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
