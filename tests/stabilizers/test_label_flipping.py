"""Label flipping: how often, which, and what it does to an objective."""

import math

import pytest
import torch

from lightning_gans.objectives import NonSaturating, Wasserstein
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers import LabelFlipping


@pytest.fixture
def gan(make_gan):
    return make_gan()


def flipped(gan, probability, size=10_000, real=1.0, fake=0.0):
    return LabelFlipping(probability).on_targets(gan, torch.full((size,), real), torch.full((size,), fake))


@pytest.mark.parametrize("probability", [0.05, 0.3])
def test_each_target_is_flipped_with_the_probability(gan, probability):
    real, fake = flipped(gan, probability)
    spread = 4 * math.sqrt(probability * (1 - probability) / 10_000)
    assert (real == 0).float().mean().item() == pytest.approx(probability, abs=spread)
    assert (fake == 1).float().mean().item() == pytest.approx(probability, abs=spread)
    assert set(real.tolist()) == set(fake.tolist()) == {0.0, 1.0}
    assert not torch.equal(real, 1 - fake), "each on its own"


def test_flips_are_independent_of_their_neighbours(gan):
    turned = flipped(gan, 0.5)[0]
    assert (turned[1:] * turned[:-1]).mean().item() == pytest.approx(0.25, abs=0.02)


def test_soft_targets_become_their_opposites(gan):
    real, fake = flipped(gan, 1.0, 3, real=0.9, fake=0.2)
    assert real.tolist() == pytest.approx([0.1] * 3) and fake.tolist() == pytest.approx([0.8] * 3)


def test_without_a_probability_targets_are_handed_back_and_nothing_is_drawn(gan):
    real, fake, state = torch.ones(3), torch.zeros(3), torch.get_rng_state()
    kept = LabelFlipping(0.0).on_targets(gan, real, fake)
    assert kept[0] is real and kept[1] is fake and torch.equal(torch.get_rng_state(), state)


def test_the_probability_may_follow_a_schedule(gan):
    schedule, shares = Linear(1.0, 0.0, 10), []
    for gan.generator_updates in (0, 5, 10):
        shares.append(flipped(gan, schedule)[1].mean().item())
    assert shares == [1, pytest.approx(0.5, abs=0.02), 0]


def test_the_logits_of_the_best_discriminator_are_bounded(gan):
    targets, _ = flipped(gan, 0.05)
    logits = torch.linspace(0, 8, 801)
    costs = torch.stack([NonSaturating().cost(logit.expand(10_000), targets).mean() for logit in logits])
    assert logits[costs.argmin()].item() == pytest.approx(math.log(0.95 / 0.05), abs=0.2)


def test_a_critics_expected_loss_is_scaled(gan):
    real, fake = torch.randn(2, 100_000) + torch.tensor([[1.0], [-1.0]])
    targets = flipped(gan, 0.2, 100_000)
    plain = Wasserstein().discriminator_loss(real, fake)
    assert Wasserstein().discriminator_loss(real, fake, *targets) == pytest.approx(0.6 * plain.item(), abs=0.03)


@pytest.mark.parametrize("probability", [-0.1, 1.1, math.nan, Linear(1.5, 0.0), Linear(0.1, -0.1)])
def test_a_probability_out_of_range_is_refused(probability):
    with pytest.raises(ValueError, match=r"LabelFlipping\(probability=.*\): expected a number in \[0, 1\]"):
        LabelFlipping(probability)
