"""R1 in closed form, and how fast the Dirac-GAN converges with it."""

import cmath
import math

import pytest
import torch
from helpers import OBJECTIVES, DiracDiscriminator, DiracGenerator, few, slow
from penalties import LinearDiscriminator, QuadraticDiscriminator, alternating, gan_with, one_step

from lightning_gans import GAN
from lightning_gans.objectives import LeastSquares, NonSaturating
from lightning_gans.stabilizers import R1Penalty


def penalty_of(gan, x):
    return gan.discriminator_step(x).terms["r1_penalty"].item()


@pytest.mark.parametrize("shape", [(1,), (5,), (2, 3), (1, 8, 8), (3, 4, 5)])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_linear_discriminator_pays_half_its_squared_slope(shape, n):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    expected = 3.0 / 2 * sum(value**2 for value in w.flatten().tolist())
    assert penalty_of(gan_with(LinearDiscriminator(w), R1Penalty(3.0)), torch.rand(n, *shape)) == pytest.approx(
        expected
    )


@pytest.mark.parametrize("shape", [(2,), (2, 4, 4)])
def test_it_is_the_mean_over_real_samples(shape):
    x = torch.randn(6, *shape)
    expected = 10 / 2 * sum(value**2 for value in x.flatten().tolist()) / 6
    assert penalty_of(gan_with(QuadraticDiscriminator(shape), R1Penalty()), x) == pytest.approx(expected, rel=1e-5)


def test_its_gradient_is_the_weight_times_the_slope():
    gan = gan_with(LinearDiscriminator(w := torch.tensor([3.0, -4.0])), R1Penalty(0.7))
    x, fake = torch.rand(2, 5, 2)
    loss = gan.discriminator_step(x, fake).loss
    plain = gan_with(gan.discriminator).discriminator_step(x, fake).loss
    slopes = [torch.autograd.grad(part, gan.discriminator.head[0].weight)[0][0] for part in (loss, plain)]
    torch.testing.assert_close(slopes[0] - slopes[1], 0.7 * w, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.5, 0.9, 1.5, 4.0])
def test_the_dirac_gan_has_the_eigenvalues_of_the_paper(weight):
    """−γ/2 ± √(γ²/4 − f′(0)²) are those of the flow, hence 1 + lr · λ those of simultaneous steps."""
    gan = GAN(DiracGenerator(), DiracDiscriminator(), NonSaturating()).double()
    gan.stabilizers.append(R1Penalty(weight))
    theta, psi = gan.generator.theta, gan.discriminator.head[0].weight
    real, z = torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)

    def flow(at):
        theta.data.fill_(at[0])
        psi.data.fill_(at[1])
        (of_theta,) = torch.autograd.grad(gan.generator_step(real, gan(z)).loss, theta)
        (of_psi,) = torch.autograd.grad(gan.discriminator_step(real, gan(z).detach()).loss, psi)
        return -torch.tensor([of_theta.item(), of_psi.item()], dtype=torch.float64)

    jacobian = torch.stack([(flow(at) - flow((-at[0], -at[1]))) / 2e-5 for at in ((1e-5, 0.0), (0.0, 1e-5))], dim=1)
    root = cmath.sqrt(weight**2 / 4 - 0.5**2)
    expected = sorted([-weight / 2 - root, -weight / 2 + root], key=lambda value: (value.real, value.imag))
    found = sorted(torch.linalg.eigvals(jacobian).tolist(), key=lambda value: (round(value.real, 6), value.imag))
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("weight", [slow(0.3), slow(0.5), 0.8])
def test_the_dirac_gan_converges_at_the_rate_of_alternating_steps(dirac, weight):
    expected = alternating(weight)
    torch.testing.assert_close(
        one_step(dirac(R1Penalty(weight), objective=NonSaturating(), steps=600)), expected, atol=1e-4, rtol=0
    )
    assert torch.linalg.eigvals(expected).abs().tolist() == pytest.approx([math.sqrt(1 - 0.1 * weight)] * 2)


def test_beyond_critical_damping_the_slower_of_two_rates_is_left(dirac):
    path = dirac(R1Penalty(1.5), objective=NonSaturating(), steps=400)
    expected = torch.linalg.eigvals(alternating(1.5)).real.max().item()
    assert (path[-1] / path[-2]).tolist() == pytest.approx([expected] * 2, abs=1e-4)
    assert expected == pytest.approx(1 + 0.1 * (-0.75 + math.sqrt(0.75**2 - 0.25)), abs=2e-3), (
        "that of the flow, nearly"
    )


@pytest.mark.slow
@pytest.mark.parametrize("objective", few(OBJECTIVES, "NonSaturating()", "RelativisticAverage(Hinge())"))
def test_the_dirac_gan_converges_under_every_objective(dirac, objective):
    if type(objective) is LeastSquares:
        pytest.skip("whose solution D = ½ a discriminator without a bias cannot say")
    assert dirac(R1Penalty(1.0), objective=objective)[-1].norm() < 0.01
    assert dirac(objective=objective)[-100:].norm(dim=1).max() > 0.3, "without it by no means"
