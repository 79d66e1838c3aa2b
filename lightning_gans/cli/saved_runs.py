"""The checkpoints that runs have left: which files are a run's, and which of them `last` and `best` mean."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from torch import Tensor

from lightning_gans import checkpoints
from lightning_gans.cli.run_folder import version_of

_HEALTHY = "healthy.ckpt"  # which `FailureMonitor` keeps from before a failure


@dataclass(frozen=True)
class Best:
    """What a checkpoint says of the best one of its run.

    Args:
        monitor: the metric.
        score: its value; None where it does not say.
        path: where the best checkpoint was saved.
    """

    monitor: str
    score: float | None
    path: str


@dataclass(frozen=True)
class Saved:
    """What is known of a checkpoint without its tensors.

    Args:
        path: the file.
        steps: how many batches it has seen, 0 where it does not say.
        run: the run that saved it, as <experiment>/version_<number>; "" where it does not say.
        job: the job of SLURM that made it.
        best: the best checkpoints so far, one for each metric that is monitored.
    """

    path: Path
    steps: int
    run: str
    job: Any
    best: tuple[Best, ...]


def read_saved(path: Path) -> Saved:
    """Return what is known of a checkpoint.

    Raises:
        ValueError: for a file that is not a checkpoint of Lightning.
    """
    content = checkpoints.read_checkpoint(path)
    states = content.get("callbacks")
    states = {key: state for key, state in states.items() if isinstance(state, dict)} if type(states) is dict else {}
    run, job = states.get("History", {}).get("run"), states.get("SaveWhenStopped", {}).get("job")
    best = tuple(filter(None, map(_best_in, states.values())))
    return Saved(path, steps_in(content), run if isinstance(run, str) else "", job, best)


def _best_in(state: dict[str, Any]) -> Best | None:
    """Return the record in a checkpoint callback's state, None without a metric or before its first score."""
    monitor, path, score = state.get("monitor"), state.get("best_model_path"), state.get("best_model_score")
    if not (isinstance(monitor, str) and isinstance(path, str) and path):
        return None
    if isinstance(score, int | float) or (isinstance(score, Tensor) and score.numel() == 1):
        return Best(monitor, float(score), path)
    return Best(monitor, None, path)


def steps_in(checkpoint: dict[str, Any]) -> int:
    """Return the number of batches that a checkpoint has seen, 0 where it does not say."""
    steps = checkpoint.get("global_step")
    return steps if isinstance(steps, int) else 0


# ---------------------------------------------------------------- of a run


def checkpoints_of(run: Path) -> tuple[list[Saved], list[str]]:
    """Return the checkpoints of a run, that with most batches first, of equal ones last.ckpt, and unreadable files.

    In a folder outside of the run's own, which several runs may share, they are those that name the run.
    """
    found: list[Saved] = []
    unreadable: list[str] = []
    for folder in folders_of(run):
        for path in sorted(folder.glob("*.ckpt"), key=lambda path: (path.name != "last.ckpt", path.name)):
            if path.name == _HEALTHY:
                continue
            try:
                saved = read_saved(path)
            except ValueError:
                unreadable.append(str(path))
                continue
            named = Path(saved.run).parts
            if folder == run / "checkpoints" or (named and run.absolute().parts[-len(named) :] == named):
                found.append(saved)
    found.sort(key=lambda one: (one.steps, one.path.name == "last.ckpt", one.path), reverse=True)
    return found, unreadable


def folders_of(run: Path) -> list[Path]:
    """Return the folders in which a run saves checkpoints: its own, then those that its config names (`dirpath`)."""
    try:
        config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        config = None
    settings = [_part(config, "checkpoint")]
    callbacks = _part(config, "trainer").get("callbacks")
    for callback in callbacks if isinstance(callbacks, list) else ():
        if "ModelCheckpoint" in str(_part({"": callback}, "").get("class_path")):
            settings.append(_part(callback, "init_args"))
    named = [one.get("dirpath") for one in settings]
    others = [Path(one) for one in named if isinstance(one, str) and one and "://" not in one]
    own = run / "checkpoints"
    return list(dict.fromkeys([own, *(one for one in others if one.resolve() != own.resolve())]))


def _part(config: Any, name: str) -> dict[str, Any]:
    part = config.get(name) if isinstance(config, dict) else None
    return part if isinstance(part, dict) else {}


def run_of(checkpoint: str, runs: str) -> Path | None:
    """Return the folder of the run that saved a checkpoint, None where it is unknown.

    That is the folder around it, or, for a checkpoint elsewhere, the run that it names, if that run's config says that
    it saves there.

    Args:
        checkpoint: a file or a URL.
        runs: the folder of all experiments.
    """
    path = Path(checkpoint)
    if "://" in checkpoint:
        return None
    if path.parent.name == "checkpoints" and version_of(path.parent.parent) >= 0:
        return path.parent.parent
    try:
        named = read_saved(path).run
    except ValueError:  # which is reported once it is to be restored
        return None
    run = Path(runs, named)
    if version_of(run) < 0 or path.parent.resolve() not in [folder.resolve() for folder in folders_of(run)]:
        return None
    return run


# ---------------------------------------------------------------- of an experiment


def last_checkpoint(experiment: Path, job: str | None = None) -> str | None:
    """Return the checkpoint of an experiment's newest run that has seen most batches.

    Runs are tried from the highest version, whatever the times of their files; in each of them the checkpoints from the
    one with most batches, of equal ones last.ckpt first. `healthy.ckpt`, which `FailureMonitor` keeps from before a
    failure, is skipped.

    Args:
        experiment: its folder, with one folder per run.
        job: the SLURM job whose checkpoint is wanted; None for that of any run.

    Raises:
        FileNotFoundError: without a job, where there is no checkpoint.
        ValueError: without a job, where none of the checkpoints can be read.
    """
    unreadable: list[str] = []
    for run in _newest_first(experiment):
        saved, damaged = checkpoints_of(run)
        unreadable += damaged
        found = next((one.path for one in saved if job in (None, one.job)), None)
        if found is not None:
            if unreadable:
                rank_zero_warn(
                    f"{', '.join(unreadable)} cannot be read; using {found}, the newest readable checkpoint."
                )
            return str(found)
    if job is not None:
        return None
    if unreadable:
        raise ValueError(f"--ckpt_path last: none of {', '.join(unreadable)} can be read; give a checkpoint's path.")
    raise FileNotFoundError(f"--ckpt_path last: no run below '{experiment}' has a last.ckpt; give a checkpoint's path.")


def best_checkpoint(experiment: Path, monitor: str | None) -> str:
    """Return the best checkpoint of an experiment's newest run that has one, and say which it is.

    Of several metrics that a run monitors it is the one that is asked for, or the first. The file is looked for beside
    the checkpoint that names it, since a run's folder may have been moved, then where it was saved.

    Args:
        experiment: its folder, with one folder per run.
        monitor: the metric; None for any.

    Raises:
        FileNotFoundError: where no run has monitored a metric, or the file is gone.
    """
    for run in _newest_first(experiment):
        for saved in checkpoints_of(run)[0]:
            best = next((one for one in saved.best if monitor in (None, one.monitor)), None)
            if best is None:
                continue
            places = [saved.path.with_name(os.path.basename(best.path)), Path(best.path)]
            found = next((place for place in places if place.is_file()), None)
            if found is None:
                raise FileNotFoundError(
                    f"--ckpt_path best: {places[0]}, which had the best {best.monitor}, is gone; give the path of "
                    "another checkpoint."
                )
            score = "" if best.score is None else f", {best.score:.4g}"
            rank_zero_info(f"--ckpt_path best is {found}, which has the best {best.monitor}{score}.")
            return str(found)
    evaluation = "" if monitor else "an Evaluation (configs/metrics/) and "
    raise FileNotFoundError(
        f"--ckpt_path best: no run below '{experiment}' has a checkpoint with the record of a best "
        f"{monitor or 'score'}, which weights alone do not hold; give --ckpt_path last or a file, and train with "
        f"{evaluation}--checkpoint.monitor {monitor or 'val/fd'} for one."
    )


def _newest_first(experiment: Path) -> Iterator[Path]:
    yield from sorted(experiment.glob("*"), key=version_of, reverse=True)
