"""The parts that the command line gives to every Trainer, and checks of their settings before anything is built."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint, ProgressBar, TQDMProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import CheckpointIO

from lightning_gans.callbacks import FailureMonitor, SampleWriter, SaveAtEnd, SaveWhenStopped, StartFrom
from lightning_gans.checkpoints import AtomicCheckpointIO
from lightning_gans.cli.errors import first_line

# ---------------------------------------------------------------- parts


def with_run_logger(given: Any, run_logger: Logger) -> list[Logger]:
    """Return the logger of the run's folder, then those of the config."""
    return [run_logger, *(one for one in _as_list(given) if one not in (None, True))]


def with_atomic_writes(given: Any) -> list[Any]:
    """Return the plugins of the config, and `AtomicCheckpointIO` where none of them writes checkpoints."""
    plugins = [one for one in _as_list(given) if one is not None]
    return plugins if _has(plugins, CheckpointIO) else [*plugins, AtomicCheckpointIO()]


def with_standard_callbacks(command: str, config: Namespace) -> list[Callback]:
    """Return the callbacks of the config, then the standard ones that it does not replace.

    Args:
        command: fit, validate, test or predict.
        config: the command's settings, with their objects built.
    """
    settings = config.trainer
    callbacks = [] if settings.callbacks is None else _as_list(settings.callbacks)
    if settings.enable_progress_bar is not False and not _has(callbacks, ProgressBar):
        callbacks.append(TQDMProgressBar(refresh_rate=20))
    if command == "predict":
        callbacks.append(SampleWriter())
    callbacks.append(config.samples)
    if not _has(callbacks, FailureMonitor):
        callbacks.append(config.monitor)
    if settings.enable_checkpointing is not False and not settings.fast_dev_run:
        if not _has(callbacks, Checkpoint):
            callbacks += _best_and_last(config.checkpoint)
        if command == "fit" and not _has(callbacks, SaveWhenStopped):
            callbacks.append(SaveWhenStopped())
        if command == "fit" and not _has(callbacks, SaveAtEnd):
            callbacks.append(SaveAtEnd())
    if command == "fit" and config["from"]:
        callbacks.append(StartFrom(config["from"]))
    callbacks.append(config.report)  # behind those whose files it shows
    return callbacks


def _best_and_last(checkpoint: ModelCheckpoint) -> list[Checkpoint]:
    """Return a checkpoint callback, and one for the last epoch where the first keeps only the best by a metric."""
    if checkpoint.monitor is None or not checkpoint.save_last:
        return [checkpoint]
    checkpoint.save_last = False
    last = ModelCheckpoint(
        dirpath=checkpoint.dirpath,
        filename="last",
        save_weights_only=checkpoint.save_weights_only,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    return [checkpoint, last]


def _as_list(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list) else [given]


def _has(objects: list[Any], kind: type) -> bool:
    return any(isinstance(one, kind) for one in objects)


# ---------------------------------------------------------------- checks of their settings


def check_checkpoint_settings(dirpath: Any, filename: str | None) -> None:
    """Refuse a folder and a file name for checkpoints that cannot be written, before training.

    Raises:
        ValueError: for a folder at or below a file, and for a pattern that gives no file name.
    """
    if dirpath is not None and "://" not in str(dirpath):
        place = next(one for one in (Path(dirpath), *Path(dirpath).absolute().parents) if os.path.lexists(one))
        if not place.is_dir():
            raise ValueError(f"--checkpoint.dirpath {dirpath}: '{place}' is not a folder; give another path.")
    try:
        name = ModelCheckpoint(filename=filename, auto_insert_metric_name=False).format_checkpoint_name(
            {"epoch": torch.tensor(0), "step": torch.tensor(0)}
        )
        if "\0" in name or len(os.fsencode(Path(name).name)) > 240:
            raise ValueError("no file can have this name")
    except Exception as error:  # formatting a number by an arbitrary pattern can raise anything
        raise ValueError(
            f"--checkpoint.filename {filename!r} does not give a file name ({first_line(error)}); give a pattern such "
            "as 'step_{step:07d}'."
        ) from None


def drop_repeated_evaluations(callbacks: Any) -> None:
    """Keep the first of equal Evaluations: a run's saved config and the file added to it may hold the same one."""
    for index in reversed(range(len(callbacks) if isinstance(callbacks, list) else 0)):
        kind = str(callbacks[index].get("class_path"))
        if kind.endswith(".Evaluation") and callbacks[index] in callbacks[:index]:
            del callbacks[index]
