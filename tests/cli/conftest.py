"""Runs that tests only read, a folder for each test, and commands that must be refused."""

import re

import pytest
from short_runs import DIGITS, SMALL, WITH_REPORT, fit_once

from lightning_gans.cli.main import main


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    return tmp_path


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    return fit_once(tmp_path_factory, *DIGITS, *WITH_REPORT)


@pytest.fixture(scope="session")
def conditional_run(tmp_path_factory):
    return fit_once(tmp_path_factory, *DIGITS, "--data.labels=true", *SMALL)


@pytest.fixture
def lines_of(monkeypatch):
    """Collect what modules say with `rank_zero_info`."""

    def lines_of(*modules):
        lines = []
        for module in modules:
            monkeypatch.setattr(module, "rank_zero_info", lines.append)
        return lines

    return lines_of


REMEDY = r"\b(expected?|use|give|name|did you mean|known are|lists?|copy|add|change|leave|end it|keep|delete)\b"


@pytest.fixture
def refused(capsys, folder):
    """Run a command that must be refused, and return its one line."""

    def refused(*args):
        kept = sorted(folder.rglob("*.ckpt"))
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(arg) for arg in args])
        lines = capsys.readouterr().err.splitlines()
        assert stopped.value.code == 2
        assert len(lines) == 1 and lines[0].startswith("lightning-gans: error: ")
        assert len(lines[0]) < 400 and "Traceback" not in lines[0]
        assert re.search(REMEDY, lines[0], re.IGNORECASE), f"no remedy: {lines[0]}"
        assert sorted(folder.rglob("*.ckpt")) == kept
        return lines[0]

    return refused
