"""Observers in two processes: each file once, one verdict for all, the figures of one process, and nobody waits."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from group import together
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from plays import everything, learned, play
from torch.utils.data import DataLoader

from lightning_gans.callbacks import Evaluation, FailureMonitor, Report, SampleGrid
from lightning_gans.callbacks.health import failure_monitor
from lightning_gans.callbacks.health.states import HEALTHY, STATES
from lightning_gans.metrics import FrechetDistance, PrecisionRecall

pytestmark = pytest.mark.distributed
FAILING = next(state for state in STATES if state.name not in (HEALTHY.name, "NaN or infinity"))
GAME = "GAN"


def rank():
    return dist.get_rank() if dist.is_initialized() else 0


def settings(folder, **more):
    return {"logger": CSVLogger(folder, "run", version=0), "enable_checkpointing": True, "max_epochs": 2, **more}


def held_out():
    return DataLoader(torch.rand(30, 2, generator=torch.Generator().manual_seed(3)), batch_size=8)


def test_every_file_is_written_by_one_process(tmp_path, monkeypatch):
    """The second process would overwrite, or read half of, what the first one writes."""

    def work():
        written = []
        for name in ("write_text", "write_bytes", "mkdir"):
            real = getattr(Path, name)
            monkeypatch.setattr(
                Path, name, lambda self, *a, _real=real, **k: written.append(str(self)) or _real(self, *a, **k)
            )
        save = torch.save
        monkeypatch.setattr(torch, "save", lambda what, to, *a, **k: written.append(str(to)) or save(what, to, *a, **k))
        observers = [
            SampleGrid(num_samples=8),
            FailureMonitor(every_n_steps=1, num_samples=8),
            Evaluation([FrechetDistance()], num_samples=16, split="val"),
            ModelCheckpoint(save_last=True),
            Report(every_n_minutes=0),
        ]
        play(GAME, callbacks=observers, val=held_out(), **settings(tmp_path))
        return written

    first, second = together(2, work)
    assert first and not second, f"the second process wrote {second}"
    made = Counter(path.name for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert {"epoch_0001.png", "epoch_0002.png", "real.png", "report.html", "health.json", "scores.json"} <= set(made)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"version_0"}
    assert len((tmp_path / "run/version_0/metrics.csv").read_text().splitlines()) > 3


def test_an_evaluation_within_a_run_has_the_figures_of_one_process(tmp_path):
    def work(folder):
        scores = [FrechetDistance(), PrecisionRecall()]
        evaluation = Evaluation(scores, num_samples=25, split="val", statistics=None)
        _, trainer = play(GAME, alike=True, callbacks=[evaluation], val=held_out(), **settings(folder))
        return dict(evaluation.board.figures), float(trainer.callback_metrics["val/real_logit"])

    alone, alone_logit = work(tmp_path / "one")
    for figures, logit in together(2, work, tmp_path / "two"):
        assert figures == pytest.approx(alone, rel=1e-5) and len(figures) >= 3
        assert logit == pytest.approx(alone_logit, rel=1e-9)
    names = [
        json.loads((tmp_path / name / "run/version_0/scores.json").read_text())["figures"] for name in ("one", "two")
    ]
    assert names[0].keys() == names[1].keys()


# ---------------------------------------------------------------- one verdict


def doctored(verdicts):
    """A diagnosis of readings that differ by process: what rank 0 says, in turn, and the opposite elsewhere."""

    def diagnose(readings, thresholds):
        state = verdicts(len(readings))
        if rank():
            state = HEALTHY if state != HEALTHY else FAILING
        return state, f"process {rank()} says so"

    return diagnose


def test_the_first_process_ends_the_run_for_all(tmp_path, monkeypatch):
    monkeypatch.setattr(failure_monitor, "diagnose", doctored(lambda seen: FAILING))

    def work():
        monitor = FailureMonitor(every_n_steps=1, patience=2, num_samples=8, stop=True)
        gan, _ = play(GAME, batches=10, callbacks=[monitor], **settings(tmp_path))
        return monitor.state.name, [event.evidence for event in monitor.events], gan.generator_updates

    one, other = together(2, work)
    assert one == other and one[0] == FAILING.name and one[1] == ["process 0 says so"] and one[2] < 20


@pytest.mark.parametrize(
    "name", [GAME, *(pytest.param(name, marks=pytest.mark.slow) for name in ("DCGAN", "ImagePool"))]
)
def test_a_game_is_set_back_in_all_processes(tmp_path, monkeypatch, name):
    monkeypatch.setattr(failure_monitor, "diagnose", doctored(lambda seen: FAILING if 12 <= seen < 16 else HEALTHY))

    def work():
        monitor = FailureMonitor(every_n_steps=1, patience=2, num_samples=8, rollbacks=1)
        gan, trainer = play(name, batches=10, callbacks=[monitor], **settings(tmp_path))
        rates = [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers]
        rolled_back = sum("rolled back" in event.evidence for event in monitor.events)
        return everything(gan).tolist(), rates, len(monitor.events), rolled_back

    one, other = together(2, work)
    assert one == other and one[3] == 1


def test_watching_changes_nothing(tmp_path):
    def work(name, *observers):
        return learned(
            play(name, batches=6, callbacks=observers, **settings(tmp_path / str(len(observers))))[0]
        ).tolist()

    def watched():
        return work("GAN with RelativisticAverage", FailureMonitor(every_n_steps=1, num_samples=8), SampleGrid(8))

    assert together(2, watched) == together(2, work, "GAN with RelativisticAverage")
