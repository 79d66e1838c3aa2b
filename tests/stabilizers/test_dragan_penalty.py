"""DRAGAN: where it looks, in which units, and what it asks there."""

import math

import pytest
import torch
from penalties import LinearDiscriminator, QuadraticDiscriminator, alternating, gan_with, one_step

from lightning_gans.objectives import NonSaturating
from lightning_gans.stabilizers import DRAGANPenalty


def penalty_of(gan, x):
    return gan.discriminator_step(x).terms["dragan_penalty"].item()


@pytest.mark.parametrize("shape", [(1,), (5,), (2, 3), (3, 4, 5)])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_linear_discriminator_pays_its_distance_from_the_target(shape, n):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    gan = gan_with(LinearDiscriminator(w), DRAGANPenalty(3.0, target=0.5))
    expected = 3.0 * (math.sqrt(sum(value**2 for value in w.flatten().tolist())) - 0.5) ** 2
    assert penalty_of(gan, torch.rand(n, *shape)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shape", [(2,), (2, 4, 4)])
def test_the_norm_is_per_sample_around_the_real_ones(shape):
    gan = gan_with(seen := QuadraticDiscriminator(shape), DRAGANPenalty(10.0, target=2.0))
    penalty = penalty_of(gan, torch.randn(6, *shape))
    slopes = [math.sqrt(sum(value**2 for value in x.flatten().tolist())) for x in seen.shown[2]]
    assert penalty == pytest.approx(10 * sum((slope - 2) ** 2 for slope in slopes) / 6, rel=1e-5)


@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_noise_is_uniform_in_standard_deviations_of_the_whole_batch(sigma):
    gan = gan_with(seen := QuadraticDiscriminator((300,)), DRAGANPenalty(sigma=sigma))
    x = 3 * torch.randn(400, 300) + torch.arange(300) / 100
    gan.discriminator_step(x)
    noise = (seen.shown[2] - x) / (sigma * math.sqrt(((x - x.mean()) ** 2).mean().item()))
    alphas = noise.max(1).values  # nearly, as the largest of 300 uniform numbers is nearly 1
    assert noise.min() >= -1e-5 and noise.max() <= 1 + 1e-5
    assert alphas.mean().item() == pytest.approx(0.5, abs=0.05) and alphas.std().item() == pytest.approx(0.29, abs=0.03)
    entries = noise / alphas[:, None]
    assert entries.mean().item() == pytest.approx(0.5, abs=0.01) and entries.std().item() == pytest.approx(
        0.29, abs=0.01
    )


def test_without_noise_it_penalises_real_samples_and_draws_nothing():
    gan, x = gan_with(seen := QuadraticDiscriminator((2,)), DRAGANPenalty(sigma=0.0)), torch.randn(5, 2)
    fake, state = torch.randn(5, 2), torch.get_rng_state()
    gan.discriminator_step(x, fake)
    assert torch.equal(seen.shown[2], x) and torch.equal(torch.get_rng_state(), state)


def test_fakes_do_not_matter():
    losses = []
    for fake in torch.randn(2, 5, 2):
        torch.manual_seed(0)
        gan = gan_with(QuadraticDiscriminator((2,)), DRAGANPenalty())
        losses.append(gan.discriminator_step(torch.ones(5, 2).cumsum(0), fake).terms["dragan_penalty"])
    assert torch.equal(*losses)


@pytest.mark.parametrize("x", [torch.zeros(1, 1), torch.ones(4, 1)], ids=["one", "equal"])
def test_a_batch_without_spread_is_fine(x):
    gan = gan_with(seen := QuadraticDiscriminator((1,)), DRAGANPenalty())
    (loss := gan.discriminator_step(x).loss).backward()
    assert torch.equal(seen.shown[2], x)
    assert loss.isfinite() and gan.discriminator.scale.grad.isfinite()


@pytest.mark.parametrize("name", ["sigma", "target"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_numbers_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"DRAGANPenalty\({name}={value}\): expected a number of at least 0"):
        DRAGANPenalty(**{name: value})


@pytest.mark.slow
def test_the_dirac_gan_comes_to_rest_with_a_target_of_0_only(dirac):
    path = dirac(DRAGANPenalty(0.25, target=0.0), objective=NonSaturating(), steps=400)
    torch.testing.assert_close(one_step(path), alternating(0.5), atol=1e-4, rtol=0)
    path = dirac(DRAGANPenalty(0.5), objective=NonSaturating(), steps=1000)
    assert path[-1].tolist() == pytest.approx([2.0, 0.0], abs=0.02), (
        "where it pushes D up as much as the fakes push down"
    )
