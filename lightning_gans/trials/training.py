"""One training by the command line in a process of its own, which a later call resumes if it was stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_gans import checkpoints

_CLOCK = "lightning_gans.trials.Budget"
_QUIET = ("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false")


@dataclass(frozen=True)
class Trained:
    """What a training has left.

    Attributes:
        folder: of the run.
        checkpoint: of its last state.
        batches: that it has seen.
        seconds: of CPU, of all its parts.
    """

    folder: Path
    checkpoint: Path
    batches: int
    seconds: float

    @property
    def verdict(self) -> str:
        """Return the last state that `FailureMonitor` has named, "" for a run that was too short for it."""
        path = self.folder / "health.json"
        return str(json.loads(path.read_text())["verdict"]) if path.is_file() else ""


def train(arguments: Sequence[str], runs: Path, experiment: str, seconds: float | None = None) -> Trained:
    """Train by `lightning-gans fit` with these arguments in a process of its own, or resume a run that was stopped.

    What the command prints is in `log.txt`, in the folder of the experiment.

    Args:
        arguments: of the command.
        runs: the folder of all experiments.
        experiment: its name; the same one again resumes it.
        seconds: CPU seconds after which it ends, None for none.

    Raises:
        RuntimeError: where the command fails, with its last line.
    """
    clock = [f"--trainer.callbacks+={_CLOCK}", "--trainer.callbacks.with_parent=true"]
    clock += [] if seconds is None else [f"--trainer.callbacks.limit={seconds}"]
    place = [f"--runs={runs}", f"--experiment={experiment}"]
    resume = ["--ckpt_path=last"] if last_checkpoint(runs / experiment) else []
    command = [sys.executable, "-m", "lightning_gans", "fit", "--import=lightning_gans.trials"]
    log = runs / experiment / "log.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a") as file:
        ended = subprocess.run(
            [*command, *arguments, *clock, *_QUIET, *place, *resume], stdout=file, stderr=subprocess.STDOUT, check=False
        )
    checkpoint = last_checkpoint(runs / experiment)
    if checkpoint is None or ended.returncode:
        said = log.read_text(errors="replace").strip().splitlines()
        raise RuntimeError(said[-1] if said else f"it has ended with exit code {ended.returncode} and no message")
    content = checkpoints.read_checkpoint(checkpoint)
    taken = content["callbacks"]["Budget"]["seconds"]
    return Trained(checkpoint.parents[1], checkpoint, content["global_step"], taken)


def last_checkpoint(experiment: Path) -> Path | None:
    """Return the checkpoint that the runs of an experiment have saved last, None if there is none."""
    found = experiment.glob("version_*/checkpoints/last.ckpt")
    return max(found, key=lambda path: path.stat().st_mtime, default=None)
