"""The monitor: what it says and when, what it leaves behind, and what follows from a failure."""

import csv
import json
import math

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from torch.utils.data import DataLoader

from lightning_gans import GAN
from lightning_gans.callbacks import FailureMonitor
from lightning_gans.callbacks.health import failure_monitor
from lightning_gans.callbacks.health.diagnosis import HEALTHY, MODE_COLLAPSE, NOT_A_NUMBER, SOFT_COLLAPSE, Thresholds
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.optimizers import SGD, Adam
from lightning_gans.stabilizers import GeneratorEMA, Packing
from lightning_gans.training.non_finite import NonFiniteError

GOOD, BAD, WORSE, NAN = HEALTHY, MODE_COLLAPSE, SOFT_COLLAPSE, NOT_A_NUMBER


@pytest.fixture
def script(monkeypatch):
    """Let the rules say what a test wants, a state per reading; the last one stays."""

    def script(*states):
        left = list(states)
        said = lambda readings, thresholds: (left.pop(0) if len(left) > 1 else left[0], "it was written")  # noqa: E731
        monkeypatch.setattr(failure_monitor, "diagnose", said)

    return script


def watch(**settings):
    return FailureMonitor(**{"every_n_steps": 1, "num_samples": 8, "patience": 2, **settings})


def said(monitor):
    return [(event.batch, event.state) for event in monitor.events]


# ---------------------------------------------------------------- what it says, and when


def test_a_failure_is_said_when_it_lasts(make_gan, fit, script, capsys):
    script(GOOD, BAD, GOOD, BAD, BAD, BAD, BAD)
    monitor = watch()
    fit(make_gan(), 7, callbacks=[monitor])
    assert said(monitor) == [(5, MODE_COLLAPSE.name)]
    lines = [line for line in capsys.readouterr().out.splitlines() if "FailureMonitor" in line]
    assert len(lines) == 1
    assert "batch 5: mode collapse (hard). It was written. Try: " in lines[0]
    assert "--config configs/stabilizers/packing.yaml" in lines[0]


def test_a_failure_ends_when_health_lasts_twice_as_long(make_gan, fit, script):
    script(BAD, BAD, GOOD, GOOD, GOOD, BAD, GOOD, GOOD, GOOD, GOOD)
    monitor = watch()
    fit(make_gan(), 10, callbacks=[monitor])
    assert said(monitor) == [(2, MODE_COLLAPSE.name), (10, HEALTHY.name)]
    assert monitor.state == HEALTHY


def test_one_failure_can_become_another(make_gan, fit, script):
    script(BAD, BAD, WORSE, WORSE, WORSE)
    monitor = watch()
    fit(make_gan(), 5, callbacks=[monitor])
    assert said(monitor) == [(2, MODE_COLLAPSE.name), (4, SOFT_COLLAPSE.name)]


def test_a_game_that_wavers_between_failures_has_the_name_of_most(make_gan, fit, monkeypatch):
    states = [GOOD, WORSE, BAD, WORSE, WORSE, BAD, BAD, BAD]
    left = [(state, f"as {state.name}") for state in states]
    monkeypatch.setattr(failure_monitor, "diagnose", lambda *_: left.pop(0) if len(left) > 1 else left[0])
    monitor = watch(patience=3)
    fit(make_gan(), 8, callbacks=[monitor])
    assert said(monitor) == [(4, SOFT_COLLAPSE.name), (8, MODE_COLLAPSE.name)]
    assert monitor.events[0].evidence == f"as {SOFT_COLLAPSE.name}", "in the words of the state that is said"


@pytest.mark.parametrize(("patience", "batch"), [(1, 1), (3, 3)])
def test_patience(make_gan, fit, script, patience, batch):
    script(BAD)
    monitor = watch(patience=patience)
    fit(make_gan(), 4, callbacks=[monitor])
    assert said(monitor) == [(batch, MODE_COLLAPSE.name)]


def test_remedies_leave_out_what_is_there(make_image_gan, fit, script):
    script(BAD)
    bare, packed = watch(), watch()
    fit(make_image_gan(), 3, callbacks=[bare])
    fit(make_image_gan(), 3, callbacks=[Packing(2), packed])
    assert any("packing.yaml" in line for line in bare.events[0].remedies)
    assert not any("packing.yaml" in line for line in packed.events[0].remedies)


@pytest.mark.parametrize(("every", "batches"), [(1, [1, 2, 3, 4, 5, 6]), (3, [3, 6]), (0, [])])
def test_readings_are_taken_every_n_steps(make_gan, fit, every, batches):
    monitor = watch(every_n_steps=every)
    fit(make_gan(), 6, callbacks=[monitor])
    assert [reading.batch for reading in monitor.readings] == batches


def test_thresholds_and_the_seed_are_used(make_gan, fit, monkeypatch):
    seen = []
    monkeypatch.setattr(failure_monitor, "diagnose", lambda readings, lines: seen.append(lines) or (GOOD, "fine"))
    lines = Thresholds(shift=0.123)
    fit(make_gan(), 4, callbacks=[watch(thresholds=lines)])
    assert set(seen) == {lines}
    one, two = watch(seed=0), watch(seed=1)
    for monitor in (one, two):
        fit(make_gan(), 4, callbacks=[monitor])
    assert one.readings[-1].diversity != two.readings[-1].diversity


def test_points_take_four_times_as_many(make_gan, make_image_gan, fit):
    points, images = watch(), watch()
    fit(make_gan(), 1, callbacks=[points])
    fit(make_image_gan(), 1, callbacks=[images])
    assert (len(points._source.latents), len(images._source.latents)) == (32, 8)
    more = watch(num_samples=16)
    fit(make_image_gan(), 1, callbacks=[more])
    assert len(more._source.latents) == 16


def test_old_readings_are_thinned(make_gan, fit, monkeypatch):
    monkeypatch.setattr(failure_monitor, "_KEPT", 8)
    monitor = watch()
    fit(make_gan(), 10, callbacks=[monitor])
    assert [reading.batch for reading in monitor.readings] == [1, 3, 5, 6, 7, 8, 9, 10] or len(monitor.readings) <= 8


@pytest.mark.parametrize(
    ("argument", "value"),
    [("every_n_steps", -1), ("patience", 0), ("num_samples", 7), ("rollbacks", -1), ("patience", math.nan)],
)
def test_numbers_out_of_range_are_refused(argument, value):
    with pytest.raises(ValueError, match=rf"FailureMonitor\({argument}={value}\): expected at least"):
        FailureMonitor(**{argument: value})


# ---------------------------------------------------------------- real failures


def exploded(**settings):
    torch.manual_seed(0)
    wild = lambda params: SGD(params, lr=1e6, momentum=0)  # noqa: E731
    networks = MLPGenerator((2,), 3, width=8), MLPDiscriminator((2,), width=8)
    return GAN(*networks, generator_optimizer=wild, discriminator_optimizer=wild, **settings)


def test_numbers_that_are_none_end_the_run_at_once(fit):
    monitor = watch(patience=4)
    with pytest.raises(NonFiniteError, match=r"^batch 1: .*\. The run ends here; there is no checkpoint yet\."):
        fit(exploded(), 50, callbacks=[monitor])
    assert said(monitor) == [(1, NOT_A_NUMBER.name)] and monitor.state == NOT_A_NUMBER


def test_a_collapsed_generator_is_named(fit):
    torch.manual_seed(0)
    generator = MLPGenerator((2,), 3, width=8)
    with torch.no_grad():
        for parameter in list(generator.parameters())[-2:]:
            parameter.mul_(0.01)  # its samples are one point
    slow = lambda params: Adam(params, lr=1e-6)  # noqa: E731
    gan = GAN(generator, MLPDiscriminator((2,), width=8), generator_optimizer=slow, discriminator_optimizer=slow)
    monitor = watch(every_n_steps=2)
    fit(gan, [torch.randn(16, 2) for _ in range(30)], callbacks=[monitor])
    assert said(monitor) == [(22, MODE_COLLAPSE.name)]
    assert monitor.events[0].evidence.startswith("fakes vary 0.0")


def test_a_game_that_learns_is_healthy(fit):
    torch.manual_seed(0)
    faster = lambda params: Adam(params, lr=2e-3)  # noqa: E731
    networks = MLPGenerator((2,), 3, width=32), MLPDiscriminator((2,), width=32)
    gan = GAN(*networks, generator_optimizer=faster, discriminator_optimizer=faster)
    monitor = watch(every_n_steps=5, patience=4)
    fit(gan, [torch.randn(64, 2) for _ in range(150)], callbacks=[monitor])
    assert said(monitor) == [] and len(monitor.readings) == 30


# ---------------------------------------------------------------- what follows from it


def test_it_stops_only_where_it_may(make_gan, fit, script):
    for stop, batches in ((False, 6), (True, 2)):
        script(BAD)
        monitor = watch(stop=stop)
        trainer = fit(make_gan(), 6, callbacks=[monitor])
        assert trainer.fit_loop.epoch_loop.total_batch_idx + 1 == batches


def rates(trainer):
    return [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers]


@pytest.mark.parametrize("ema", [False, True], ids=["plain", "with an average"])
def test_it_rolls_back_to_the_last_healthy_checkpoint(make_gan, fit, script, tmp_path, weights, ema):
    script(GOOD, GOOD, GOOD, GOOD, GOOD, GOOD, BAD, BAD, GOOD)
    kept = {}

    class Notes(FailureMonitor):
        def _save(self, trainer):
            super()._save(trainer)
            kept["saved"] = weights(gan)

        def _roll_back(self, trainer, gan):
            kept["lost"] = weights(gan)
            super()._roll_back(trainer, gan)
            kept["restored"] = weights(gan)

    gan = make_gan(discriminator_optimizer=lambda params: Adam(params, lr=0.01))
    monitor = Notes(every_n_steps=1, num_samples=8, patience=2, rollbacks=1)
    callbacks = [*([GeneratorEMA(4.0)] if ema else []), monitor]
    trainer = fit(gan, 9, callbacks=callbacks)
    assert (tmp_path / "checkpoints" / "healthy.ckpt").is_file()
    assert torch.equal(kept["saved"], kept["restored"]) and not torch.equal(kept["saved"], kept["lost"])
    assert rates(trainer)[1] == pytest.approx(0.005)
    assert [state for _, state in said(monitor)] == [MODE_COLLAPSE.name, HEALTHY.name]
    assert "back to the game of batch 5, with 0.5 of the learning rates" in monitor.events[1].evidence
    assert gan.discriminator_updates == 6, "the counters too: 5 and the batch after"
    assert monitor.state == HEALTHY


def test_rollbacks_are_counted_and_then_it_goes_on(make_gan, fit, script):
    script(*[GOOD] * 5, *[BAD] * 20)
    monitor = watch(rollbacks=2, patience=1)
    trainer = fit(make_gan(generator_optimizer=lambda params: Adam(params, lr=0.01)), 12, callbacks=[monitor])
    assert [state for _, state in said(monitor)] == [BAD.name, GOOD.name, BAD.name, GOOD.name, BAD.name]
    assert rates(trainer)[0] == pytest.approx(0.0025)


def test_schedules_go_on_from_the_halved_rate(make_gan, fit, script):
    script(*[GOOD] * 5, BAD, GOOD)
    schedule = lambda optimizer: torch.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=3)  # noqa: E731
    gan = make_gan(generator_optimizer=lambda params: Adam(params, lr=0.04), generator_scheduler=schedule)
    trainer = fit(gan, 9, callbacks=[watch(rollbacks=1, patience=1)])
    assert rates(trainer)[0] == pytest.approx(0.02)


def test_without_a_healthy_checkpoint_there_is_nothing_to_go_back_to(make_gan, fit, script, tmp_path):
    script(BAD)
    monitor = watch(rollbacks=1, stop=True)
    fit(make_gan(), 5, callbacks=[monitor])
    assert said(monitor) == [(2, BAD.name)] and not (tmp_path / "checkpoints").exists()


# ---------------------------------------------------------------- what stays of it


@pytest.fixture
def logged(quiet, tmp_path):
    """Fit with loggers; the folder of the run and the trainer."""

    def logged(gan, monitor, batches=6, ckpt_path=None, loggers=(), data=None, **settings):
        csv_logger = CSVLogger(tmp_path, name="run", version=0)
        torch.manual_seed(0)
        trainer = Trainer(**{**quiet, "logger": [csv_logger, *loggers], "callbacks": [monitor], **settings})
        loader = DataLoader([torch.randn(8, *gan.generator.sample_shape) for _ in range(batches)], batch_size=None)
        trainer.fit(gan, loader if data is None else data, ckpt_path=ckpt_path)
        return tmp_path / "run" / "version_0", trainer

    return logged


def test_the_run_gets_a_page(make_gan, logged, script):
    script(GOOD, BAD, BAD, BAD)
    folder, _ = logged(make_gan(), watch())
    page = (folder / "health.md").read_text()
    assert page.startswith("# Health of this run\n\n**mode collapse (hard)** after 6 batches.")
    assert "| 3 | mode collapse (hard) | it was written |" in page
    assert (
        "packing.yaml" in page
        and "![curves](health.svg)" in page
        and "| energy | " in page
        and "0 the same, 1 apart |" in page
    )
    assert (folder / "health.svg").read_text().lstrip().startswith("<")
    content = json.loads((folder / "health.json").read_text())
    assert content["verdict"] == MODE_COLLAPSE.name
    assert content["events"][0]["batch"] == 3 and content["readings"]["batch"] == [1, 2, 3, 4, 5, 6]
    assert content["readings"]["shift"][0] is None, "what is no number is none in JSON"


def test_a_healthy_run_says_so(make_gan, logged, script):
    script(GOOD)
    folder, _ = logged(make_gan(), watch())
    assert "**healthy** after 6 batches.\n\nNo failure was seen." in (folder / "health.md").read_text()


def test_a_run_that_breaks_off_has_its_page(make_gan, logged, script, tmp_path):
    script(BAD)

    class Breaks(FailureMonitor):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
            if batch_idx == 4:
                raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        logged(make_gan(), Breaks(every_n_steps=1, num_samples=8, patience=1))
    assert "after 5 batches" in (tmp_path / "run" / "version_0" / "health.md").read_text()


def test_figures_are_logged_at_the_step_of_the_losses(make_gan, logged, script):
    script(GOOD)
    folder, _ = logged(make_gan(), watch(every_n_steps=2), 20, log_every_n_steps=2)
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    steps = {name: [row["step"] for row in rows if row[name]] for name in ("health/separation", "loss/generator")}
    assert steps["health/separation"] == steps["loss/generator"] == [str(batch) for batch in range(1, 20, 2)]
    assert [row["step"] for row in rows if row["health/energy"]] == ["15", "17", "19"], "once there are enough reals"


def test_nothing_is_written_without_a_logger(make_gan, fit, tmp_path):
    fit(make_gan(), 3, callbacks=[watch()])
    assert not list(tmp_path.rglob("health*"))


def test_a_resumed_run_goes_on_judging(make_gan, logged, script, tmp_path):
    script(BAD, BAD, BAD)
    first = watch(stop=True)
    _, trainer = logged(make_gan(), first)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    torch.load(tmp_path / "last.ckpt", weights_only=True)
    second = watch()
    logged(make_gan(), second, ckpt_path=tmp_path / "last.ckpt", max_epochs=2)
    assert second.events[0] == first.events[0] and second.state == MODE_COLLAPSE
    assert [reading.batch for reading in second.readings][:2] == [1, 2] and len(second.readings) > 2


class Alerts(WandbLogger):
    """As much of W&B's logger as an alert needs."""

    def __init__(self):
        self.alerts = []

    @property
    def experiment(self):
        return self

    def alert(self, title, text):
        self.alerts.append((title, text))

    def log_metrics(self, *args, **kwargs):
        pass

    log_hyperparams = log_graph = save = finalize = after_save_checkpoint = log_metrics
    name, version, save_dir = "run", "0", None


def test_wandb_is_alerted_once(make_gan, logged, script):
    script(BAD, BAD, BAD, BAD)
    logger = Alerts()
    logged(make_gan(), watch(), loggers=[logger])
    assert len(logger.alerts) == 1
    assert logger.alerts[0][0] == MODE_COLLAPSE.name and "Try: " in logger.alerts[0][1]


def test_it_can_be_said_elsewhere(make_gan, fit, script):
    script(BAD)
    heard = []

    class Elsewhere(FailureMonitor):
        def announce(self, trainer, text):
            heard.append(text)

    fit(make_gan(), 3, callbacks=[Elsewhere(every_n_steps=1, patience=1, num_samples=8)])
    assert len(heard) == 1 and "mode collapse" in heard[0]
