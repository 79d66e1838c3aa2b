"""Label smoothing: the affine rule, ranges, and what it means for every objective."""

import math

import pytest
import torch

from lightning_gans.objectives import (
    Hinge,
    LeastSquares,
    NonSaturating,
    Relativistic,
    RelativisticAverage,
    Wasserstein,
    ZeroSum,
)
from lightning_gans.stabilizers import LabelFlipping, LabelSmoothing


def smoothed(size=2, **arguments):
    return LabelSmoothing(**arguments).on_targets(None, torch.ones(size), torch.zeros(size))


def test_by_default_only_real_targets_change():
    real, fake = smoothed()
    assert real.tolist() == pytest.approx([0.9, 0.9]) and fake.tolist() == [0, 0]


@pytest.mark.parametrize(("high", "low"), [(0.9, 0.0), (0.8, 0.1), (1.0, 0.2)])
def test_the_rule_is_affine(high, low):
    targets = torch.tensor([0.0, 0.25, 1.0])
    for moved in LabelSmoothing(high, low).on_targets(None, targets, targets):
        assert moved.tolist() == pytest.approx([low + t * (high - low) for t in (0, 0.25, 1)])


def test_targets_that_were_flipped_before_are_smoothed_as_what_they_became(make_gan):
    flipped = LabelFlipping(1.0).on_targets(make_gan(), torch.ones(3), torch.zeros(3))
    real, fake = LabelSmoothing(0.9, 0.1).on_targets(None, *flipped)
    assert real.tolist() == pytest.approx([0.1] * 3) and fake.tolist() == pytest.approx([0.9] * 3)


def test_a_range_is_drawn_from_uniformly_for_every_sample():
    real, fake = smoothed(4000, real=[0.7, 1.2])
    assert real.min() >= 0.7 and real.max() <= 1.2
    assert real.mean().item() == pytest.approx(0.95, abs=0.01)
    assert real.std().item() == pytest.approx(0.5 / math.sqrt(12), abs=0.01)
    assert len(real.unique()) > 3900 and torch.equal(fake, torch.zeros(4000))


def test_a_range_with_two_sided_smoothing_ends_at_its_ends():
    real, fake = smoothed(1000, real=[0.8, 0.9], fake=0.1)
    assert real.min() >= 0.8 - 1e-6 and real.max() <= 0.9 + 1e-6 and fake.unique().tolist() == pytest.approx([0.1])


def test_neutral_targets_are_handed_back_as_they_are():
    real, fake = torch.ones(3), torch.zeros(3)
    kept = LabelSmoothing(1.0).on_targets(None, real, fake)
    assert kept[0] is real and kept[1] is fake


def test_the_cross_entropy_is_that_of_soft_labels(make_gan, batches):
    gan = make_gan()
    gan.stabilizers.append(LabelSmoothing(0.9, 0.1))
    step = gan.discriminator_step(batches(1)[0])
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    expected = bce(step.real_logits, torch.full((8,), 0.9)) + bce(step.fake_logits, torch.full((8,), 0.1))
    torch.testing.assert_close(step.loss, expected)


@pytest.mark.parametrize(
    ("objective", "best"), [(NonSaturating(), math.log(9)), (LeastSquares(), 0.9), (Hinge(), 1.0)], ids=repr
)
def test_the_best_logit_of_real_samples_is_finite(objective, best):
    targets, _ = smoothed(1)
    logits = torch.linspace(-5, 5, 10001)
    costs = objective.cost(logits, targets.expand(10001))
    assert logits[costs.argmin()].item() == pytest.approx(best, abs=1e-3)


def test_towards_less_than_1_on_average_the_cost_has_a_minimum_even_if_some_targets_are_above():
    targets, _ = smoothed(1000, real=[0.7, 1.2])
    costs = [NonSaturating().cost(torch.full((1000,), logit), targets).mean() for logit in (1.0, 3.0, 30.0)]
    assert costs[1] < costs[0] < costs[2]


LINEAR = [
    Wasserstein(),
    Relativistic(Wasserstein()),
    RelativisticAverage(Wasserstein()),
    ZeroSum(Wasserstein()),
    ZeroSum(Relativistic(Wasserstein())),
]


@pytest.mark.parametrize("objective", LINEAR, ids=repr)
def test_an_objective_that_is_linear_in_the_logit_is_refused(make_gan, objective):
    with pytest.raises(ValueError, match=r"LabelSmoothing.*Wasserstein.*linear in the logit.*leave LabelSmoothing out"):
        LabelSmoothing().apply_to(make_gan(objective=objective))


def test_a_constant_would_drift_under_such_an_objective():
    logits = torch.zeros(4, requires_grad=True)
    objective, (real, fake) = Wasserstein(), smoothed(4)
    objective.discriminator_loss(logits, logits, real, fake).backward()
    assert logits.grad.sum().item() == pytest.approx(0.2), "which is 0 for every critic without smoothing"


@pytest.mark.parametrize("real", [0.0, 1.1, -0.9, math.nan, [0.7], [1.2, 0.7], [0.9, 1.2], [0.0, 1.0], [0.7, math.nan]])
def test_real_targets_out_of_range_are_refused(real):
    with pytest.raises(ValueError, match=r"LabelSmoothing\(real=.*\): expected a number in \(0, 1\].*or a range"):
        LabelSmoothing(real=real)


@pytest.mark.parametrize("fake", [-0.1, 0.9, 1.0, math.nan])
def test_fake_targets_out_of_range_are_refused(fake):
    with pytest.raises(ValueError, match=rf"LabelSmoothing\(fake={fake}\): expected a number of at least 0 and below"):
        LabelSmoothing(fake=fake)
