"""Instance noise: on what, how much, and what it is for."""

import math

import pytest
import torch
from helpers import Recorder

from lightning_gans import UnrolledGAN
from lightning_gans.objectives import Minimax
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers import InstanceNoise


def test_real_and_fake_get_gaussian_noise_of_their_own(make_gan):
    noise = InstanceNoise(0.3).on_discriminator_input(make_gan(), torch.zeros(2000, 2))
    assert noise.mean().item() == pytest.approx(0, abs=0.02) and noise.std().item() == pytest.approx(0.3, abs=0.01)
    assert (noise.abs() < 0.3).float().mean().item() == pytest.approx(0.683, abs=0.02)
    assert len(noise.unique()) > 3900


def test_the_steps_of_both_players_use_noisy_samples(make_gan, batches):
    gan, x, fake = make_gan(), batches(1)[0], torch.zeros(8, 2)
    gan.stabilizers.append(InstanceNoise(0.1))
    step = gan.discriminator_step(x, fake)
    assert 0 < (step.real - x).abs().mean() < 0.2 and 0 < step.fake.abs().mean() < 0.2
    assert not torch.equal(step.real - x, step.fake)
    assert 0 < gan.generator_step(x, fake).fake.abs().mean() < 0.2


def test_the_generators_gradient_passes_unchanged(make_gan):
    fake = torch.zeros(3, 2, requires_grad=True)
    InstanceNoise(0.5).on_discriminator_input(make_gan(), fake).sum().backward()
    assert torch.equal(fake.grad, torch.ones(3, 2))


def test_sigma_follows_its_schedule_down_to_nothing(make_gan):
    gan, stabilizer, spread = make_gan(), InstanceNoise(Linear(1.0, 0.0, 10)), []
    for gan.generator_updates in (0, 5, 9):
        spread.append(stabilizer.on_discriminator_input(gan, torch.zeros(4000)).std().item())
    assert spread == [pytest.approx(sigma, rel=0.05) for sigma in (1.0, 0.5, 0.1)]
    gan.generator_updates, state, x = 10, torch.get_rng_state(), torch.ones(4)
    assert stabilizer.on_discriminator_input(gan, x) is x and torch.equal(torch.get_rng_state(), state)


def test_by_default_it_is_annealed():
    assert InstanceNoise().sigma == Linear(0.1, 0.0, 10_000)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_precision_of_the_samples_is_kept(make_gan, dtype):
    assert InstanceNoise(0.1).on_discriminator_input(make_gan(), torch.zeros(4, 2, dtype=dtype)).dtype == dtype


def test_a_lookahead_has_noise_too(make_gan, batches):
    gan = make_gan(kind=UnrolledGAN, unroll_steps=2)
    gan.stabilizers += [InstanceNoise(0.1), recorder := Recorder()]
    gan.generator_step(batches(1)[0])
    shown = [call[1] for call in recorder.calls if call[0] == "input"]
    fakes = [shown[1], shown[3], shown[4]]
    assert not torch.equal(fakes[0], fakes[1]) and not torch.equal(fakes[1], fakes[2])


@pytest.mark.slow
def test_with_it_the_dirac_gan_comes_to_rest(dirac):
    distance = [dirac(InstanceNoise(s), objective=Minimax(), steps=600)[-200:].norm(dim=1) for s in (0.7, 0.0)]
    assert distance[0].mean() < 0.5, "as noisy samples say where the data are"
    assert distance[1].min() > 0.9, "without it the players cycle"


@pytest.mark.parametrize("sigma", [-0.1, math.nan, math.inf, Linear(0.1, -0.1)])
def test_a_sigma_out_of_range_is_refused(sigma):
    with pytest.raises(ValueError, match=r"InstanceNoise\(sigma=.*\): expected a number of at least 0"):
        InstanceNoise(sigma)
