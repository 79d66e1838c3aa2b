"""Minibatch standard deviation in training; its formula is tested with its layer."""

import pytest
import torch
from torch import nn

from lightning_gans.stabilizers import MinibatchStdDev


def test_the_head_sees_one_number_more(make_gan, batches):
    gan, x = make_gan(), batches(1)[0]
    before, features = gan.discriminator(x), gan.discriminator.features(x)
    MinibatchStdDev().apply_to(gan)
    torch.testing.assert_close(gan.discriminator(x), before)
    with torch.no_grad():
        gan.discriminator.head[1][0].weight[:, 8:] = 2.0
    deviation = features.std(0, correction=0).mean()
    torch.testing.assert_close(gan.discriminator(x), before + 2 * deviation)


def test_the_gradient_makes_the_generator_vary(make_gan):
    gan = make_gan()
    MinibatchStdDev().apply_to(gan)
    with torch.no_grad():
        linear = gan.discriminator.head[1][0]
        linear.weight.zero_()
        linear.weight[:, 8:] = 1.0
    fake = torch.randn(8, 2).requires_grad_()
    (slope,) = torch.autograd.grad(gan.generator_step(torch.zeros(8, 2), fake).loss, fake)
    with torch.no_grad():
        deviations = [gan.discriminator.features(x).std(0, correction=0).mean() for x in (fake - 0.1 * slope, fake)]
    assert deviations[0] > deviations[1]


def test_a_batch_of_one_has_finite_gradients(make_gan):
    gan = make_gan()
    MinibatchStdDev().apply_to(gan)
    nn.init.ones_(gan.discriminator.head[1][0].weight)
    gan.discriminator_step(torch.zeros(1, 2)).loss.backward()
    assert all(p.grad.isfinite().all() for p in gan.discriminator.parameters())


def test_a_head_without_a_linear_is_refused(make_gan):
    gan = make_gan()
    gan.discriminator.head = nn.Flatten(0)
    with pytest.raises(ValueError, match=r"MinibatchStdDev\(\): Flatten as a head has no Linear of 8 inputs"):
        MinibatchStdDev().apply_to(gan)
