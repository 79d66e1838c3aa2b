"""Feature matching against its formula in numpy, and what becomes of the generator's loss."""

import math

import numpy as np
import pytest
import torch
from helpers import gradients
from torch import nn

from lightning_gans import GAN, UnrolledGAN
from lightning_gans.stabilizers import FeatureMatching, InstanceNoise


def matched(gan, x, fake=None, **arguments):
    gan.stabilizers.append(FeatureMatching(**arguments))
    return gan.generator_step(x, fake)


def formula(gan, real, fake):
    with torch.no_grad():
        real, fake = (gan.discriminator.features(x).numpy().astype(np.float64) for x in (real, fake))
    return sum((real[:, k].mean() - fake[:, k].mean()) ** 2 for k in range(real.shape[1]))


@pytest.mark.parametrize("weight", [1.0, 0.3])
@pytest.mark.parametrize("size", [1, 8])
def test_it_is_the_squared_distance_of_the_mean_features(make_gan, batches, weight, size):
    gan, x, fake = make_gan(), batches(1, size=size)[0], torch.rand(size, 2)
    step = matched(gan, x, fake, weight=weight)
    expected = weight * formula(gan, x, fake)
    assert step.loss.item() == pytest.approx(expected, rel=1e-5)
    assert step.terms["feature_matching"].item() == pytest.approx(expected, rel=1e-5)
    assert not step.terms["feature_matching"].requires_grad


def test_it_is_added_to_the_loss_on_demand(make_gan, batches):
    gan, x, fake = make_gan(), batches(1)[0], torch.rand(8, 2)
    plain = gan.generator_step(x, fake).loss
    step = matched(gan, x, fake, weight=2.0, replace=False)
    torch.testing.assert_close(step.loss, plain + 2 * torch.tensor(formula(gan, x, fake)).float())


def test_fakes_that_equal_the_real_samples_pay_nothing(make_gan, batches):
    x = batches(1)[0]
    assert matched(make_gan(), x, x.flip(0)).loss.item() == pytest.approx(0, abs=1e-12)


def test_its_gradient_leads_a_generator_to_the_mean_of_the_features(dirac):
    """With D(x) = ψx the feature is x: θ falls to the data's mean 0 at the rate of 2, whatever ψ does."""
    path = dirac(FeatureMatching(), steps=10, lr=0.1)
    assert path[:, 0].tolist() == pytest.approx([0.8**step for step in range(1, 11)], rel=1e-4)


def test_its_gradient_reaches_the_generator_only(make_gan, batches):
    gan = make_gan()
    matched(gan, batches(1)[0]).loss.backward()
    assert all(gradient is None for gradient in gradients(gan.discriminator))
    assert all(gradient.abs().sum() > 0 for gradient in gradients(gan.generator))


def test_real_samples_pass_without_a_graph(make_gan, batches):
    gan, graphs = make_gan(), []
    gan.discriminator.layers.register_forward_hook(lambda module, args, out: graphs.append(out.requires_grad))
    matched(gan, batches(1)[0])
    assert graphs == [True, False, True], "fakes before the head, real samples, fakes"


def test_it_sees_real_samples_as_the_discriminator_does(make_gan, batches):
    gan = make_gan()
    gan.stabilizers.append(InstanceNoise(0.5))
    x = batches(1)[0]
    step = matched(gan, x)
    assert not torch.equal(step.real, x)
    assert step.loss.item() == pytest.approx(formula(gan, step.real, step.fake.detach()), rel=1e-5)


def test_a_conditional_gan_matches_the_mean_over_all_labels(make_gan, batches):
    gan, batch = make_gan(num_classes=2), batches(1, num_classes=2)[0]
    step = matched(gan, batch)
    assert step.loss.item() == pytest.approx(formula(gan, batch[0], step.fake.detach()), rel=1e-5)


def test_features_of_images_are_matched(make_image_gan, batches):
    x, gan = batches(1, (1, 8, 8))[0], make_image_gan(norm=None)
    step = matched(gan, x)
    assert step.loss.item() == pytest.approx(formula(gan, x, step.fake.detach()), rel=1e-4)


def test_means_are_in_single_precision_under_autocast(make_gan, batches):
    with torch.autocast("cpu", torch.bfloat16):
        step = matched(make_gan(), batches(1)[0])
    assert step.loss.dtype == torch.float32


def test_a_discriminate_that_reshapes_is_used(make_gan, batches):
    """As packing does: what the discriminator sees are pairs of samples."""

    class Paired(GAN):
        def discriminate(self, discriminator, x, labels):
            return super().discriminate(discriminator, x.view(-1, 2), labels)

    plain = make_gan()
    gan = Paired(plain.generator, plain.discriminator)
    x, fake = torch.rand(4, 4), torch.rand(4, 4)
    step = matched(gan, x, fake)
    assert step.loss.item() == pytest.approx(formula(gan, x.view(8, 2), fake.view(8, 2)), rel=1e-5)


def test_in_an_unrolled_gan_the_features_are_those_of_the_current_discriminator(make_gan, batches):
    gan, x, fake = make_gan(kind=UnrolledGAN, unroll_steps=2), batches(1)[0], torch.rand(8, 2, requires_grad=True)
    assert matched(gan, x, fake).loss.item() == pytest.approx(formula(gan, x, fake.detach()), rel=1e-5)


def test_added_in_an_unrolled_gan_both_gradients_reach_the_generator(make_gan, batches):
    losses = []
    for weight in (0.0, 1.0):
        gan = make_gan(kind=UnrolledGAN, unroll_steps=2)
        fake = torch.linspace(-1, 1, 16).view(8, 2).requires_grad_()
        matched(gan, batches(1)[0], fake, weight=weight, replace=False).loss.backward()
        losses.append(fake.grad)
    fake = fake.detach().requires_grad_()
    matched(make_gan(), batches(1)[0], fake).loss.backward()
    torch.testing.assert_close(losses[1] - losses[0], fake.grad)


def test_a_discriminator_without_features_is_refused(make_gan):
    gan = make_gan()
    gan.discriminator = nn.Linear(2, 1)
    with pytest.raises(ValueError, match="FeatureMatching needs a discriminator with `features`, and Linear has none"):
        FeatureMatching().apply_to(gan)
    FeatureMatching().apply_to(make_gan())


def test_another_opponent_lends_its_own_features(make_gan, batches):
    class Other(GAN):
        def opponent(self, batch, fake):
            return other.discriminator

    plain, other = make_gan(), make_gan(seed=1)
    x, fake = batches(1)[0], torch.rand(8, 2)
    step = matched(Other(plain.generator, plain.discriminator), x, fake)
    assert isinstance(step.discriminator, nn.Module)
    assert step.loss.item() == pytest.approx(formula(other, x, fake), rel=1e-5)


@pytest.mark.parametrize("weight", [-1.0, math.nan])
def test_a_weight_out_of_range_is_refused(weight):
    with pytest.raises(ValueError, match=rf"FeatureMatching\(weight={weight}\): expected a number of at least 0"):
        FeatureMatching(weight)


def test_a_generator_without_a_loss_is_refused():
    with pytest.raises(ValueError, match=r"FeatureMatching\(weight=0.0, replace=True\).*expected a weight above 0"):
        FeatureMatching(0.0)
