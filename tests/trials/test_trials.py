"""Trials: trainings in folders that are scored, resumed, and set side by side."""

import csv
import json
import math
import os
import shutil
import sys

import pytest
import torch
from filelock import FileLock
from PIL import Image

from lightning_gans.data import Digits, GaussianRing
from lightning_gans.trials import Budget, LocalProcesses, Outcome, Submitit, Trial, run_trials, scoring, write_standings
from lightning_gans.trials.scoring import _among
from lightning_gans.trials.standings import ranked
from lightning_gans.trials.trial import found_in

SMALL = (
    "--model=GAN",
    "--model.generator=MLPGenerator",
    "--model.generator.width=8",
    "--model.discriminator=MLPDiscriminator",
    "--model.discriminator.width=8",
    "--data=GaussianRing",
    "--data.num_samples=256",
    "--data.num_val_samples=64",
    "--trainer.accelerator=cpu",
    "--trainer.max_steps=6",
    "--samples.every_n_epochs=0",
    "--report.enabled=false",
)


def trial(name, *more, seconds=20.0):
    return Trial(name, (*SMALL, *more), seconds, f"what {name} is")


@pytest.mark.usefixtures("in_process")
def test_trials_leave_outcomes_a_table_and_a_picture_side_by_side(folder):
    trials = [trial("slow G", "--model.generator_optimizer.lr=1e-5"), trial("plain")]
    first, second = run_trials(trials, folder / "tried")
    assert (first.name, second.name) == ("slow G", "plain")
    assert first.batches == second.batches == 6 and first.seconds > 0
    assert 0 <= first.score <= 1 and not first.error
    write_standings(trials, [first, second], folder / "tried")
    with open(folder / "tried" / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == [one.name for one in ranked([first, second])]
    assert {row["what"] for row in rows} == {"what slow G is", "what plain is"}
    assert "| plain |" in (folder / "tried" / "trials.md").read_text()
    assert Image.open(folder / "tried" / "trials.png").width > 640


def test_a_trial_that_has_ended_is_not_repeated_and_another_of_its_name_refused(folder, in_process):
    run_trials([trial("plain")], folder)
    count = len(in_process)
    again = run_trials([trial("plain"), trial("other")], folder)
    assert [one.name for one in again] == ["plain", "other"]
    assert len(in_process) == 2 * count
    with pytest.raises(ValueError, match=r"other settings; give another folder, or remove this one\.$"):
        run_trials([trial("plain", seconds=30.0)], folder)
    assert found_in(folder / "plain") == again[0]
    assert run_trials([trial("plain", seconds=30.0)], folder / "another")[0].batches == 6
    shutil.rmtree(folder / "plain")
    assert run_trials([trial("plain", seconds=30.0)], folder)[0].batches == 6


def test_two_processes_do_not_make_the_same_trials(folder, in_process):
    with FileLock(folder / ".lock"), pytest.raises(ValueError, match=r"another process .* wait until it has ended\.$"):
        run_trials([trial("plain")], folder)
    assert not in_process
    assert run_trials([trial("plain")], folder)[0].batches == 6


@pytest.mark.usefixtures("in_process")
def test_a_trial_that_was_stopped_continues_with_the_seconds_it_has_taken(folder):
    (first,) = run_trials([trial("plain")], folder)
    os.remove(folder / "plain" / "outcome.json")
    longer = (*SMALL[:-3], "--trainer.max_steps=12", *SMALL[-2:])
    (folder / "plain" / "trial.json").write_text(json.dumps({"name": "plain", "arguments": longer, "seconds": 20.0}))
    (second,) = run_trials([Trial("plain", longer, 20.0)], folder)
    assert second.batches == 12 and second.seconds > first.seconds
    assert len(list((folder / "plain").glob("version_*"))) == 1


@pytest.mark.usefixtures("in_process")
def test_a_trial_that_fails_says_why_and_is_last(folder):
    trials = [trial("wrong", "--model.generator.depth=-1"), trial("plain")]
    wrong, plain = run_trials(trials, folder)
    assert math.isnan(wrong.score) and "depth" in wrong.error
    assert ranked([wrong, plain]) == [plain, wrong]
    write_standings(trials, [wrong, plain], folder)
    assert "depth" in (folder / "trials.md").read_text()


def test_a_trial_whose_process_dies_is_reported_and_made_again(folder, monkeypatch, in_process):
    with monkeypatch.context() as patch:
        patch.setattr(LocalProcesses, "make", lambda self, folder: "it was killed")
        (outcome,) = run_trials([trial("plain")], folder)
    assert outcome.error == "it was killed" and math.isnan(outcome.score)
    assert run_trials([trial("plain")], folder)[0].batches == 6


def test_the_budget_ends_a_training(make_gan, fit):
    gan, budget = make_gan(), Budget(limit=1e-9)
    fit(gan, 9, callbacks=[budget])
    assert gan.batches_seen == 1 and budget.seconds > 0
    other = Budget(limit=1e-9)
    other.load_state_dict(budget.state_dict())
    assert other.seconds == budget.seconds
    fit(gan := make_gan(), 9, callbacks=[Budget()])
    assert gan.batches_seen == 9


def test_the_budget_ends_with_the_process_that_started_it(make_gan, fit, monkeypatch):
    budget = Budget(with_parent=True)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    with pytest.raises(SystemExit):
        fit(make_gan(), 9, callbacks=[budget])


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan, math.inf])
def test_a_budget_of_nothing_is_refused(limit):
    with pytest.raises(ValueError, match=r"Budget\(limit=.*expected a finite number above 0"):
        Budget(limit)


# ---------------------------------------------------------------- the score


def ring(modes=range(8), width=1.0, number=1_000, seed=0):
    data, source = GaussianRing(), torch.Generator().manual_seed(seed)
    chosen = torch.tensor(list(modes))[torch.randint(len(modes), (number,), generator=source)]
    return data.means[chosen] + width * data.sigma * torch.randn(number, 2, generator=source)


def test_the_score_of_real_samples_is_one_and_defects_lower_it():
    real = ring(number=2_000)
    assert _among(real, ring(seed=1)) == pytest.approx(1, abs=0.05)
    assert _among(real, ring(range(7), seed=1)) == pytest.approx(0.93, abs=0.06)
    assert _among(real, ring(range(4), seed=1)) == pytest.approx(0.67, abs=0.06), "2 · 1 · ½ / (1 + ½)"
    assert _among(real, ring(width=8.0, seed=1)) < 0.5
    assert _among(real, ring(width=0.0, seed=1)) < 0.3
    assert _among(real, real[:1].expand(1_000, 2)) < 0.05
    assert _among(real, 10 + ring(seed=1)) == 0


class Stored(torch.nn.Module):
    """A generator of real digits, of the class that is asked for or of the next one."""

    def __init__(self, shift):
        super().__init__()
        x, y = Digits(labels=True).load("train").__getitems__(list(range(1_400)))
        self.of_class = [x[y == (label + shift) % 10] for label in range(10)]


@pytest.mark.parametrize(("shift", "least", "most"), [(0, 0.85, 1.0), (1, 0.0, 0.1)], ids=["right", "wrong"])
def test_a_class_is_compared_with_its_own_samples(monkeypatch, shift, least, most):
    stored = Stored(shift)

    def draw(gan, number, seed):
        labels = torch.arange(number) % 10
        return torch.stack([gan.of_class[label][place // 10 % 100] for place, label in enumerate(labels)]), labels

    monkeypatch.setattr(scoring, "draw", draw)
    assert least <= scoring.score(stored, Digits(labels=True)) <= most


class OneByOne(Digits):
    """Digits in a data set that gives one sample and its class at a time."""

    def load(self, split):
        x, y = super().load(split).__getitems__(list(range(200)))
        return [(one, int(label)) for one, label in zip(x, y, strict=True)]


def test_samples_of_a_data_set_of_single_samples_are_read_with_their_classes():
    x, y = scoring._training_samples(OneByOne(labels=True), 150, 10)
    assert x.shape == (150, 1, 8, 8) and y.shape == (150,) and set(y.tolist()) == set(range(10))
    known, classes = Digits(labels=True).load("train").__getitems__(list(range(200)))
    first = (known == x[0]).flatten(1).all(1).nonzero()[0]
    assert classes[first] == y[0], "each with its own"


def test_outcomes_are_ranked_by_score():
    outcomes = [Outcome("a", 0.2), Outcome("b"), Outcome("c", 0.9)]
    assert [one.name for one in ranked(outcomes)] == ["c", "a", "b"]


@pytest.mark.slow
def test_a_trial_in_processes_of_its_own(folder):
    wrong, plain = run_trials([trial("wrong", "--model.generator.depth=-1"), trial("plain")], folder, jobs=2)
    assert plain.batches == 6 and plain.memory > 100 and not plain.error
    assert "depth" in wrong.error and "depth" in (folder / "wrong" / "log.txt").read_text()
    (folder / "dead").mkdir()
    assert "AssertionError" in LocalProcesses().make(folder / "dead"), "nothing is asked there"


@pytest.mark.slow
def test_a_trial_as_a_job_of_submitit(folder):
    (outcome,) = run_trials([trial("plain")], folder, launcher=Submitit("local", {"timeout_min": 5}))
    assert outcome.batches == 6 and not outcome.error and list((folder / "jobs").iterdir())


def test_a_cluster_needs_submitit(folder, monkeypatch, in_process):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "lightning-gans\[cluster\]", or leave out --launcher'):
        Submitit()
    assert run_trials([trial("plain")], folder)[0].batches == 6, "without a launcher"


def test_a_cluster_that_is_not_there_is_said(folder):
    launcher = Submitit("slurm")
    with pytest.raises(ValueError, match=r"^Submitit\(cluster=slurm\): .*slurm"):
        launcher.make(folder / "plain")
    with pytest.raises(ValueError, match="bogus"):
        Submitit("local", {"bogus": 1}).make(folder / "plain")
