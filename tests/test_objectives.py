"""The losses of the players, against formulas in numpy."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lightning_gans.objectives import (
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Objective,
    Relativistic,
    RelativisticAverage,
    Wasserstein,
    ZeroSum,
)

PLAIN = [NonSaturating(), Minimax(), Wasserstein(), LeastSquares(), Hinge()]
SYMMETRIC = [NonSaturating(), Wasserstein(), Hinge()]  # fake(l) = real(−l)
every_plain = pytest.mark.parametrize("plain", PLAIN, ids=repr)


def log_sigmoid(x):
    return np.log(1 / (1 + np.exp(-x)))


def margin(x):
    return np.maximum(0, 1 - x)


# by objective, what D pays and what G pays, given the logits of real and of fake samples
FORMULAS = {
    NonSaturating(): (
        lambda r, f: -log_sigmoid(r).mean() - np.log(1 - 1 / (1 + np.exp(-f))).mean(),
        lambda r, f: -log_sigmoid(f).mean(),
    ),
    Minimax(): (
        lambda r, f: -log_sigmoid(r).mean() - log_sigmoid(-f).mean(),
        lambda r, f: np.log(1 - 1 / (1 + np.exp(-f))).mean(),
    ),
    ZeroSum(): (
        lambda r, f: -log_sigmoid(r).mean() - log_sigmoid(-f).mean(),
        lambda r, f: log_sigmoid(r).mean() + log_sigmoid(-f).mean(),
    ),
    ZeroSum(Hinge()): (
        lambda r, f: margin(r).mean() + margin(-f).mean(),
        lambda r, f: -margin(r).mean() - margin(-f).mean(),
    ),
    Wasserstein(): (lambda r, f: f.mean() - r.mean(), lambda r, f: -f.mean()),
    LeastSquares(): (
        lambda r, f: ((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2,
        lambda r, f: ((f - 1) ** 2).mean() / 2,
    ),
    Hinge(): (lambda r, f: margin(r).mean() + margin(-f).mean(), lambda r, f: -f.mean()),
    Relativistic(): (
        lambda r, f: np.log(1 + np.exp(-(r - f))).mean(),
        lambda r, f: np.log(1 + np.exp(-(f - r))).mean(),
    ),
    Relativistic(LeastSquares()): (
        lambda r, f: ((r - f - 1) ** 2).mean() / 2,
        lambda r, f: ((f - r - 1) ** 2).mean() / 2,
    ),
    Relativistic(Hinge()): (lambda r, f: margin(r - f).mean(), lambda r, f: margin(f - r).mean()),
    Relativistic(Wasserstein()): (lambda r, f: (f - r).mean(), lambda r, f: (r - f).mean()),
    RelativisticAverage(): (
        lambda r, f: -log_sigmoid(r - f.mean()).mean() - log_sigmoid(r.mean() - f).mean(),
        lambda r, f: -log_sigmoid(f - r.mean()).mean() - log_sigmoid(f.mean() - r).mean(),
    ),
    RelativisticAverage(LeastSquares()): (
        # half of equations 13 and 14 of arXiv 1807.00734, as LeastSquares has the factor ½
        lambda r, f: (((r - f.mean() - 1) ** 2).mean() + ((f - r.mean() + 1) ** 2).mean()) / 2,
        lambda r, f: (((f - r.mean() - 1) ** 2).mean() + ((r - f.mean() + 1) ** 2).mean()) / 2,
    ),
    RelativisticAverage(Hinge()): (
        lambda r, f: margin(r - f.mean()).mean() + margin(r.mean() - f).mean(),
        lambda r, f: margin(f - r.mean()).mean() + margin(f.mean() - r).mean(),
    ),
    RelativisticAverage(Wasserstein()): (
        lambda r, f: 2 * (f.mean() - r.mean()),
        lambda r, f: 2 * (r.mean() - f.mean()),
    ),
}


def logits(n=7, seed=0, scale=2.0):
    source = torch.Generator().manual_seed(seed)
    return scale * torch.randn(2, n, generator=source, dtype=torch.float64)


def targets(n=7):
    return torch.rand(2, n, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


@pytest.mark.parametrize(("objective", "formulas"), FORMULAS.items(), ids=map(repr, FORMULAS))
def test_both_losses_equal_their_formulas(objective, formulas):
    real, fake = logits()
    expected = [formula(real.numpy(), fake.numpy()) for formula in formulas]
    assert objective.discriminator_loss(real, fake).item() == pytest.approx(expected[0], abs=1e-12)
    assert objective.generator_loss(fake, real).item() == pytest.approx(expected[1], abs=1e-12)


def test_every_objective_has_a_formula(objective):
    assert repr(objective) in map(repr, FORMULAS)


def test_no_targets_are_ones_and_zeros_exactly(objective):
    real, fake = logits().float()
    hard = objective.discriminator_loss(real, fake, torch.ones(7), torch.zeros(7))
    assert torch.equal(objective.discriminator_loss(real, fake), hard)
    assert torch.equal(objective.discriminator_loss(real, fake, real_targets=torch.ones(7)), hard)
    assert torch.equal(objective.discriminator_loss(real, fake, fake_targets=torch.zeros(7)), hard)


def test_soft_targets_of_either_kind_change_the_loss(objective):
    real, fake = logits()
    hard = objective.discriminator_loss(real, fake)
    assert objective.discriminator_loss(real, fake, real_targets=torch.full((7,), 0.9)) != hard
    assert objective.discriminator_loss(real, fake, fake_targets=torch.full((7,), 0.1)) != hard


def test_soft_targets_of_cross_entropy_are_soft_label_cross_entropy():
    (real, fake), (real_targets, fake_targets) = logits(), targets()
    expected = F.binary_cross_entropy_with_logits(real, real_targets)
    expected += F.binary_cross_entropy_with_logits(fake, fake_targets)
    loss = NonSaturating().discriminator_loss(real, fake, real_targets, fake_targets)
    torch.testing.assert_close(loss, expected, atol=1e-14, rtol=0)


def test_soft_targets_of_least_squares_pull_to_the_target():
    x, t = logits()[0].requires_grad_(), targets()[0]
    (gradient,) = torch.autograd.grad(LeastSquares().cost(x, t).sum(), x)
    torch.testing.assert_close(gradient, x.detach() - t, atol=1e-14, rtol=0)


@every_plain
def test_a_soft_target_is_the_expected_cost_under_label_noise(plain):
    x, t = logits()[0], targets()[0]
    torch.testing.assert_close(plain.cost(x, t), (1 - t) * plain.fake(x) + t * plain.real(x))


def test_the_players_gradients_have_opposite_signs(objective):
    real, fake = (0.2 + 0.1 * logits().sin()).requires_grad_()  # in [0.1, 0.3], inside every margin
    d_real, d_fake = torch.autograd.grad(objective.discriminator_loss(real, fake), [real, fake])
    (g_fake,) = torch.autograd.grad(objective.generator_loss(fake, real.detach()), fake)
    assert (d_real < 0).all(), "D raises the logits of real samples"
    assert (d_fake > 0).all(), "and lowers those of fakes"
    assert (g_fake < 0).all(), "which G raises"


def test_only_minimax_saturates_where_fakes_are_spotted():
    def pull(objective):
        x = torch.tensor([-20.0], requires_grad=True)
        return torch.autograd.grad(objective.generator_loss(x), x)[0].item()

    assert -1e-8 < pull(Minimax()) < 0
    assert pull(NonSaturating()) == pytest.approx(-1)


def test_relativistic_cross_entropy_is_the_loss_of_r3gan():
    real, fake = logits()
    torch.testing.assert_close(Relativistic().discriminator_loss(real, fake), F.softplus(-(real - fake)).mean())
    torch.testing.assert_close(Relativistic().generator_loss(fake, real), F.softplus(-(fake - real)).mean())


@pytest.mark.parametrize("base", SYMMETRIC, ids=repr)
def test_relativistic_soft_targets_depend_on_both_samples_of_a_pair(base):
    (real, fake), (real_targets, fake_targets) = logits(), targets()
    difference = real - fake
    expected = (base.cost(difference, real_targets) + base.cost(-difference, fake_targets)).mean() / 2
    loss = Relativistic(base).discriminator_loss(real, fake, real_targets, fake_targets)
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("kind", [Relativistic, RelativisticAverage])
def test_a_relativistic_least_squares_game_rests_where_one_kind_is_one_above_the_other(kind):
    one, zero = torch.ones(5, requires_grad=True), torch.zeros(5, requires_grad=True)
    for loss in (kind(LeastSquares()).discriminator_loss(one, zero), kind(LeastSquares()).generator_loss(one, zero)):
        assert loss == 0 and not any(gradient.any() for gradient in torch.autograd.grad(loss, [one, zero]))


def test_flipped_targets_of_relativistic_least_squares_aim_at_minus_one():
    zero, one = torch.zeros(5), torch.ones(5)
    loss = Relativistic(LeastSquares()).discriminator_loss(zero, one, real_targets=zero, fake_targets=one)
    assert loss == 0, "(d + 1)² / 2 at a difference of -1"


@pytest.mark.parametrize("kind", [Relativistic, RelativisticAverage])
def test_a_difference_costs_as_fake_what_its_opposite_costs_as_real(kind):
    """For any least squares, here LSGAN's with the targets a = -1 for fakes, b = 0.9 for real samples."""

    class Coded(Objective):
        def real(self, logits):
            return (logits - 0.9) ** 2

        def fake(self, logits):
            return (logits + 1) ** 2

    x = logits()[0]
    torch.testing.assert_close(kind(Coded()).fake(x), (x + 0.9) ** 2)


def test_relativistic_average_takes_targets_per_sample():
    (real, fake), (real_targets, fake_targets) = logits(), targets()
    loss = RelativisticAverage().discriminator_loss(real, fake, real_targets, fake_targets)
    expected = F.binary_cross_entropy_with_logits(real - fake.mean(), real_targets)
    expected += F.binary_cross_entropy_with_logits(fake - real.mean(), fake_targets)
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("kind", [Relativistic, RelativisticAverage])
@pytest.mark.parametrize("base", [Minimax(), Relativistic(), RelativisticAverage()], ids=repr)
def test_a_base_that_makes_no_sense_is_refused(kind, base):
    with pytest.raises(ValueError, match=rf"{kind.__name__}\(base=.*use NonSaturating"):
        kind(base)


def test_relativistic_pairs_need_batches_of_one_size():
    with pytest.raises(ValueError, match=r"4 real and 3 fake logits; use RelativisticAverage"):
        Relativistic().discriminator_loss(torch.zeros(4), torch.zeros(3))


@pytest.mark.parametrize("plain", [*PLAIN, RelativisticAverage()], ids=repr)
def test_batches_of_different_sizes_have_equal_weight(plain):
    real, fake = logits()
    loss = plain.discriminator_loss(real, fake[:3])
    doubled = plain.discriminator_loss(real, fake[:3].repeat(2))
    torch.testing.assert_close(loss, doubled)


@pytest.mark.parametrize("kind", [Relativistic, RelativisticAverage, ZeroSum])
def test_relativistic_generator_losses_need_real_logits(kind):
    with pytest.raises(ValueError, match=rf"{kind.__name__}.generator_loss needs real_logits"):
        kind().generator_loss(torch.zeros(3))


def test_objectives_say_whether_they_need_real_logits(objective):
    real, fake = logits()
    reads = not torch.equal(objective.generator_loss(fake, real), objective.generator_loss(fake, real + 1))
    assert objective.needs_real_logits == reads


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_large_logits_stay_finite(objective, size):
    real, fake = torch.full((4,), size, requires_grad=True), torch.full((4,), -size, requires_grad=True)
    for loss in (
        objective.discriminator_loss(real, fake, torch.full((4,), 0.9), torch.full((4,), 0.1)),
        objective.discriminator_loss(real, fake),
        objective.generator_loss(fake, real),
    ):
        gradients = torch.autograd.grad(loss, [real, fake], allow_unused=True)
        assert loss.isfinite() and all(g.isfinite().all() for g in gradients if g is not None)


def test_gradients_equal_finite_differences(objective):
    real, fake = logits().requires_grad_()
    soft = targets()
    assert torch.autograd.gradcheck(objective.discriminator_loss, (real, fake))
    assert torch.autograd.gradcheck(lambda r, f: objective.discriminator_loss(r, f, *soft), (real, fake))
    assert torch.autograd.gradcheck(objective.generator_loss, (fake, real))


def test_losses_are_scalars_in_the_precision_of_the_logits(objective):
    real, fake = logits()
    half = torch.full((7,), 0.5)  # single precision, as targets are
    assert objective.discriminator_loss(real, fake, half, half).dtype == torch.float64
    assert objective.discriminator_loss(real, fake).shape == objective.generator_loss(fake, real).shape == ()


def test_an_own_objective_is_two_functions():
    class Exponential(Objective):
        def real(self, logits):
            return torch.exp(-logits)

        def fake(self, logits):
            return torch.exp(logits)

    real, fake = logits()
    assert Exponential().discriminator_loss(real, fake) == torch.exp(-real).mean() + torch.exp(fake).mean()
    assert Exponential().generator_loss(fake) == torch.exp(-fake).mean()
    torch.testing.assert_close(
        Relativistic(Exponential()).discriminator_loss(real, fake), torch.exp(fake - real).mean()
    )


def test_names_tell_what_is_composed():
    assert repr(Hinge()) == "Hinge()"
    assert repr(RelativisticAverage(LeastSquares())) == "RelativisticAverage(LeastSquares())"
