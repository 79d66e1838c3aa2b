"""Latent consistency: its terms in closed form for linear networks, what is moved, and refusals."""

import math

import pytest
import torch
from helpers import LinearGenerator, small_gan
from torch import nn

from lightning_gans import GAN
from lightning_gans.networks import Constant, GaussianWithCode, MLPDiscriminator, MLPGenerator
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers import LatentConsistency


class Row(nn.Module):
    """D(x) = 2 x₀ − x₁."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0, -1.0, 0.0]))

    def forward(self, x):
        return x @ self.weight


def linear(latents=4):
    torch.manual_seed(0)
    return GAN(LinearGenerator(latents), Row())


X = torch.rand(4_000, 3)


def test_the_discriminators_term_is_the_mean_squared_change_of_its_logits():
    """With linear networks D(G(z)) − D(G(z + ε)) = −w·W ε, of variance σ² ‖W'w‖²."""
    gan = linear()
    gan.stabilizers.append(consistency := LatentConsistency(3.0, 0.0, sigma=0.1))
    step = gan.discriminator_step(X)
    slope = next(gan.discriminator.parameters()) @ gan.generator.linear.weight
    expected = 3 * 0.01 * slope.square().sum().item()
    assert step.terms["latent_consistency"].item() == pytest.approx(expected, rel=0.1)
    assert consistency.loss_terms == ["latent_consistency"] and not gan.generator_step(X).terms
    own = step.loss - gan.objective.discriminator_loss(step.real_logits, step.fake_logits)
    assert own.item() == pytest.approx(step.terms["latent_consistency"].item(), rel=1e-3)


def test_the_generators_term_is_the_negative_mean_squared_change_of_a_value():
    gan = linear()
    gan.stabilizers.append(consistency := LatentConsistency(0.0, 2.0, sigma=0.1))
    step = gan.generator_step(X)
    weight = gan.generator.linear.weight
    expected = -2 * 0.01 * weight.square().sum().item() / 3
    assert step.terms["latent_sensitivity"].item() == pytest.approx(expected, rel=0.05)
    assert consistency.loss_terms == ["latent_sensitivity"] and not gan.discriminator_step(X).terms
    plain = linear()
    torch.manual_seed(1)
    without = torch.autograd.grad(plain.generator_step(X).loss, plain.generator.linear.weight)[0]
    torch.manual_seed(1)
    with_it = torch.autograd.grad(gan.generator_step(X).loss, weight)[0]
    slope = -2 * 2 * 0.01 / 3 * weight  # of the term in closed form
    torch.testing.assert_close(with_it - without, slope.detach(), atol=0.1 * slope.abs().max().item(), rtol=0)


def test_the_generators_weights_are_left_alone_by_the_discriminators_term(batches):
    gan = small_gan()
    gan.stabilizers.append(LatentConsistency())
    gan.discriminator_step(batches(1)[0]).loss.backward()
    assert all(parameter.grad is None for parameter in gan.generator.parameters())


def test_a_code_and_labels_stay_as_they_are(batches):
    torch.manual_seed(0)
    gan = GAN(
        MLPGenerator((2,), GaussianWithCode(2, 3), width=8, num_classes=2), MLPDiscriminator((2,), 8, num_classes=2)
    )
    gan.stabilizers.append(LatentConsistency(sigma=0.5))
    given = []
    gan.generator.register_forward_pre_hook(lambda module, inputs: given.append(inputs))
    x, labels = batches(1, num_classes=2)[0]
    gan.discriminator_step((x, labels), torch.rand(8, 2))
    ((both, classes),) = given
    z, near = both.chunk(2)
    assert torch.equal(z[:, 2:], near[:, 2:]) and (z[:, :2] != near[:, :2]).all()
    assert torch.equal(classes, torch.cat([labels, labels]))


def test_the_weights_and_sigma_follow_schedules():
    gan, x = linear(), X[:8]
    gan.stabilizers.append(LatentConsistency(Linear(1.0, 0.0, updates=2), 1.0, Linear(0.1, 0.2, updates=2)))
    found = []
    for gan.generator_updates in (0, 1, 2):
        terms = gan.discriminator_step(x).terms
        torch.manual_seed(0)
        found.append((terms, gan.generator_step(x).terms))
    assert set(found[0][0]) == {"latent_consistency"} and not found[2][0]
    moved = [terms["latent_sensitivity"].item() for _, terms in found]
    assert moved == pytest.approx([moved[0], 1.5**2 * moved[0], 2**2 * moved[0]]), "as the square of sigma"


def test_nothing_is_drawn_at_0(batches):
    gan, x, fake = small_gan(), batches(1)[0], torch.rand(8, 2)
    gan.stabilizers.append(LatentConsistency(0.0, 0.0))
    state = torch.get_rng_state()
    assert not gan.discriminator_step(x, fake).terms and not gan.generator_step(x, fake.requires_grad_()).terms
    assert torch.equal(torch.get_rng_state(), state) and not LatentConsistency(0.0, 0.0).loss_terms


def test_latents_without_a_continuous_part_are_refused():
    for latents in (Constant(3), GaussianWithCode(0, 4)):
        gan = GAN(MLPGenerator((2,), latents, width=4), MLPDiscriminator((2,), width=4))
        with pytest.raises(ValueError, match=r"LatentConsistency moves latents, but .*\) have no continuous part; use"):
            LatentConsistency().apply_to(gan)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("discriminator", -1.0, "a number of at least 0"),
        ("generator", math.nan, "a number of at least 0"),
        ("sigma", -0.1, "a number of at least 0"),
    ],
)
def test_numbers_out_of_range_are_refused(name, value, expected):
    with pytest.raises(ValueError, match=rf"LatentConsistency\({name}={value}\): expected {expected}, such as"):
        LatentConsistency(**{name: value})
