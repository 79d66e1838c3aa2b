"""FailureMonitor: the page, the log, alerts, and the state in checkpoints."""

import csv
import json
from pathlib import Path

import pytest
import torch
from health_helpers import BAD, GOOD, make_monitor, script
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from torch.utils.data import DataLoader

from lightning_gans.callbacks import FailureMonitor
from lightning_gans.callbacks.health.page import Event, HealthPage
from lightning_gans.callbacks.health.readings import CAPTIONS, Reading
from lightning_gans.callbacks.health.states import HEALTHY, MODE_COLLAPSE


@pytest.fixture
def logged(quiet, tmp_path):
    """Fit with loggers, and return the run's folder and the Trainer."""

    def logged(gan, monitor, batches=6, ckpt_path=None, loggers=(), version=0, **settings):
        csv_logger = CSVLogger(tmp_path, name="run", version=version)
        torch.manual_seed(0)
        trainer = Trainer(**{**quiet, "logger": [csv_logger, *loggers], "callbacks": [monitor], **settings})
        loader = DataLoader([torch.randn(8, *gan.generator.sample_shape) for _ in range(batches)], batch_size=None)
        trainer.fit(gan, loader, ckpt_path=ckpt_path)
        return tmp_path / "run" / f"version_{version}", trainer

    return logged


# ---------------------------------------------------------------- the page


def test_the_page_has_the_verdict_the_events_remedies_and_every_figure(make_gan, logged, monkeypatch):
    script(monkeypatch, GOOD, BAD, BAD, BAD)
    monitor = make_monitor()
    folder, _ = logged(make_gan(), monitor)
    page = (folder / "health.md").read_text()
    assert page.startswith("# Health of this run\n\n**mode collapse (hard)** after 6 batches.")
    assert "| 3 | mode collapse (hard) | scripted as mode collapse (hard) |" in page
    assert "see configs/mixed_ring.yaml and configs/unrolled_ring.yaml" in page and "![curves](health.svg)" in page
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    shown = {row[0].removeprefix("| "): row[-1].removesuffix(" |") for row in rows if len(row) == 3}
    known = {name for reading in monitor.readings[-2:] for name, value in reading.figures().items() if value == value}
    assert {name: shown[name] for name in shown.keys() & CAPTIONS.keys()} == {name: CAPTIONS[name] for name in known}
    assert {"separation", "pull"} < known < set(CAPTIONS), "a figure that does not exist is left out"
    assert (folder / "health.svg").read_text().lstrip().startswith("<")
    content = json.loads((folder / "health.json").read_text())
    assert content["verdict"] == MODE_COLLAPSE.name
    assert content["events"][0]["batch"] == 3 and content["readings"]["batch"] == [1, 2, 3, 4, 5, 6]
    assert content["readings"]["shift"][0] is None, "JSON has no NaN"


def test_a_healthy_run_has_a_page_too(make_gan, logged, monkeypatch):
    script(monkeypatch, GOOD)
    folder, _ = logged(make_gan(), make_monitor())
    page, content = (folder / "health.md").read_text(), json.loads((folder / "health.json").read_text())
    assert "**healthy** after 6 batches.\n\nNo failure was seen." in page
    assert content["notes"] == ["It is too early to tell: the rules need 10 readings, and there are 6."]
    assert content["notes"][0] in page, "why what looks bad is no failure"


def test_the_page_is_whole_before_the_last_checkpoint_after_which_nothing_is_resumed(make_gan, logged, monkeypatch):
    script(monkeypatch, GOOD)
    seen = []

    class Kept(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            path = Path(trainer.log_dir, "health.json")
            seen.append(len(json.loads(path.read_text())["readings"]["batch"]) if path.is_file() else 0)

    for number, limits in enumerate(({"max_epochs": 2}, {"max_epochs": -1, "max_steps": 8})):
        seen.clear()
        monitor = make_monitor()
        logged(make_gan(), monitor, batches=4, version=number, callbacks=[monitor, Kept()], **limits)
        assert seen == [0, 8], "of the last epoch alone, since it takes a while to draw"


def reading(batch):
    return Reading(batch, generator_loss=1.0)


def test_the_page_is_drawn_again_where_there_is_a_new_reading_or_event_alone(tmp_path):
    page, readings, event = HealthPage(tmp_path), [reading(1), reading(2)], Event(2, "healthy", "why", [])

    def is_drawn(*shown):
        (tmp_path / "health.json").write_text("")
        page.write(HEALTHY, *shown)
        return bool((tmp_path / "health.json").read_text())

    assert not is_drawn([], [])
    assert is_drawn([], readings) and not is_drawn([], readings)
    assert is_drawn([event], readings) and not is_drawn([event], readings)
    assert is_drawn([event], [readings[0], reading(3)]), "as many as before, since old ones are thinned out"


def test_a_run_that_fails_has_its_page(make_gan, logged, monkeypatch, tmp_path):
    script(monkeypatch, BAD)

    class Breaks(FailureMonitor):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
            if batch_idx == 4:
                raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        logged(make_gan(), make_monitor(Breaks, patience=1))
    assert "after 5 batches" in (tmp_path / "run" / "version_0" / "health.md").read_text()


def test_nothing_is_written_without_a_logger(make_gan, fit, tmp_path):
    fit(make_gan(), 3, callbacks=[make_monitor()])
    assert not list(tmp_path.rglob("health*"))


# ---------------------------------------------------------------- log and alerts


def test_readings_are_logged_at_the_step_of_the_losses(make_gan, logged, monkeypatch):
    script(monkeypatch, GOOD)
    folder, _ = logged(make_gan(), make_monitor(every_n_steps=2), 20, log_every_n_steps=2)
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    steps = {name: [row["step"] for row in rows if row[name]] for name in ("health/separation", "loss/generator")}
    assert steps["health/separation"] == steps["loss/generator"] == [str(batch) for batch in range(1, 20, 2)]
    assert [row["step"] for row in rows if row["health/energy"]] == ["15", "17", "19"], "once there are enough reals"


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


def test_wandb_gets_one_alert(make_gan, logged, monkeypatch):
    script(monkeypatch, BAD, BAD, BAD, BAD)
    logger = Alerts()
    logged(make_gan(), make_monitor(), loggers=[logger])
    assert len(logger.alerts) == 1
    assert logger.alerts[0][0] == MODE_COLLAPSE.name and "Try: " in logger.alerts[0][1]


# ---------------------------------------------------------------- checkpoints


def test_a_resumed_run_continues_where_it_stopped(make_gan, logged, monkeypatch, tmp_path):
    script(monkeypatch, BAD, BAD, BAD)
    first = make_monitor(stop=True)
    _, trainer = logged(make_gan(), first)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    torch.load(tmp_path / "last.ckpt", weights_only=True)
    second = make_monitor()
    logged(make_gan(), second, ckpt_path=tmp_path / "last.ckpt", max_epochs=2)
    assert second.events[0] == first.events[0] and second.state == MODE_COLLAPSE
    assert [reading.batch for reading in second.readings][:2] == [1, 2] and len(second.readings) > 2


def test_an_unknown_state_in_a_checkpoint_is_healthy(make_gan, fit, monkeypatch):
    script(monkeypatch, BAD)
    monitor, again = make_monitor(), make_monitor()
    fit(make_gan(), 3, callbacks=[monitor])
    state = monitor.state_dict()
    again.load_state_dict({**state, "state": "not a number", "recent": [["not a number", "by an older version"]]})
    assert again.state == HEALTHY and again.readings == monitor.readings
