"""One training by the command line in a process of its own, which a later call resumes if it was stopped."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from lightning_gans import checkpoints

_CLOCK = "lightning_gans.trials.Budget"
ENDLESS = ("--trainer.max_epochs=-1", "--trainer.max_steps=-1", "--trainer.max_time=null")
"""Options of a training that only its `seconds` end."""

ALONE = (
    "--trainer.devices=1",
    "--trainer.num_nodes=1",
    "--trainer.strategy=auto",
    "--trainer.logger=null",
    "--report.enabled=false",
    "--threads=1",
)
"""Options of a training beside others, whose cost is compared: on one device or thread, and logged nowhere else."""

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


def in_a_process(arguments: Sequence[str], log: Path) -> int:
    """Run the command line in a process of its own, which ends when this one does; return its exit code."""
    command = [sys.executable, "-m", "lightning_gans", *arguments, "--trainer.callbacks.with_parent=true"]
    with open(log, "a") as file:
        return subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode


def in_this_process(arguments: Sequence[str], log: Path) -> int:
    """Run the command line in this process, which saves all imports; return its exit code."""
    before = sys.argv
    sys.argv = ["lightning-gans", *arguments]
    with open(log, "a") as file, redirect_stdout(file), redirect_stderr(file):
        try:
            runpy.run_module("lightning_gans", run_name="__main__")
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        except Exception:
            traceback.print_exc()
            return 1
        finally:
            sys.argv = before
    return 0


def train(
    arguments: Sequence[str],
    runs: Path,
    experiment: str,
    seconds: float | None = None,
    command: Callable[[Sequence[str], Path], int] = in_a_process,
) -> Trained:
    """Train by `lightning-gans fit` with these arguments, or resume a run that was stopped.

    What the command prints is in `log.txt`, in the folder of the experiment.

    Args:
        arguments: of the command.
        runs: the folder of all experiments.
        experiment: its name; the same one again resumes it.
        seconds: CPU seconds after which it ends, None for none.
        command: runs the command line, `in_a_process` or `in_this_process`.

    Raises:
        RuntimeError: where the command fails, with its last line.
    """
    clock = [f"--trainer.callbacks+={_CLOCK}", *([] if seconds is None else [f"--trainer.callbacks.limit={seconds}"])]
    place = [f"--runs={runs}", f"--experiment={experiment}"]
    resume = ["--ckpt_path=last"] if last_checkpoint(runs / experiment) else []
    log = runs / experiment / "log.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    code = command(["fit", "--import=lightning_gans.trials", *arguments, *_QUIET, *place, *resume, *clock], log)
    checkpoint = last_checkpoint(runs / experiment)
    if checkpoint is None or code:
        said = log.read_text(errors="replace").strip().splitlines()
        last = said[-1] if said else f"it has ended with exit code {code} and no message"
        raise RuntimeError(last.removeprefix("lightning-gans: error: "))
    content = checkpoints.read_checkpoint(checkpoint)
    taken = content["callbacks"]["Budget"]["seconds"]
    return Trained(checkpoint.parents[1], checkpoint, content["global_step"], taken)


def last_checkpoint(experiment: Path) -> Path | None:
    """Return the checkpoint that the runs of an experiment have saved last, None if there is none."""
    found = experiment.glob("version_*/checkpoints/last.ckpt")
    return max(found, key=lambda path: path.stat().st_mtime, default=None)
