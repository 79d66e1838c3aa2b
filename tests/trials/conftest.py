"""Trials in the process of the tests, where importing torch again and again would take most of the time."""

import subprocess
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from lightning_gans.cli.main import main
from lightning_gans.trials.trial import perform


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    return tmp_path


@pytest.fixture
def in_process(monkeypatch):
    """Do what `python -m lightning_gans…` would do, and list the commands."""
    commands = []

    def run(command, stdout=None, stderr=None, **_):
        commands.append(command)
        module, arguments = command[command.index("-m") + 1], command[command.index("-m") + 2 :]
        if module == "lightning_gans.trials":
            perform(Path(arguments[0]))
            return SimpleNamespace(returncode=0, stdout="", stderr="")
        file, code = stdout if hasattr(stdout, "write") else StringIO(), 0
        with redirect_stdout(file), redirect_stderr(file):
            try:
                main(arguments)
            except SystemExit as end:
                code = end.code or 0
        file.flush()
        said = "" if file is stdout else file.getvalue()
        return SimpleNamespace(returncode=code, stdout=said, stderr=said)

    monkeypatch.setattr(subprocess, "run", run)
    return commands
