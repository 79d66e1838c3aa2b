"""A trial: what is tried, and what came of it; both are files in the trial's folder, where any process can make it."""

from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from lightning_gans import generation
from lightning_gans.generation.training_data import data_of
from lightning_gans.trials.scoring import score
from lightning_gans.trials.training import in_this_process, train

_ASKED, _FOUND, _PICTURE = "trial.json", "outcome.json", "samples.png"


@dataclass(frozen=True)
class Trial:
    """What is tried.

    Attributes:
        name: of its folder, and in the table.
        arguments: of `lightning-gans fit`.
        seconds: CPU seconds of training; None for as long as the arguments say.
        about: what it is, in a few words, for the table.
    """

    name: str
    arguments: tuple[str, ...]
    seconds: float | None = None
    about: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of a trial.

    Attributes:
        name: of the trial.
        score: of its samples, 0 to 1; see `lightning_gans.trials.scoring`. NaN for a trial that has failed.
        verdict: of `FailureMonitor` at the end.
        batches: of the training.
        seconds: CPU seconds of the training.
        memory: largest memory of the training in MiB, the libraries included.
        checkpoint: of its last state, "" for a trial that has failed.
        error: why it has failed, "" if it has not.
    """

    name: str
    score: float = math.nan
    verdict: str = ""
    batches: int = 0
    seconds: float = 0.0
    memory: float = 0.0
    checkpoint: str = ""
    error: str = ""


def perform(folder: Path) -> Outcome:
    """Make the trial that is in a folder, or the rest of it, and write its outcome and a picture beside it.

    It trains in this process, and waits while another process makes the same trial.
    """
    trial = asked_in(folder)
    assert trial is not None
    with FileLock(folder / ".lock"):
        found = found_in(folder)
        if found is not None and not found.error:
            return found
        (folder / _FOUND).unlink(missing_ok=True)
        return _made(trial, folder)


def _made(trial: Trial, folder: Path) -> Outcome:
    try:
        trained = train(trial.arguments, folder.parent, folder.name, trial.seconds, in_this_process)
        memory = _largest_memory()
        gan, data = generation.load(trained.checkpoint, trust=True), data_of(str(trained.checkpoint), trust=True)
        samples, labels = generation.draw(gan, 64 if len(data.sample_shape) == 3 else 1_000, seed=0)
        classes = 0 if labels is None else int(labels.max()) + 1
        real = generation.training_data.some_training_samples(data) if samples.dim() == 2 else None
        shown = generation.picture(samples, real, columns=generation.columns_of(classes))
        generation.save_picture(shown, folder / _PICTURE)
        outcome = Outcome(
            trial.name,
            score(gan, data),
            trained.verdict,
            trained.batches,
            trained.seconds,
            memory,
            str(trained.checkpoint),
        )
    except (RuntimeError, ValueError, OSError) as error:
        outcome = Outcome(trial.name, error=" ".join(str(error).split()))
    _write(folder / _FOUND, asdict(outcome))
    return outcome


def ask(folder: Path, trial: Trial) -> None:
    """Write down what is to be tried in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / _ASKED, asdict(trial))


def asked_in(folder: Path) -> Trial | None:
    """Return what is tried in a folder, None where nothing is."""
    content = _read(folder / _ASKED)
    return None if content is None else Trial(**content | {"arguments": tuple(content["arguments"])})


def found_in(folder: Path) -> Outcome | None:
    """Return what came of the trial in a folder, None where it has not ended."""
    content = _read(folder / _FOUND)
    return None if content is None else Outcome(**content)


def picture_in(folder: Path) -> Path | None:
    """Return the picture of a trial's samples, None where there is none."""
    path = folder / _PICTURE
    return path if path.is_file() else None


def _largest_memory() -> float:
    """Return the largest memory of this process so far, in MiB; NaN on Windows."""
    try:
        import resource
    except ImportError:
        return math.nan
    unit = 1024.0**2 if sys.platform == "darwin" else 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _write(path: Path, content: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1))
    os.replace(part, path)


def _read(path: Path) -> dict[str, Any] | None:
    return dict(json.loads(path.read_text())) if path.is_file() else None
