"""Trials in the process of the tests, where importing torch again and again would take most of the time."""

import subprocess
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from types import SimpleNamespace

import pytest

from lightning_gans.cli.main import main
from lightning_gans.trials import LocalProcesses
from lightning_gans.trials.training import in_this_process
from lightning_gans.trials.trial import perform


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    return tmp_path


@pytest.fixture
def in_process(monkeypatch):
    """Make trials, and print configs, in this process, and list the command lines of both."""
    commands = []

    def make(_, folder):
        commands.append(["trial", str(folder)])
        perform(folder)
        return ""

    def train(arguments, log):
        commands.append(arguments)
        return in_this_process(arguments, log)

    start = subprocess.run

    def run(command, **options):
        if list(command[1:3]) != ["-m", "lightning_gans"]:
            return start(command, **options)
        said, complaint, code = StringIO(), StringIO(), 0
        with redirect_stdout(said), redirect_stderr(complaint):
            try:
                main(command[3:])
            except SystemExit as end:
                code = end.code or 0
        return SimpleNamespace(returncode=code, stdout=said.getvalue(), stderr=complaint.getvalue())

    monkeypatch.setattr(LocalProcesses, "make", make)
    monkeypatch.setattr("lightning_gans.trials.trial.in_this_process", train)
    monkeypatch.setattr(subprocess, "run", run)
    return commands
