"""The checkpoint from which a run continues: which one it is, in which folder it continues, and whether it is done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn

from lightning_gans import checkpoints
from lightning_gans.cli.run_folder import RunFolder, version_of

# ---------------------------------------------------------------- which checkpoint


def last_checkpoint(folder: Path, job: str | None = None) -> str | None:
    """Return the checkpoint of an experiment's newest run that has seen most batches.

    Runs are tried from the highest version, whatever the times of their files; in each of them the checkpoints from the
    one with most batches, of equal ones last.ckpt first. `healthy.ckpt`, which `FailureMonitor` keeps from before a
    failure, is skipped.

    Args:
        folder: the folder of the experiment, with one folder per run.
        job: the SLURM job whose checkpoint is wanted; None for that of any run.

    Raises:
        FileNotFoundError: without a job, where there is no checkpoint.
        ValueError: without a job, where none of the checkpoints can be read.
    """
    unreadable: list[str] = []
    for run in sorted(folder.glob("*"), key=version_of, reverse=True):
        readable = []
        for path in sorted(run.glob("checkpoints/*.ckpt"), key=lambda path: (path.name != "last.ckpt", path.name)):
            try:
                saved = checkpoints.read_checkpoint(path)
            except ValueError:
                unreadable += [] if path.name == "healthy.ckpt" else [str(path)]
                continue
            if job is None or saved.get("callbacks", {}).get("SaveWhenStopped", {}).get("job") == job:
                readable += [] if path.name == "healthy.ckpt" else [(steps_in(saved), path.name == "last.ckpt", path)]
        if readable:
            found = max(readable)[2]
            if unreadable:
                rank_zero_warn(
                    f"{', '.join(unreadable)} cannot be read; using {found}, the newest readable checkpoint."
                )
            return str(found)
    if job is not None:
        return None
    if unreadable:
        raise ValueError(f"--ckpt_path last: none of {', '.join(unreadable)} can be read; give a checkpoint's path.")
    raise FileNotFoundError(f"--ckpt_path last: no run below '{folder}' has a last.ckpt; give a checkpoint's path.")


def steps_in(checkpoint: dict[str, Any]) -> int:
    """Return the number of batches that a checkpoint has seen, 0 where it does not say."""
    steps = checkpoint.get("global_step")
    return steps if isinstance(steps, int) else 0


def is_requeued() -> bool:
    """Return whether SLURM has started this job again."""
    return os.environ.get("SLURM_RESTART_COUNT", "0") not in ("", "0")


# ---------------------------------------------------------------- where a resumed run continues


def resumed_folder(checkpoint: str, runs: str, experiment: str | None) -> tuple[str, int] | str:
    """Return the experiment and the version in which a resumed run continues, or why it needs a new folder.

    Args:
        checkpoint: a file or a URL.
        runs: the folder of all experiments.
        experiment: the name that was given, None if none was.
    """
    run = Path(checkpoint).parent.parent
    if "://" in checkpoint or Path(checkpoint).parent.name != "checkpoints" or version_of(run) < 0:
        return "it is not in the folder of a run"
    home, root = run.parent.resolve(), Path(runs).resolve()
    if home == root or not home.is_relative_to(root):
        return f"it is not below --runs {runs}"
    if experiment is not None and Path(runs, experiment).resolve() != home:
        return f"--experiment {experiment} is another one"
    reached = max((steps_of(path) for path in run.glob("checkpoints/*.ckpt")), default=0)
    if steps_of(Path(checkpoint)) < reached:
        return f"that run continued to batch {reached}"
    return experiment or os.path.relpath(home, root), version_of(run)


def folder_of(config: Any, experiment: str, fits: bool) -> RunFolder:
    """Return the folder of a command: that of the run that it resumes, or a new one.

    Args:
        config: the command's settings, with the checkpoint as `ckpt_path`.
        experiment: the name of the experiment, also where none was given.
        fits: whether the command trains.
    """
    without = config.trainer.logger is False or config.trainer.barebones
    claims = not without and not config.trainer.fast_dev_run
    if not fits or not claims or not config.ckpt_path:
        return RunFolder(config.runs, experiment, claims=claims)
    place = resumed_folder(str(config.ckpt_path), config.runs, config.experiment)
    if not isinstance(place, str):
        return RunFolder(config.runs, *place)
    folder = RunFolder(config.runs, experiment)
    rank_zero_info(f"The run continues from {config.ckpt_path} in a new folder, {folder.path}: {place}.")
    return folder


def steps_of(path: Path) -> int:
    """Return the number of batches that a checkpoint has seen, 0 for one that cannot be read."""
    try:
        return steps_in(checkpoints.read_checkpoint(path))
    except ValueError:
        return 0


def finished(checkpoint: dict[str, Any], trainer: Trainer) -> str:
    """Return what has been trained, in words, where a Trainer's limits leave nothing to train; "" where they do."""
    loop = (checkpoint.get("loops") or {}).get("fit_loop", {})
    epochs, steps = loop.get("epoch_progress", {}).get("current", {}).get("processed", 0), steps_in(checkpoint)
    if trainer.max_steps != -1 and steps >= trainer.max_steps:
        return f"{steps} batches are done, and max_steps is {trainer.max_steps}"
    if trainer.max_epochs not in (None, -1) and epochs >= trainer.max_epochs:
        return f"{epochs} epochs are done, and max_epochs is {trainer.max_epochs}"
    return ""
