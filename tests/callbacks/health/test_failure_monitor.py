"""FailureMonitor: what it reports and when, and how often it reads."""

import math

import pytest
import torch
from health_helpers import BAD, GOOD, WORSE, make_monitor, reported, script

from lightning_gans import GAN
from lightning_gans.callbacks import FailureMonitor
from lightning_gans.callbacks.health import failure_monitor
from lightning_gans.callbacks.health.states import HEALTHY, LATENTS_IGNORED, MODE_COLLAPSE, NON_FINITE, SOFT_COLLAPSE
from lightning_gans.callbacks.health.thresholds import Thresholds
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.optimizers import SGD, Adam
from lightning_gans.stabilizers import MinibatchStdDev
from lightning_gans.training import NonFiniteError

# ---------------------------------------------------------------- what is reported, and when


def test_a_failure_is_reported_when_it_lasts(make_gan, fit, monkeypatch, capsys):
    script(monkeypatch, GOOD, BAD, GOOD, BAD, BAD, BAD, BAD)
    monitor = make_monitor()
    fit(make_gan(), 7, callbacks=[monitor])
    assert reported(monitor) == [(5, MODE_COLLAPSE.name)]
    lines = [line for line in capsys.readouterr().out.splitlines() if "FailureMonitor" in line]
    assert len(lines) == 1
    assert lines[0].startswith("FailureMonitor, batch 5: mode collapse (hard). Scripted as mode collapse (hard). Try: ")
    assert "see configs/mixed_ring.yaml and configs/unrolled_ring.yaml" in lines[0]


def test_a_failure_ends_when_health_lasts_twice_as_long(make_gan, fit, monkeypatch):
    script(monkeypatch, BAD, BAD, GOOD, GOOD, GOOD, BAD, GOOD, GOOD, GOOD, GOOD)
    monitor = make_monitor()
    fit(make_gan(), 10, callbacks=[monitor])
    assert reported(monitor) == [(2, MODE_COLLAPSE.name), (10, HEALTHY.name)]
    assert monitor.state == HEALTHY


def test_one_failure_can_become_another(make_gan, fit, monkeypatch):
    script(monkeypatch, BAD, BAD, WORSE, WORSE, WORSE)
    monitor = make_monitor()
    fit(make_gan(), 5, callbacks=[monitor])
    assert reported(monitor) == [(2, MODE_COLLAPSE.name), (4, SOFT_COLLAPSE.name)]


def test_of_several_failures_the_most_frequent_is_reported(make_gan, fit, monkeypatch):
    script(monkeypatch, GOOD, WORSE, BAD, WORSE, WORSE, BAD, BAD, BAD)
    monitor = make_monitor(patience=3)
    fit(make_gan(), 8, callbacks=[monitor])
    assert reported(monitor) == [(4, SOFT_COLLAPSE.name), (8, MODE_COLLAPSE.name)]
    assert monitor.events[0].evidence == f"scripted as {SOFT_COLLAPSE.name}", "the evidence of the reported state"


@pytest.mark.parametrize(("patience", "batch"), [(1, 1), (3, 3)])
def test_patience(make_gan, fit, monkeypatch, patience, batch):
    script(monkeypatch, BAD)
    monitor = make_monitor(patience=patience)
    fit(make_gan(), 4, callbacks=[monitor])
    assert reported(monitor) == [(batch, MODE_COLLAPSE.name)]


def test_remedies_leave_out_what_is_in_use(make_image_gan, fit, monkeypatch):
    script(monkeypatch, LATENTS_IGNORED)
    bare, used = make_monitor(), make_monitor()
    fit(make_image_gan(), 3, callbacks=[bare])
    fit(make_image_gan(), 3, callbacks=[MinibatchStdDev(), used])
    assert any("minibatch_stddev.yaml" in line for line in bare.events[0].remedies)
    assert not any("minibatch_stddev.yaml" in line for line in used.events[0].remedies)
    assert any("packing.yaml" in line for line in used.events[0].remedies)


def test_a_subclass_can_report_elsewhere(make_gan, fit, monkeypatch, capsys):
    script(monkeypatch, BAD)
    texts = []

    class Elsewhere(FailureMonitor):
        def announce(self, trainer, text):
            texts.append(text)

    fit(make_gan(), 3, callbacks=[make_monitor(Elsewhere, patience=1)])
    assert len(texts) == 1 and "mode collapse" in texts[0] and "mode collapse" not in capsys.readouterr().out


# ---------------------------------------------------------------- readings


@pytest.mark.parametrize(("every", "batches"), [(1, [1, 2, 3, 4, 5, 6]), (3, [3, 6]), (0, [])])
def test_readings_are_taken_every_n_steps(make_gan, fit, every, batches):
    monitor = make_monitor(every_n_steps=every)
    fit(make_gan(), 6, callbacks=[monitor])
    assert [reading.batch for reading in monitor.readings] == batches


def test_thresholds_and_the_seed_are_used(make_gan, fit, monkeypatch):
    seen, thresholds = [], Thresholds(shift=0.123)
    with monkeypatch.context() as patch:
        patch.setattr(failure_monitor, "diagnose", lambda readings, given: seen.append(given) or (GOOD, "fine"))
        fit(make_gan(), 4, callbacks=[make_monitor(thresholds=thresholds)])
    assert set(seen) == {thresholds}
    one, two = make_monitor(seed=0), make_monitor(seed=1)
    for monitor in (one, two):
        fit(make_gan(), 4, callbacks=[monitor])
    assert one.readings[-1].diversity != two.readings[-1].diversity


@pytest.mark.parametrize(("images", "num_samples", "drawn"), [(False, 8, 32), (True, 8, 8), (True, 16, 16)])
def test_points_take_four_times_as_many_samples(make_gan, make_image_gan, fit, images, num_samples, drawn):
    gan, sizes = make_image_gan() if images else make_gan(), set()
    gan.generator.register_forward_hook(lambda module, _, out: sizes.add(0 if module.training else len(out)))
    fit(gan, 1, callbacks=[make_monitor(num_samples=num_samples)])
    assert sizes == {0, drawn}


def test_old_readings_are_thinned(make_gan, fit):
    short = make_monitor()
    fit(make_gan(), 1, callbacks=[short])
    state = short.state_dict()
    state["readings"] = [{**state["readings"][0], "batch": number} for number in range(-1999, 1)]
    long = make_monitor()
    long.load_state_dict({**state, "since": 1500})
    fit(make_gan(), 1, callbacks=[long])
    kept = [reading.batch for reading in long.readings]
    assert kept == [*range(-1999, -999, 2), *range(-999, 1), 1], "every second one of the older half"
    assert long.state_dict()["since"] == 1000


@pytest.mark.parametrize(
    ("argument", "value", "least", "default"),
    [
        ("every_n_steps", -1, 0, 50),
        ("patience", 0, 1, 4),
        ("patience", math.nan, 1, 4),
        ("num_samples", 7, 8, 64),
        ("rollbacks", -1, 0, 0),
    ],
)
def test_numbers_out_of_range_are_refused(argument, value, least, default):
    message = rf"FailureMonitor\({argument}={value}\): expected a whole number of at least {least}, such as {default}\."
    with pytest.raises(ValueError, match=message):
        FailureMonitor(**{argument: value})


# ---------------------------------------------------------------- real trainings


def test_nan_ends_a_run_at_once(fit):
    torch.manual_seed(0)
    wild = lambda params: SGD(params, lr=1e6, momentum=0)  # noqa: E731
    networks = MLPGenerator((2,), 3, width=8), MLPDiscriminator((2,), width=8)
    monitor = make_monitor(patience=4)
    with pytest.raises(NonFiniteError, match=r"^batch 1: .*\. The run ends here; there is no checkpoint yet\."):
        fit(GAN(*networks, generator_optimizer=wild, discriminator_optimizer=wild), 50, callbacks=[monitor])
    assert reported(monitor) == [(1, NON_FINITE.name)] and monitor.state == NON_FINITE


def test_a_collapsed_generator_is_named(fit):
    torch.manual_seed(0)
    generator = MLPGenerator((2,), 3, width=8)
    with torch.no_grad():
        for parameter in list(generator.parameters())[-2:]:
            parameter.mul_(0.01)  # its samples are one point
    slow = lambda params: Adam(params, lr=1e-6)  # noqa: E731
    gan = GAN(generator, MLPDiscriminator((2,), width=8), generator_optimizer=slow, discriminator_optimizer=slow)
    monitor = make_monitor(every_n_steps=2)
    fit(gan, [torch.randn(16, 2) for _ in range(30)], callbacks=[monitor])
    assert reported(monitor) == [(22, MODE_COLLAPSE.name)]
    assert monitor.events[0].evidence.startswith("all fakes are the same: they vary 0.0")


def test_a_gan_that_learns_is_healthy(fit):
    torch.manual_seed(0)
    faster = lambda params: Adam(params, lr=2e-3)  # noqa: E731
    networks = MLPGenerator((2,), 3, width=32), MLPDiscriminator((2,), width=32)
    gan = GAN(*networks, generator_optimizer=faster, discriminator_optimizer=faster)
    monitor = make_monitor(every_n_steps=5, patience=4)
    fit(gan, [torch.randn(64, 2) for _ in range(150)], callbacks=[monitor])
    assert reported(monitor) == [] and len(monitor.readings) == 30
