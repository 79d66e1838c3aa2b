"""The checkpoint from which a run continues: which one it is, in which folder it continues, and whether it is done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from lightning_gans.callbacks.stopping import slurm_job
from lightning_gans.cli.run_folder import RunFolder, version_of
from lightning_gans.cli.saved_runs import best_checkpoint, checkpoints_of, last_checkpoint, read_saved, run_of, steps_in

# ---------------------------------------------------------------- which checkpoint


def checkpoint_to_restore(given: str | None, command: str, experiment: Path, settings: Any) -> str | None:
    """Return the checkpoint from which a command starts, None for a new run.

    A job that SLURM has started again continues from its own last checkpoint.

    Args:
        given: --ckpt_path, which may be last or best; None where it is left out.
        command: fit, validate, test or predict.
        experiment: the folder of the experiment.
        settings: those of the command.

    Raises:
        FileNotFoundError: where there is no such checkpoint.
        ValueError: for a command that needs one, and for a trial run that would continue one.
    """
    if command == "fit" and settings.trainer.fast_dev_run:
        if given is not None:
            raise ValueError(
                "--trainer.fast_dev_run tries the first batches of a new run, and --ckpt_path continues a run after "
                "them, so that nothing would be tried; leave one of them out, or give --from FILE in place of "
                "--ckpt_path, which starts with the weights of a checkpoint."
            )
        return None
    if given == "last":
        return last_checkpoint(experiment)
    if given == "best":
        return best_checkpoint(experiment, settings.checkpoint.monitor)
    if given is None and command != "fit":
        raise ValueError(
            f"{command} needs a trained model; give --ckpt_path FILE, or 'last' or 'best' for the latest or the best "
            f"of {experiment.name}."
        )
    if given is None and is_requeued():
        return last_checkpoint(experiment, slurm_job())
    return given


def is_requeued() -> bool:
    """Return whether SLURM has started this job again; a count of restarts without a job is none of SLURM's."""
    return bool(slurm_job()) and os.environ.get("SLURM_RESTART_COUNT", "0") not in ("", "0")


# ---------------------------------------------------------------- where a resumed run continues


def resumed_folder(checkpoint: str, runs: str, experiment: str | None) -> tuple[str, int] | str:
    """Return the experiment and the version in which a resumed run continues, or why it needs a new folder.

    Args:
        checkpoint: a file or a URL.
        runs: the folder of all experiments.
        experiment: the name that was given, None if none was.
    """
    run = run_of(checkpoint, runs)
    if run is None:
        return "it is not in the folder of a run"
    home, root = run.parent.resolve(), Path(runs).resolve()
    if home == root or not home.is_relative_to(root):
        return f"it is not below --runs {runs}"
    if experiment is not None and Path(runs, experiment).resolve() != home:
        return f"--experiment {experiment} is another one"
    reached = max((saved.steps for saved in checkpoints_of(run)[0]), default=0)
    if _steps_of(Path(checkpoint)) < reached:
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


def _steps_of(path: Path) -> int:
    """Return the number of batches that a checkpoint has seen, 0 for one that cannot be read."""
    try:
        return read_saved(path).steps
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
