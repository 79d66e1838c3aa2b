"""Callbacks in two processes: each file written once, one diagnosis for all, scores as in one process, no deadlock."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from process_group import run_in_processes
from setups import parameters_of, state_of, train
from torch.utils.data import DataLoader

from lightning_gans.callbacks import Evaluation, FailureMonitor, Report, SampleGrid
from lightning_gans.callbacks.health import failure_monitor
from lightning_gans.callbacks.health.states import HEALTHY, STATES
from lightning_gans.metrics import FrechetDistance, PrecisionRecall

pytestmark = pytest.mark.distributed
FAILING = next(state for state in STATES if state.name not in (HEALTHY.name, "NaN or infinity"))
SETUP = "GAN"


def rank():
    return dist.get_rank() if dist.is_initialized() else 0


def settings(folder, **more):
    return {"logger": CSVLogger(folder, "run", version=0), "enable_checkpointing": True, "max_epochs": 2, **more}


def held_out():
    return DataLoader(torch.rand(30, 2, generator=torch.Generator().manual_seed(3)), batch_size=8)


def test_every_file_is_written_by_one_process(tmp_path, monkeypatch):
    def work():
        written = []
        for name in ("write_text", "write_bytes", "mkdir"):
            real = getattr(Path, name)
            monkeypatch.setattr(
                Path, name, lambda self, *a, _real=real, **k: written.append(str(self)) or _real(self, *a, **k)
            )
        save = torch.save
        monkeypatch.setattr(torch, "save", lambda what, to, *a, **k: written.append(str(to)) or save(what, to, *a, **k))
        callbacks = [
            SampleGrid(num_samples=8),
            FailureMonitor(every_n_steps=1, num_samples=8),
            Evaluation([FrechetDistance()], num_samples=16, split="val"),
            ModelCheckpoint(save_last=True),
            Report(every_n_minutes=0),
        ]
        train(SETUP, callbacks=callbacks, val=held_out(), **settings(tmp_path))
        return written

    first, second = run_in_processes(2, work)
    assert first and not second, f"the second process wrote {second}"
    made = Counter(path.name for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert {"real.png", "report.html", "health.json", "scores.json"} <= set(made)
    assert {"epoch_0000.png", "epoch_0001.png", "epoch_0002.png"} <= set(made)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"version_0"}
    assert len((tmp_path / "run/version_0/metrics.csv").read_text().splitlines()) > 3


def test_an_evaluation_has_the_figures_of_one_process(tmp_path):
    def work(folder):
        scores = [FrechetDistance(), PrecisionRecall()]
        evaluation = Evaluation(scores, num_samples=25, split="val", statistics=None)
        _, trainer = train(SETUP, shared_draws=True, callbacks=[evaluation], val=held_out(), **settings(folder))
        return dict(evaluation.board.figures), float(trainer.callback_metrics["val/real_logit"])

    alone, alone_logit = work(tmp_path / "one")
    for figures, logit in run_in_processes(2, work, tmp_path / "two"):
        assert figures == pytest.approx(alone, rel=1e-5) and len(figures) >= 3
        assert logit == pytest.approx(alone_logit, rel=1e-9)
    names = [
        json.loads((tmp_path / name / "run/version_0/scores.json").read_text())["figures"] for name in ("one", "two")
    ]
    assert names[0].keys() == names[1].keys()


# ---------------------------------------------------------------- one diagnosis


def scripted(states):
    """Return a `diagnose` that differs by process: `states(number of readings)` in rank 0, the opposite elsewhere."""

    def diagnose(readings, thresholds):
        state = states(len(readings))
        if rank():
            state = HEALTHY if state != HEALTHY else FAILING
        return state, f"process {rank()} says so"

    return diagnose


def test_the_first_process_ends_the_run_for_all(tmp_path, monkeypatch):
    monkeypatch.setattr(failure_monitor, "diagnose", scripted(lambda seen: FAILING))

    def work():
        monitor = FailureMonitor(every_n_steps=1, patience=2, num_samples=8, stop=True)
        gan, _ = train(SETUP, batches=10, callbacks=[monitor], **settings(tmp_path))
        return monitor.state.name, [event.evidence for event in monitor.events], gan.generator_updates

    one, other = run_in_processes(2, work)
    assert one == other and one[0] == FAILING.name and one[1] == ["process 0 says so"] and one[2] < 20


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [SETUP, *(pytest.param(name, marks=pytest.mark.slow) for name in ("DCGAN", "ImagePool"))]
)
def test_a_rollback_happens_in_all_processes(tmp_path, monkeypatch, name):
    monkeypatch.setattr(failure_monitor, "diagnose", scripted(lambda seen: FAILING if 12 <= seen < 16 else HEALTHY))

    def work():
        monitor = FailureMonitor(every_n_steps=1, patience=2, num_samples=8, rollbacks=1)
        gan, trainer = train(name, batches=10, callbacks=[monitor], **settings(tmp_path))
        rates = [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers]
        rolled_back = sum("rolled back" in event.evidence for event in monitor.events)
        return state_of(gan).tolist(), rates, len(monitor.events), rolled_back

    one, other = run_in_processes(2, work)
    assert one == other and one[3] == 1


@pytest.mark.slow
def test_the_figures_of_the_monitor_are_those_of_one_process(tmp_path):
    """But for the real samples: each process has another half of them, and finds clusters of its own in these."""

    def work(folder):
        monitor = FailureMonitor(every_n_steps=30)
        train(SETUP, shared_draws=True, batches=60, callbacks=[monitor], **settings(folder, max_epochs=1))
        return monitor.readings[-1].figures()

    alone = work(tmp_path / "one")
    assert alone["gap"] > 0, "there was a survey"
    for figures in run_in_processes(2, work, tmp_path / "two"):
        for name in ("energy", "diversity", "coverage", "density", "variety", "width", "gap", "separation"):
            assert figures[name] == pytest.approx(alone[name], rel=0.2, abs=0.05), name
        for name in ("generator_gradient", "discriminator_gradient"):
            assert figures[name] == pytest.approx(alone[name], rel=0.05), name


@pytest.mark.slow
def test_callbacks_leave_training_unaffected(tmp_path):
    def work(*callbacks):
        folder = tmp_path / str(len(callbacks))
        gan, _ = train("GAN with RelativisticAverage", batches=6, callbacks=callbacks, **settings(folder))
        return parameters_of(gan).tolist()

    def work_with_callbacks():
        return work(FailureMonitor(every_n_steps=1, num_samples=8), SampleGrid(8))

    assert run_in_processes(2, work_with_callbacks) == run_in_processes(2, work)
