"""R2 in closed form, and beside R1."""

import pytest
import torch
from penalties import LinearDiscriminator, QuadraticDiscriminator, alternating, gan_with, one_step

from lightning_gans.objectives import NonSaturating, Relativistic
from lightning_gans.stabilizers import R1Penalty, R2Penalty


@pytest.mark.parametrize("shape", [(1,), (5,), (2, 3), (1, 8, 8), (3, 4, 5)])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_linear_discriminator_pays_half_its_squared_slope(shape, n):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    gan = gan_with(LinearDiscriminator(w), R2Penalty(3.0))
    expected = 3.0 / 2 * sum(value**2 for value in w.flatten().tolist())
    step = gan.discriminator_step(torch.rand(n, *shape), torch.rand(n, *shape))
    assert step.terms["r2_penalty"].item() == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(2,), (2, 4, 4)])
def test_it_is_the_mean_over_fakes_and_r1_that_over_real_samples(shape):
    gan = gan_with(QuadraticDiscriminator(shape), R1Penalty(1.0), R2Penalty(10.0))
    real, fake = torch.randn(2, 6, *shape)
    step = gan.discriminator_step(real, fake)
    for name, weight, x in (("r1_penalty", 1.0, real), ("r2_penalty", 10.0, fake)):
        expected = weight / 2 * sum(value**2 for value in x.flatten().tolist()) / 6
        assert step.terms[name].item() == pytest.approx(expected, rel=1e-5)
    loss = NonSaturating().discriminator_loss(step.real_logits, step.fake_logits)
    torch.testing.assert_close(step.loss, loss + step.terms["r1_penalty"] + step.terms["r2_penalty"])


def test_the_dirac_gan_converges_as_fast_as_with_r1(dirac):
    path = dirac(R2Penalty(0.5), objective=NonSaturating(), steps=400)
    torch.testing.assert_close(one_step(path), alternating(0.5), atol=1e-4, rtol=0)


def test_the_two_and_a_relativistic_objective_converge(dirac):
    assert dirac(R1Penalty(0.5), R2Penalty(0.5), objective=Relativistic())[-1].norm() < 1e-3
    assert dirac(objective=Relativistic())[-100:].norm(dim=1).min() > 0.4
