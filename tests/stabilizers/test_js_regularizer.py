"""The regulariser of the Jensen-Shannon GAN against its formula, and what it refuses."""

import math

import pytest
import torch
from penalties import LinearDiscriminator, QuadraticDiscriminator, alternating, gan_with, one_step

from lightning_gans.objectives import (
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Relativistic,
    RelativisticAverage,
    Wasserstein,
    ZeroSum,
)
from lightning_gans.schedules import Exponential
from lightning_gans.stabilizers import JSRegularizer


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_linear_discriminator_pays_where_it_is_not_sure(n):
    gan = gan_with(LinearDiscriminator(torch.tensor([3.0, -4.0]), b=0.3), JSRegularizer(0.8))
    real, fake = torch.randn(2, n, 2)
    expected = 0.0
    for x, y in real.tolist():
        expected += 0.4 * (1 - sigmoid(3 * x - 4 * y + 0.3)) ** 2 * 25 / n
    for x, y in fake.tolist():
        expected += 0.4 * sigmoid(3 * x - 4 * y + 0.3) ** 2 * 25 / n
    found = gan.discriminator_step(real, fake).terms["js_regularizer"].item()
    assert found == pytest.approx(expected, rel=1e-5)


def test_each_slope_has_the_factor_of_its_own_sample():
    real, fake = torch.randn(2, 6, 3)
    gan = gan_with(QuadraticDiscriminator((3,)), JSRegularizer(2.0))
    squares = [[sum(value**2 for value in row) for row in x.tolist()] for x in (real, fake)]
    expected = sum((1 - sigmoid(square / 2)) ** 2 * square for square in squares[0]) / 6
    expected += sum(sigmoid(square / 2) ** 2 * square for square in squares[1]) / 6
    found = gan.discriminator_step(real, fake).terms["js_regularizer"].item()
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_discriminator_that_is_sure_and_right_pays_nothing():
    gan = gan_with(LinearDiscriminator(torch.tensor([100.0])), JSRegularizer(2.0))
    step = gan.discriminator_step(torch.ones(3, 1), -torch.ones(3, 1))
    assert step.terms["js_regularizer"] == 0 and step.loss.isfinite()


def test_its_default_is_the_papers_schedule():
    assert JSRegularizer().weight == Exponential(2.0, 0.02, 10_000)
    gan = gan_with(LinearDiscriminator(torch.tensor([0.0])), JSRegularizer())
    gan.discriminator.head[0].weight.data.fill_(1.0)
    for updates, weight in ((0, 2.0), (5_000, 0.2), (20_000, 0.02)):
        gan.generator_updates = updates
        zeros = torch.zeros(2, 1)
        found = gan.discriminator_step(zeros, zeros).terms["js_regularizer"].item()
        assert found == pytest.approx(weight / 2 * (0.25 + 0.25))


@pytest.mark.parametrize("objective", [NonSaturating(), Minimax(), ZeroSum(), ZeroSum(Minimax())], ids=repr)
def test_cross_entropy_is_accepted(make_gan, objective):
    JSRegularizer().apply_to(make_gan(objective=objective))


@pytest.mark.parametrize(
    "objective",
    [Wasserstein(), Hinge(), LeastSquares(), Relativistic(), RelativisticAverage(), ZeroSum(Hinge())],
    ids=repr,
)
def test_other_costs_are_refused(make_gan, fit, objective):
    gan = make_gan(objective=objective)
    with pytest.raises(
        ValueError, match=r"JSRegularizer with .*: expected an objective whose discriminator's cost .*cross-entr"
    ) as raised:
        fit(gan, callbacks=[JSRegularizer()])
    assert repr(objective) in str(raised.value) and "use NonSaturating" in str(raised.value)


@pytest.mark.slow
def test_the_dirac_gan_converges_at_half_the_rate_of_r1(dirac):
    """At (0, 0) both factors are ¼, hence it is weight/4 · ψ²."""
    path = dirac(JSRegularizer(1.0), objective=NonSaturating(), steps=400)
    torch.testing.assert_close(one_step(path), alternating(0.5), atol=1e-4, rtol=0)
