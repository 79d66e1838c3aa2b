"""Evaluation: the table, the file, several processes and shared feature networks."""

import json
import math
from datetime import timedelta

import pytest
import torch
from evaluation_helpers import Kept, Shift, Twice, evaluation, fit_ring, ring
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.strategies import DDPStrategy

from lightning_gans import GAN
from lightning_gans.metrics import FrechetDistance, ModeCoverage, PrecisionRecall
from lightning_gans.networks import MLPDiscriminator, StochasticEnsembleMLPGenerator

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """Statistics of real samples are kept in runs/statistics of the current folder."""
    monkeypatch.chdir(tmp_path)


def test_the_table_and_the_file(make_gan, quiet, tmp_path, capsys):
    gan = make_gan()
    gan.generator_updates = 1234
    logger = CSVLogger(tmp_path, "run")
    scores = [ModeCoverage(), Shift(), Shift(Twice())]
    trainer = Trainer(**{**quiet, "logger": logger}, callbacks=[evaluation(*scores, num_samples=2500, seed=3)])
    trainer.test(gan, datamodule=ring())
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[1:4] == [
        "GAN after 1,234 generator updates",
        "2,500 generated samples (seed 3) beside 24 real ones of GaussianRing (test split)",
        "",
    ]
    assert lines[4].split() == ["score", "value", "floor", "feature", "network"] and set(lines[5]) == {"-"}
    rows = {line.split()[0]: line.split()[1:] for line in lines[6:12]}
    assert list(rows) == ["modes", "high_quality", "reverse_kl", "sigma_ratio", "shift", "shift_Twice"]
    assert rows["reverse_kl"][1] == "0.0014" and rows["shift_Twice"][1] == "Twice" and len(rows["shift"]) == 1
    assert "of the model: test/discriminator_loss" in printed and "Test metric" not in printed, "one table"
    record = json.loads((tmp_path / "run/version_0/scores.json").read_text())
    assert record["figures"]["reverse_kl_floor"] == pytest.approx(7 / 5000)
    assert float(rows["shift"][0]) == pytest.approx(record["figures"]["shift"], rel=1e-3)
    expected = {
        "networks": {"shift_Twice": "Twice"},
        "real": 24,
        "fake": 2500,
        "split": "test",
        "seed": 3,
        "data": "GaussianRing",
        "model": "GAN",
        "generator_updates": 1234,
        "checkpoint": None,
        "version": "0.1.0",
    }
    assert expected.items() <= record.items()
    assert set(record["losses"]) == {f"test/{name}" for name in _LOSSES} and record["losses"]["test/real_logit"]


_LOSSES = ("discriminator_loss", "generator_loss", "real_logit", "fake_logit")


def test_large_and_small_numbers_are_readable(make_gan, quiet, capsys):
    scores = [Shift(scale=1e6), Shift(Twice(0.0), scale=0.0)]
    Trainer(**quiet, callbacks=[evaluation(*scores)]).test(make_gan(), datamodule=ring(), verbose=False)
    rows = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("shift")]
    assert "," in rows[0] and "e" not in rows[0] and rows[1] == "0"


def test_the_file_holds_the_latest_epoch_and_the_checkpoint(make_gan, quiet, tmp_path):
    gan = make_gan()
    trainer = fit_ring(quiet, gan, evaluation(), max_epochs=2, logger=CSVLogger(tmp_path, "run"))
    record = json.loads((tmp_path / "run/version_0/scores.json").read_text())
    assert (record["split"], record["generator_updates"], record["checkpoint"]) == ("val", 8, None)
    trainer.save_checkpoint("a.ckpt")
    tester = Trainer(**{**quiet, "logger": CSVLogger(tmp_path, "run")}, callbacks=[evaluation()])
    tester.test(gan, datamodule=ring(), ckpt_path="a.ckpt", verbose=False, weights_only=True)
    record = json.loads((tmp_path / "run/version_1/scores.json").read_text())
    assert (record["split"], record["generator_updates"], record["checkpoint"]) == ("test", 8, "a.ckpt")


def test_a_trial_run_is_short_and_writes_nothing(make_gan, quiet, tmp_path):
    callback = evaluation(Kept(), Shift(least=5))
    fit_ring(quiet, make_gan(), callback, fast_dev_run=2, logger=True)
    assert (callback.board.real, callback.board.fake) == (5, 5) and not list(tmp_path.iterdir())


def test_without_a_logger_there_is_no_file(make_gan, quiet, tmp_path):
    fit_ring(quiet, make_gan(), evaluation(statistics=None))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shown", [True, False])
def test_slow_work_shows_a_progress_bar_unless_bars_are_off(make_gan, quiet, monkeypatch, shown):
    asked = []

    def bar(parts, **settings):
        asked.append(settings)
        return parts

    monkeypatch.setattr("lightning_gans.callbacks.evaluation.shares.tqdm", bar)
    fit_ring(quiet, make_gan(), evaluation(), enable_progress_bar=shown)
    assert [one["disable"] for one in asked] == [not shown] * 2
    assert [one["desc"] for one in asked] == ["statistics of 40 real samples", "scores of 48 samples"]


# ---------------------------------------------------------------- several processes


def two_processes():
    return DDPStrategy(start_method="fork", find_unused_parameters=True, timeout=timedelta(seconds=60))


@pytest.mark.parametrize("statistics", [None, "kept"])
def test_two_processes_have_the_figures_of_one(make_gan, quiet, tmp_path, statistics):
    gan = GAN(StochasticEnsembleMLPGenerator((2,), 3, width=4, groups=8), MLPDiscriminator((2,), width=4))
    figures = []
    for name, settings in (("one", {}), ("two", {"devices": 2, "strategy": two_processes()})):
        scores = [Shift(), Shift(Twice()), Kept(), FrechetDistance(), PrecisionRecall()]
        trainer = Trainer(**{**quiet, "logger": CSVLogger(tmp_path, name)}, **settings)
        trainer.callbacks.append(evaluation(*scores, statistics=statistics))
        trainer.test(gan, datamodule=ring(num_test_samples=25, batch_size=8), verbose=False)
        record = json.loads((tmp_path / name / "version_0/scores.json").read_text())
        assert (record["real"], record["fake"]) == (25, 48) == tuple(map(record["figures"].get, ("reals", "fakes")))
        figures.append(record["figures"])
    assert figures[1] == pytest.approx(figures[0], rel=1e-5)
    assert not statistics or len(list((tmp_path / "kept").iterdir())) == 5


def test_training_of_two_processes_is_unaffected(make_gan, quiet, tmp_path):
    for name, callbacks in (("without", []), ("with", [evaluation(statistics="kept")])):
        keeper = ModelCheckpoint(tmp_path / name, monitor="val/shift" if callbacks else None, filename="kept")
        settings = {"devices": 2, "strategy": two_processes(), "enable_checkpointing": True}
        fit_ring(quiet, make_gan(), *callbacks, keeper, data=ring(batch_size=8), max_epochs=2, **settings)
    states = [torch.load(tmp_path / name / "kept.ckpt", weights_only=True) for name in ("without", "with")]
    assert states[0]["state_dict"].keys() == states[1]["state_dict"].keys()
    for name, value in states[0]["state_dict"].items():
        assert not isinstance(value, torch.Tensor) or torch.equal(value, states[1]["state_dict"][name])
    (best,) = [state["best_model_score"] for key, state in states[1]["callbacks"].items() if "val/shift" in key]
    assert math.isfinite(best)


# ---------------------------------------------------------------- equal networks


def test_equal_networks_share_one_forward(make_gan, quiet):
    networks = [Twice(), Twice(), Twice(3.0)]
    scores = [Shift(networks[0]), type("Other", (Shift,), {"name": "other"})(networks[1]), Kept()]
    scores.append(type("Third", (Shift,), {"name": "third"})(networks[2]))
    callback = evaluation(*scores, statistics=None)
    Trainer(**quiet, callbacks=[callback]).test(make_gan(), datamodule=ring(), verbose=False)
    assert [network.shown for network in networks] == [24 + 48 + 4, 4, 24 + 48 + 4], "each is tried with 4"
    figures = callback.board.figures
    assert figures["shift"] == figures["other"] and figures["third"] == pytest.approx(1.5 * figures["shift"])
    assert not any("forward" in vars(network) for network in networks), "networks are as they were"
