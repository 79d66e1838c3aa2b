"""The rows of metrics.csv: those of Lightning's logger, kept when a run is resumed."""

import csv

import pytest
from lightning.pytorch.loggers import CSVLogger

from lightning_gans.cli.run_logger import RunLogger, Table

ROWS = [({"a": 1.5, "epoch": 0}, 0), ({"b": 0.1}, 0), ({"a": float("nan"), "c": 2, "epoch": 0}, 1), ({"a": 3.0}, 2)]


def write(logger, rows=ROWS):
    for metrics, step in rows:
        logger.log_metrics(metrics, step)
        logger.save()


@pytest.mark.filterwarnings("ignore:.*exists and is not empty")
def test_the_file_is_that_of_lightning(tmp_path):
    for logger in (RunLogger(str(tmp_path), "ours", 0), CSVLogger(tmp_path, "theirs", 0)):
        write(logger)
        logger.log_hyperparams({"width": 3})
    for name in ("metrics.csv", "hparams.yaml"):
        ours, theirs = (tmp_path / one / "version_0" / name for one in ("ours", "theirs"))
        assert ours.read_bytes() == theirs.read_bytes()


def rows_of(path):
    with path.open() as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


def test_a_resumed_run_keeps_the_rows_up_to_its_checkpoint_and_repeats_none(tmp_path):
    whole, first, rest = (RunLogger(str(tmp_path), name, 0) for name in ("whole", "cut", "cut"))
    write(whole)
    write(first, [*ROWS[:3], ({"a": 2.5}, 5), ({"d": 2.5}, 6)])
    path = tmp_path / "cut" / "version_0" / "metrics.csv"
    path.write_bytes(path.read_bytes() + b"7.5,,")  # a kill in the middle of a line
    rest.experiment.begin(2, last_is_logged=True)
    assert [row["step"] for row in rows_of(path)] == ["0", "0", "1"]
    assert rest.experiment.has({"c"}, 1) and not rest.experiment.has({"b"}, 1)
    write(rest, [ROWS[2], ROWS[3]])
    assert rows_of(path) == rows_of(tmp_path / "whole" / "version_0" / "metrics.csv")


@pytest.mark.parametrize("is_logged", [True, False])
def test_the_losses_of_a_run_that_was_stopped_between_two_logged_batches_are_dropped(tmp_path, is_logged):
    table = Table(tmp_path)
    for row, step in (({"loss/generator": 1.0}, 1), ({"val/fd": 2.0}, 3), ({"loss/generator": 3.0, "epoch": 0}, 3)):
        table.log_metrics(row, step)
    table.save()
    Table(tmp_path).begin(4, last_is_logged=is_logged)
    kept = [row for row in rows_of(tmp_path / "metrics.csv") if row["step"] == "3" and "loss/generator" in row]
    assert len(kept) == is_logged and len(rows_of(tmp_path / "metrics.csv")) == 2 + is_logged


def test_a_new_name_keeps_earlier_rows(tmp_path):
    table = Table(tmp_path)
    table.log_metrics({"a": 1}, 0)
    table.save()
    other = Table(tmp_path)
    other.log_metrics({"b": 2}, 1)
    other.save()
    assert rows_of(tmp_path / "metrics.csv") == [{"a": "1", "step": "0"}, {"b": "2", "step": "1"}]
