"""Report: when the page is written, and that training is unaffected."""

import math

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lightning_gans.callbacks import Report
from lightning_gans.callbacks.report import report


class Fails(Callback):
    """Raises an error in the last batch."""

    def __init__(self, error):
        self.error = error

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if batch_idx == 1:
            raise self.error


def logger_in(folder):
    return CSVLogger(folder, name="mine", version=0)


@pytest.fixture
def blank(monkeypatch):
    """Pages without content, for tests of when they are written; the status of each."""
    statuses = []
    monkeypatch.setattr(report, "page", lambda *args: statuses.append(args[3:5]) or "a page")
    return statuses


def test_a_run_that_fails_or_is_stopped_has_its_page(make_gan, fit, blank, tmp_path):
    with pytest.raises(RuntimeError, match="out of\nmemory"):
        fit(make_gan(), logger=logger_in(tmp_path), callbacks=[Fails(RuntimeError("out of\nmemory")), Report()])
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(make_gan(), logger=logger_in(tmp_path), callbacks=[Fails(KeyboardInterrupt()), Report()])
    with pytest.raises(SIGTERMException):
        fit(make_gan(), logger=logger_in(tmp_path), callbacks=[Fails(SIGTERMException(143)), Report()])
    statuses = [("failed: RuntimeError: out of memory", False), ("stopped by Ctrl-C", None)]
    assert blank == [*statuses, ("stopped by a signal; it can be resumed", None)]
    assert (tmp_path / "mine/version_0/report.html").read_text() == "a page"


def test_a_run_that_fails_before_training_has_no_page(make_gan, fit, blank, tmp_path):
    class Early(Callback):
        def on_fit_start(self, trainer, pl_module):
            raise RuntimeError("before training")

    with pytest.raises(RuntimeError, match="before training"):
        fit(make_gan(), logger=logger_in(tmp_path), callbacks=[Early(), Report()])
    assert not blank


@pytest.mark.parametrize(
    ("minutes", "statuses"), [(0, ["running"] * 3 + ["finished"]), (10, ["finished"]), (math.inf, ["finished"])]
)
def test_the_page_is_renewed_during_the_run(make_gan, fit, blank, tmp_path, minutes, statuses):
    fit(make_gan(), max_epochs=3, logger=logger_in(tmp_path), callbacks=[Report(every_n_minutes=minutes)])
    assert [status for status, _ in blank] == statuses


@pytest.mark.parametrize(("argument", "settings"), [({"enabled": False}, {}), ({}, {"fast_dev_run": True})], ids=str)
def test_it_can_be_switched_off(make_gan, fit, blank, tmp_path, argument, settings):
    fit(make_gan(), logger=logger_in(tmp_path), callbacks=[Report(**argument)], **settings)
    assert not blank and not list(tmp_path.rglob("report.html"))


def test_without_a_csv_logger_there_is_no_page(make_gan, fit, blank):
    fit(make_gan(), callbacks=[Report()])
    assert not blank


def test_only_one_process_writes(make_gan, fit, blank, tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "is_global_zero", False)
    fit(make_gan(), logger=logger_in(tmp_path), callbacks=[Report()])
    assert not blank


@pytest.mark.parametrize("minutes", [-1, math.nan])
def test_negative_minutes_are_refused(minutes):
    with pytest.raises(
        ValueError, match=rf"Report\(every_n_minutes={minutes}\): expected a number of at least 0, such as 10\.0\."
    ):
        Report(every_n_minutes=minutes)


# ---------------------------------------------------------------- training is unaffected


def test_a_page_that_cannot_be_written_is_a_warning(make_gan, fit, tmp_path, monkeypatch):
    def broken(*args):
        raise OSError("disk full")

    monkeypatch.setattr(report, "page", broken)
    gan = make_gan()
    with pytest.warns(UserWarning, match=r"Report: .*report\.html was not written: OSError: disk full"):
        fit(gan, logger=logger_in(tmp_path), callbacks=[Report(every_n_minutes=0)])
    assert gan.discriminator_updates == 2


def test_the_last_page_stays_where_a_new_one_cannot_be_made(make_gan, fit, blank, tmp_path, monkeypatch):
    fit(make_gan(), logger=logger_in(tmp_path), callbacks=[Report()])
    monkeypatch.setattr(report.os, "replace", lambda *args: (_ for _ in ()).throw(OSError("read-only")))
    with pytest.warns(UserWarning, match="read-only"):
        fit(make_gan(), logger=logger_in(tmp_path), callbacks=[Report()])
    assert (tmp_path / "mine/version_0/report.html").read_text() == "a page"


def test_training_is_unaffected(make_gan, fit, weights, tmp_path):
    plain, reported = make_gan(dropout=0.3), make_gan(dropout=0.3)
    fit(plain, 3, max_epochs=2)
    trainer = fit(reported, 3, max_epochs=2, logger=logger_in(tmp_path), callbacks=[Report(every_n_minutes=0)])
    assert torch.equal(weights(plain), weights(reported)) and (tmp_path / "mine/version_0/report.html").is_file()
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert "Report" not in torch.load(tmp_path / "a.ckpt", weights_only=True)["callbacks"]
