"""The targets of pseudo-adversarial training, against formulas in plain Python."""

import math

import pytest
import torch

from lightning_gans.targets import Classes, Labels, MarginalEntropy, OwnGuess, PerRoute

EVERY = [
    Labels(background=1.0),
    Classes([1], background=-2.0),
    PerRoute(0.5),
    OwnGuess(background=0.0),
    Classes([1]),
    Classes([0, 2]),
    Classes(),
    Labels(),
    PerRoute(),
    OwnGuess(),
    MarginalEntropy(),
]
every_target = pytest.mark.parametrize("target", EVERY, ids=repr)
CHOICE = torch.tensor([0, 1, 2, 3, 1, 0])


def logits(scale=1.0):
    return scale * torch.randn(6, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def cross_entropy(logits, classes):
    return -sum(math.log(row.exp()[one] / row.exp().sum()) for row, one in zip(logits, classes, strict=True)) / len(
        logits
    )


def test_cross_entropies_equal_their_formulas():
    x = logits()
    assert Classes([1]).loss(x, None).item() == pytest.approx(cross_entropy(x, [1] * 6))
    assert Labels().loss(x, CHOICE).item() == pytest.approx(cross_entropy(x, CHOICE))
    assert PerRoute().loss(x, CHOICE + 4).item() == pytest.approx(cross_entropy(x, CHOICE)), "modulo the classes"
    assert OwnGuess().loss(x, None).item() == pytest.approx(cross_entropy(x, x.argmax(1)))


def test_a_background_is_one_more_class_of_a_fixed_logit():
    x = logits()
    for background in (-3.0, 0.0, 6.0):
        beside = torch.cat([x, torch.full((6, 1), background, dtype=x.dtype)], 1)
        expected = {
            Classes([1], background): [1] * 6,
            Labels(background): CHOICE,
            PerRoute(background): CHOICE,
            OwnGuess(background): x.argmax(1),
        }
        for target, classes in expected.items():
            assert target.loss(x, CHOICE).item() == pytest.approx(cross_entropy(beside, classes)), target


def test_with_a_background_low_logits_are_not_certain():
    low = torch.tensor([[3.0, -7.0, -7.0, -7.0]])  # as of a blank image: class 0, by its distance to the others
    assert Classes([0]).loss(low, None) < 0.001
    assert Classes([0], background=6.0).loss(low, None) > 3
    assert Classes([0], background=6.0).loss(low + 9, None) < 0.1


@pytest.mark.parametrize("background", [math.nan, math.inf, "six"])
def test_a_background_is_a_finite_number(background):
    with pytest.raises(ValueError, match=r"Labels\(background=.*\): expected a finite number, such as 1.0\."):
        Labels(background=background)


def test_classes_are_drawn_from_the_list_alone_and_all_of_it():
    sure = torch.eye(4, dtype=torch.float64).repeat(100, 1) * 50  # a sample of class c costs 0 towards c, else 50
    for classes in ([0, 2], [3], None):
        asked = set(range(4)) if classes is None else set(classes)
        costs = torch.zeros(4)
        for one in range(4):
            mine = sure[one::4]
            costs[one] = Classes(classes).loss(mine, None)
        for one in range(4):
            expected = 50 * (1 - 1 / len(asked)) if one in asked else 50
            assert costs[one].item() == pytest.approx(expected, abs=12), (classes, one)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_marginal_entropy_equals_its_formula(temperature):
    x = logits()
    p = (x / temperature).softmax(1)
    mean = p.mean(0)
    each = -(p * p.log()).sum(1).mean().item()
    marginal = -(mean * mean.log()).sum().item()
    for weight in (0.0, 1.0, 2.5):
        expected = each + weight * (math.log(4) - marginal)
        assert MarginalEntropy(weight, temperature).loss(x, None).item() == pytest.approx(expected)
    inception = math.exp((p * (p / mean).log()).sum(1).mean())
    expected = math.log(4) - math.log(inception)
    assert MarginalEntropy(1.0, temperature).loss(x, None).item() == pytest.approx(expected)


def test_with_a_temperature_the_gradient_leads_away_from_a_saturated_class():
    slopes = []
    for temperature in (1.0, 4.0):
        x = (torch.eye(4, dtype=torch.float64)[[0] * 6] * 30 + 0.1 * logits()).requires_grad_()
        slopes.append(torch.autograd.grad(MarginalEntropy(2.0, temperature).loss(x, None), x)[0].norm())
    assert slopes[0] < 1e-9 and slopes[1] > 1e-4


@every_target
def test_losses_are_not_negative_and_large_logits_stay_finite(target):
    for scale in (0.0, 1.0, 1e4):
        x = logits(scale).requires_grad_()
        loss = target.loss(x, CHOICE)
        (slope,) = torch.autograd.grad(loss, x)
        assert loss >= -1e-9 and loss.isfinite() and slope.isfinite().all()


def test_the_marginal_entropy_is_0_for_all_classes_with_full_confidence():
    assert MarginalEntropy().loss(torch.eye(4) * 100, None).item() == pytest.approx(0, abs=1e-6)
    one = MarginalEntropy(weight=1.5).loss(torch.eye(4)[[0, 0, 0]] * 100, None)
    assert one.item() == pytest.approx(1.5 * math.log(4), abs=1e-6)


@every_target
def test_a_step_down_the_gradient_lowers_the_loss(target):
    x = logits().requires_grad_()
    torch.manual_seed(0)
    loss = target.loss(x, CHOICE)
    (slope,) = torch.autograd.grad(loss, x)
    torch.manual_seed(0)
    assert target.loss(x.detach() - 0.1 * slope, CHOICE) < loss


def test_a_class_that_does_not_exist_is_named():
    Classes([0, 9]).check(10, 0)
    for wrong in (10, -1):
        with pytest.raises(ValueError, match=rf"no class {wrong}; give classes from 0 to 9"):
            Classes([0, wrong]).check(10, 0)
    with pytest.raises(ValueError, match=r"classes=\[\]\): expected at least one class"):
        Classes([])
    with pytest.raises(ValueError, match=r"MarginalEntropy\(weight=-1\): expected a number of at least 0"):
        MarginalEntropy(-1)
    with pytest.raises(
        ValueError, match=r"MarginalEntropy\(temperature=0\): expected a finite number above 0, such as 4.0"
    ):
        MarginalEntropy(temperature=0)
