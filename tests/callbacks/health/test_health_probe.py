"""Readings of a training, against closed forms and plain loops; training is unaffected."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from lightning_gans import GAN, SEPGAN, UnrolledGAN
from lightning_gans.callbacks import FailureMonitor
from lightning_gans.callbacks.health.health_probe import HealthProbe
from lightning_gans.callbacks.health.readings import CAPTIONS, SURVEYED, Reading
from lightning_gans.networks import (
    DCGANDiscriminator,
    DigitClassifier,
    MLPDiscriminator,
    MLPGenerator,
    StochasticEnsembleGenerator,
    StochasticEnsembleMLPGenerator,
)
from lightning_gans.objectives import Minimax, NonSaturating, Wasserstein
from lightning_gans.optimizers import SGD
from lightning_gans.stabilizers import GeneratorEMA, Packing, SpectralNorm
from lightning_gans.step import Step


class Fixed(MLPGenerator):
    """Samples in turn from a list, for any latents."""

    def __init__(self, samples, num_classes=0):
        super().__init__(samples.shape[1:], 3, width=4, depth=1, num_classes=num_classes)
        self.samples = samples

    def forward(self, z, labels=None):
        return self.samples[torch.arange(len(z)) % len(self.samples)]


class Linear(MLPDiscriminator):
    """D(x) = w · x."""

    def __init__(self, weight):
        super().__init__((len(weight),), width=4, depth=1)
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x, labels=None):
        return x @ self.weight


def reading_of(fake, real, weight=(1.0, 0.0), objective=None, probe=None, batch=1):
    """Return the reading of these fakes and real samples with D(x) = w · x, after one batch."""
    gan = GAN(Fixed(fake), Linear(list(weight)), objective or NonSaturating())
    probe = probe or HealthProbe(len(fake))
    for _ in range(4):
        probe.note_real(gan, real)
    step = gan.discriminator_step(real, fake[: len(real)]).detached()
    probe.note_steps({"discriminator": step, "generator": gan.generator_step(real).detached()})
    return probe.measure(gan, batch)


def mean_distance(first, second):
    return sum(math.dist(a, b) for a in first.tolist() for b in second.tolist()) / (len(first) * len(second))


def mean_of_pairs(x):
    number = len(x)
    return mean_distance(x, x) * number / (number - 1)


# ---------------------------------------------------------------- samples


def test_energy_and_diversity_against_loops():
    real, fake = torch.randn(8, 2), 0.3 * torch.randn(8, 2) + 1
    pool = torch.cat([real] * 4)
    reading = reading_of(fake, real)
    across, reals, fakes = mean_distance(pool, fake), mean_of_pairs(pool), mean_of_pairs(fake)
    assert reading.energy == pytest.approx((2 * across - reals - fakes) / (2 * across), rel=1e-4)
    assert reading.diversity == pytest.approx(fakes / reals, rel=1e-4)
    assert reading.sensitivity == reading.diversity


def test_energy_is_0_for_the_same_distribution_and_1_for_points_apart():
    assert abs(reading_of(torch.randn(512, 2), torch.randn(512, 2)).energy) < 0.02
    apart = HealthProbe(8)
    gan = GAN(Fixed(torch.zeros(8, 2)), Linear([1.0, 0.0]))
    real = torch.cat([torch.full((31, 2), 5.0), torch.full((1, 2), 5.001)])
    apart.note_real(gan, real)
    assert apart.measure(gan, 1).energy == pytest.approx(1, abs=1e-3)


def test_a_survey_begins_when_the_pool_is_complete():
    gan, probe = GAN(Fixed(torch.randn(64, 2)), Linear([1.0, 0.0])), HealthProbe(8)
    probe.note_real(gan, torch.randn(64, 2))
    assert math.isnan(probe.measure(gan, 1, survey=True).coverage), "there may be more"
    probe.pool.closed = True
    assert math.isnan(probe.measure(gan, 2).coverage)
    reading = probe.measure(gan, 3, survey=True)
    assert reading.coverage > 0.5 and reading.modes > 1


def test_constant_data_have_no_survey():
    gan, probe = GAN(Fixed(torch.randn(64, 2)), Linear([1.0, 0.0])), HealthProbe(8)
    probe.note_real(gan, torch.zeros(64, 2))
    probe.pool.closed = True
    assert math.isnan(probe.measure(gan, 3, survey=True).coverage)


def test_shift_is_that_of_the_distribution_and_movement_that_of_each_sample():
    first, real, probe = torch.randn(16, 2), torch.randn(16, 2), HealthProbe(16)
    begin = reading_of(first, real, probe=probe)
    assert math.isnan(begin.shift) and math.isnan(begin.movement)
    permuted = reading_of(first.flip(0), real, probe=probe, batch=2)
    assert permuted.shift < 0.01 and permuted.movement > 0.3, "each sample moves, the distribution does not"
    away = reading_of(first + 100, real, probe=probe, batch=3)
    assert away.shift > 0.9
    spread = mean_of_pairs(torch.cat([real] * 4))
    assert away.movement == pytest.approx(mean_step(first.flip(0), first + 100) / spread, rel=1e-3)


def mean_step(before, after):
    return (after - before).norm(dim=1).mean().item()


def test_constant_data_have_no_figures_and_are_finite():
    reading = reading_of(torch.randn(8, 2), torch.zeros(8, 2))
    assert math.isnan(reading.diversity) and math.isnan(reading.sensitivity) and reading.finite


def test_sensitivity_is_measured_within_classes():
    gan = GAN(
        Fixed(torch.arange(4.0).repeat_interleave(2).reshape(4, 2)[[0, 1, 0, 1, 0, 1, 0, 1]], num_classes=2),
        MLPDiscriminator((2,), width=4, num_classes=2),
    )
    probe = HealthProbe(8)
    probe.note_real(gan, [torch.randn(32, 2), torch.arange(32) % 2])
    reading = probe.measure(gan, 1)
    assert reading.sensitivity == 0 and reading.diversity > 0


def test_sensitivity_is_measured_along_one_route():
    generator = StochasticEnsembleMLPGenerator((2,), 3, width=8)
    gan, probe = GAN(generator, MLPDiscriminator((2,), width=4)), HealthProbe(16)
    probe.latents = torch.ones(16, 3)  # one z, many routes
    probe.note_real(gan, torch.randn(64, 2))
    reading = probe.measure(gan, 1)
    assert reading.sensitivity == pytest.approx(0, abs=1e-3) and reading.diversity > 0.05


# ---------------------------------------------------------------- the discriminator


def reading_of_logits(real, fake, objective=None):
    probe = HealthProbe(8)
    gan = GAN(Fixed(torch.randn(8, 2)), Linear([1.0, 0.0]), objective or NonSaturating())
    step = Step(torch.zeros(()), torch.zeros(len(fake), 2), torch.tensor(fake), None, torch.tensor(real))
    probe.note_steps({"discriminator": step})
    return probe.measure(gan, 1)


@pytest.mark.parametrize(
    ("real", "fake", "separation"),
    [([1.0, 2.0], [0.0, -1.0], 1.0), ([0.0], [0.0], 0.5), ([0.0], [1.0], 0.0), ([0.0, 2.0], [1.0, 1.0], 0.5)],
)
def test_separation_is_the_share_of_pairs_in_order(real, fake, separation):
    assert reading_of_logits(real, fake).separation == separation


def test_scores_and_margin():
    reading = reading_of_logits([2.0, 4.0], [-1.0, 1.0])
    assert reading.margin == pytest.approx(3.0)
    assert reading.real_score == pytest.approx((torch.tensor([2.0, 4.0]).sigmoid().mean()).item())
    assert reading.fake_score == pytest.approx(0.5)


def test_advantage_is_0_for_a_guess_and_1_for_certainty(objective):
    guess, certain, fooled = (
        reading_of_logits([real], [fake], objective).advantage for real, fake in ((0.5, 0.5), (1.0, 0.0), (0.0, 1.0))
    )
    if isinstance(objective, Wasserstein):
        assert math.isnan(guess) and math.isnan(certain)
    else:
        assert guess <= 1e-3 and fooled < guess < certain <= 1


def test_slopes_of_a_linear_discriminator():
    reading = reading_of(torch.randn(8, 2), torch.randn(8, 2), weight=(3.0, 4.0))
    assert reading.real_slope == pytest.approx(5) and reading.fake_slope == pytest.approx(5)


@pytest.mark.parametrize(("objective", "sign"), [(NonSaturating(), -1), (Minimax(), 1)])
def test_pull_is_the_derivative_of_the_loss(objective, sign):
    fake = torch.randn(8, 2)
    reading = reading_of(fake, torch.randn(8, 2), weight=(2.0, 0.0), objective=objective)
    assert reading.pull == pytest.approx((sign * 2 * fake[:, 0]).sigmoid().mean().item(), rel=1e-4)


def test_gradients_are_those_before_clipping(make_gan, fit, norms):
    optimizer, seen = norms
    kinds = {"generator_optimizer": optimizer, "discriminator_optimizer": optimizer}
    monitor = FailureMonitor(every_n_steps=1, num_samples=8)
    fit(make_gan(**kinds), 1, callbacks=[monitor])
    assert monitor.readings[0].discriminator_gradient == pytest.approx(seen[0], rel=1e-5)
    assert monitor.readings[0].generator_gradient == pytest.approx(seen[1], rel=1e-5)
    clipped = FailureMonitor(every_n_steps=1, num_samples=8)
    fit(make_gan(**kinds, generator_clip=1e-3), 1, callbacks=[clipped])
    assert clipped.readings[0].generator_gradient == monitor.readings[0].generator_gradient


def test_losses_are_means_since_the_last_reading(make_gan, fit):
    seen = []

    class Notes(FailureMonitor):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            seen.append(outputs["generator"].loss.item())
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    monitor = Notes(every_n_steps=4, num_samples=8)
    fit(make_gan(), 8, callbacks=[monitor])
    second, losses = monitor.readings[1], torch.tensor(seen[4:])
    assert [reading.batch for reading in monitor.readings] == [4, 8]
    assert second.generator_loss == pytest.approx(losses.mean().item(), rel=1e-5)
    assert second.generator_loss_std == pytest.approx(losses.std(correction=0).item(), abs=1e-6)
    change = losses[2:].mean() - losses[:2].mean()
    assert second.generator_loss_change == pytest.approx(change.item(), abs=1e-6)


def test_nan_in_losses_or_samples_makes_a_reading_not_finite():
    fake = torch.randn(8, 2)
    assert reading_of(fake, torch.randn(8, 2)).finite == 1
    fake[3] = math.nan
    assert reading_of(fake, torch.randn(8, 2)).finite == 0
    probe = HealthProbe(8)
    gan = GAN(Fixed(torch.randn(8, 2)), Linear([1.0, 0.0]))
    probe.note_steps({"generator": Step(torch.tensor(math.inf), torch.zeros(2, 2), torch.zeros(2))})
    assert probe.measure(gan, 1).finite == 0


def test_memorised_is_how_far_d_takes_validation_samples_for_fakes():
    gan, probe = GAN(Fixed(torch.zeros(64, 2)), Linear([1.0, 0.0])), HealthProbe(8)
    train, held = torch.full((64, 2), 4.0), torch.full((64, 2), 1.0)  # fakes are at 0, and D(x) is the first coordinate
    probe.note_real(gan, train)
    probe.note_steps({"discriminator": gan.discriminator_step(train).detached()})
    assert math.isnan(probe.measure(gan, 1, survey=True).memorised), "no validation samples"
    probe.note_held(gan, held)
    assert probe.measure(gan, 2, survey=True).memorised == pytest.approx(0.75)
    assert math.isnan(probe.measure(gan, 3).memorised), "in surveys only"


def test_validation_samples_are_kept_in_training_but_not_of_the_sanity_check(fit):
    monitor = FailureMonitor(every_n_steps=1, num_samples=8)
    batches = [torch.randn(64, 2) for _ in range(4)]
    fit(points(0), batches, val=batches[:2], max_epochs=2, num_sanity_val_steps=2, callbacks=[monitor])
    assert len(monitor._probe.held) == 64
    known = [not math.isnan(reading.memorised) for reading in monitor.readings]
    assert not any(known[:4]) and any(known[4:]), "from the first validation on, where D is ahead"


# ---------------------------------------------------------------- every kind of GAN


def points(seed, **settings):
    torch.manual_seed(seed)
    return GAN(MLPGenerator((2,), 3, width=8), MLPDiscriminator((2,), width=8, dropout=0.3), **settings)


def unrolled(seed):
    torch.manual_seed(seed)
    return UnrolledGAN(MLPGenerator((2,), 3, width=8), MLPDiscriminator((2,), width=8), 2)


def routed(seed):
    torch.manual_seed(seed)
    return GAN(StochasticEnsembleMLPGenerator((2,), 3, width=8), MLPDiscriminator((2,), width=8))


KINDS = {
    "dropout in D": points,
    "Wasserstein": partial(points, objective=Wasserstein(), n_critic=2),
    "accumulation": partial(points, generator_accumulation=2),
    "unrolled": unrolled,
    "routes": routed,
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_training_is_unaffected(make, fit, weights):
    plain, monitored, monitor = make(0), make(0), FailureMonitor(every_n_steps=1, num_samples=8)
    fit(plain, 6)
    fit(monitored, 6, callbacks=[monitor])
    assert torch.equal(weights(plain), weights(monitored))
    assert len(monitor.readings) == 6 and monitor.readings[-1].finite


@pytest.mark.parametrize("stabilizer", [GeneratorEMA(0.9), SpectralNorm(), Packing(2), Packing(8)], ids=repr)
def test_training_with_norms_and_stabilizers_is_unaffected(make_image_gan, fit, weights, stabilizer):
    gans = [make_image_gan(size=16) for _ in range(2)]
    monitor = FailureMonitor(every_n_steps=1, num_samples=8)
    for gan, callbacks in zip(gans, ([stabilizer], [stabilizer, monitor]), strict=True):
        fit(gan, 3, callbacks=list(callbacks))
    assert torch.equal(weights(gans[0]), weights(gans[1]))
    assert monitor.readings[-1].finite and math.isfinite(monitor.readings[-1].real_slope)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_readings_in_lower_precision_are_complete(make_image_gan, fit, precision):
    monitor = FailureMonitor(every_n_steps=1, num_samples=8)
    fit(make_image_gan(size=16), 5, callbacks=[monitor], precision=precision)
    last = monitor.readings[-1]
    found = {name: value for name, value in last.figures().items() if name not in {"generator_loss_change", *SURVEYED}}
    assert all(map(math.isfinite, found.values()))


def test_conditional_gans_have_a_sensitivity(make_image_gan, fit):
    monitor = FailureMonitor(every_n_steps=2, num_samples=8)
    fit(make_image_gan(num_classes=3), 8, callbacks=[monitor])
    assert math.isfinite(monitor.readings[-1].sensitivity)


def test_figures_of_a_fixed_discriminator_are_nan(fit):
    monitor = FailureMonitor(every_n_steps=1, num_samples=8)
    gan = SEPGAN(StochasticEnsembleGenerator((1, 28, 28), width=4, groups=2), DigitClassifier())
    fit(gan, 5, callbacks=[monitor])
    last = monitor.readings[-1]
    assert math.isnan(last.separation) and math.isnan(last.discriminator_loss) and math.isfinite(last.diversity)


def test_nothing_keeps_a_graph(make_gan):
    gan, probe = make_gan(), HealthProbe(8)
    optimizers = [SGD(player.parameters(), lr=0.01) for player in (gan.generator, gan.discriminator)]
    probe.note_steps(gan.train_batch(torch.randn(8, 2), *optimizers))
    probe.note_real(gan, torch.randn(32, 2))
    probe.measure(gan, 1)
    kept = [one for value in probe.state_dict().values() for one in tensors(value)]
    assert kept and not any(one.requires_grad for one in kept)


def tensors(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from tensors(one)


def test_losses_and_gradients_are_collected_anew_after_a_reading(make_gan):
    gan, probe = make_gan(), HealthProbe(8)
    optimizers = [SGD(player.parameters(), lr=0.01) for player in (gan.generator, gan.discriminator)]
    probe.note_steps(gan.train_batch(torch.randn(8, 2), *optimizers))
    assert math.isfinite(probe.measure(gan, 1).generator_loss)
    assert math.isnan(probe.measure(gan, 2).generator_loss)


def test_the_statistics_of_norms_in_d_do_not_change():
    gan = GAN(Fixed(torch.rand(8, 1, 16, 16) * 2 - 1), DCGANDiscriminator((1, 16, 16), width=2, norm=nn.BatchNorm2d))
    real, probe = torch.rand(8, 1, 16, 16) * 2 - 1, HealthProbe(8)
    probe.note_steps({"discriminator": gan.discriminator_step(real).detached()})
    before = [buffer.clone() for buffer in gan.discriminator.buffers()]
    probe.measure(gan, 1)
    assert all(torch.equal(a, b) for a, b in zip(before, gan.discriminator.buffers(), strict=True))
    assert gan.discriminator.training


def test_a_reading_without_figures_is_nan():
    figures = Reading(3).figures()
    assert "batch" not in figures and figures.pop("finite") == 1 and all(map(math.isnan, figures.values()))


def test_every_figure_has_a_caption():
    assert list(CAPTIONS) == list(Reading(3).figures()) and all(caption.endswith(".") for caption in CAPTIONS.values())
