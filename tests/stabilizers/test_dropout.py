"""Dropout behind hidden activations: where, with which probability, and when it acts."""

import math

import pytest
import torch
from torch import nn

from lightning_gans.networks import AlwaysOnDropout, MLPGenerator, StochasticEnsembleGenerator
from lightning_gans.stabilizers import Dropout


def places(network):
    return [(type(m[0]).__name__, m[1]) for m in network.modules() if type(m) is nn.Sequential and len(m) == 2
            and isinstance(m[1], nn.Dropout | AlwaysOnDropout)]  # fmt: skip


def test_it_is_behind_every_hidden_activation_and_not_behind_the_last_tanh(make_image_gan):
    gan = make_image_gan(size=16)
    Dropout(discriminator=0.25, generator=0.125).apply_to(gan)
    assert [name for name, _ in places(gan.generator)] == ["ReLU"] * 2
    assert [name for name, _ in places(gan.discriminator)] == ["LeakyReLU"] * 2
    assert all(type(dropout) is AlwaysOnDropout and dropout.p == 0.125 for _, dropout in places(gan.generator))
    assert all(type(dropout) is nn.Dropout and dropout.p == 0.25 for _, dropout in places(gan.discriminator))
    assert isinstance(gan.generator.layers[-1], nn.Tanh)


def test_a_hidden_tanh_counts_and_a_bounded_output_does_not(make_gan):
    gan = make_gan()
    gan.generator = MLPGenerator((2,), 3, width=8, depth=2, activation=nn.Tanh, bounded=True)
    Dropout().apply_to(gan)
    assert [name for name, _ in places(gan.generator)] == ["Tanh", "Tanh"] and not places(gan.discriminator)


def test_routes_count_as_weights(make_gan):
    gan = make_gan()
    gan.generator = StochasticEnsembleGenerator((1, 16, 16), width=2, groups=2)
    Dropout().apply_to(gan)
    assert [name for name, _ in places(gan.generator)] == ["PReLU"], "before the last layer, a bank of one"
    assert gan.generator(gan.generator.latents.sample(4)).shape == (4, 1, 16, 16)


def test_the_generators_acts_in_evaluation_and_the_discriminators_does_not(make_gan):
    gan = make_gan()
    Dropout(discriminator=0.5, generator=0.5).apply_to(gan)
    gan.eval()
    z, x = torch.ones(64, 3), torch.ones(64, 2)
    assert len(gan(z).unique(dim=0)) > 10, "one z, many samples"
    assert len(gan.discriminator(x).unique()) == 1
    gan.train()
    assert len(gan.discriminator(x).unique()) > 10


def test_a_probability_of_0_leaves_a_network_as_it_is(make_gan):
    gan = make_gan()
    names = [name for name, _ in gan.named_modules()]
    Dropout(generator=0.0).apply_to(gan)
    assert [name for name, _ in gan.named_modules()] == names


@pytest.mark.parametrize("name", ["discriminator", "generator"])
@pytest.mark.parametrize("value", [-0.1, 1.0, math.nan])
def test_probabilities_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"Dropout\({name}={value}\): expected a number in \[0, 1\)"):
        Dropout(**{name: value})


def test_a_network_without_hidden_activations_is_refused(make_gan):
    gan = make_gan()
    gan.generator = MLPGenerator((2,), 3, depth=0, bounded=True)
    with pytest.raises(ValueError, match=r"Dropout\(.*\): MLPGenerator has no hidden activations that are modules"):
        Dropout().apply_to(gan)
    gan.discriminator.layers = nn.Identity()
    with pytest.raises(ValueError, match="MLPDiscriminator has no hidden activations"):
        Dropout(discriminator=0.5, generator=0.0).apply_to(gan)
