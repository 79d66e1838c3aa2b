"""The parts that the command line gives to every Trainer, and checks of their settings before anything is built."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint, ProgressBar, TQDMProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import CheckpointIO
from lightning.pytorch.utilities import LightningEnum

from lightning_gans.callbacks import FailureMonitor, SampleWriter, SaveAtEnd, SaveWhenStopped, StartFrom
from lightning_gans.checkpoints import AtomicCheckpointIO
from lightning_gans.cli.errors import first_line
from lightning_gans.training.checks import folder_can_exist, is_gan

# for a config with a default of a Lightning callback, such as Timer's interval
yaml.SafeDumper.add_multi_representer(LightningEnum, lambda dumper, one: dumper.represent_str(one.value))

# of the standard checkpoint callback, where they are not Lightning's
CHECKPOINT_DEFAULTS = {"filename": "step_{step:07d}", "auto_insert_metric_name": False, "save_last": True}

# ---------------------------------------------------------------- parts


class CommandLineTrainer(Trainer):
    """The Trainer, whose limits read a whole number as a number of batches: 1 is one batch, 1.0 is all of them.

    Lightning's type for them, `Optional[Union[int, float]]`, has an order that depends on what was imported before:
    `typing` keeps one of all unions of the same types. Where float comes first, the command line would read 1 as 1.0.
    """

    def __init__(
        self,
        *args: Any,
        limit_train_batches: int | float | None = None,
        limit_val_batches: int | float | None = None,
        limit_test_batches: int | float | None = None,
        limit_predict_batches: int | float | None = None,
        overfit_batches: int | float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            *args,
            limit_train_batches=limit_train_batches,
            limit_val_batches=limit_val_batches,
            limit_test_batches=limit_test_batches,
            limit_predict_batches=limit_predict_batches,
            overfit_batches=overfit_batches,
            **kwargs,
        )


def with_run_logger(given: Any, run_logger: Logger) -> list[Logger]:
    """Return the logger of the run's folder, then those of the config."""
    return [run_logger, *(one for one in _as_list(given) if one not in (None, True))]


def with_atomic_writes(given: Any) -> list[Any]:
    """Return the plugins of the config, and `AtomicCheckpointIO` where none of them writes checkpoints."""
    plugins = [one for one in _as_list(given) if one is not None]
    return plugins if _has(plugins, CheckpointIO) else [*plugins, AtomicCheckpointIO()]


def with_standard_callbacks(command: str, config: Namespace, asked: list[str], model: Any) -> list[Callback]:
    """Return the callbacks of the config, then the standard ones that it does not replace.

    Args:
        command: fit, validate, test or predict.
        config: the command's settings, with their objects built.
        asked: the settings of the standard checkpoint callback that were changed, without which one of the config's own
            replaces it.
        model: the model; one that is no GAN has no samples to show or to monitor.

    Raises:
        ValueError: where the states of two callbacks could not be told apart in a checkpoint.
    """
    settings = config.trainer
    callbacks = [] if settings.callbacks is None else _as_list(settings.callbacks)
    _states_differ(callbacks)
    if settings.barebones:  # for which Lightning allows neither log nor checkpoints
        return callbacks
    if settings.enable_progress_bar is not False and not _has(callbacks, ProgressBar):
        callbacks.append(TQDMProgressBar(refresh_rate=20))
    of_gan = is_gan(model)
    if of_gan:
        callbacks += [SampleWriter()] if command == "predict" else []
        callbacks.append(config.samples)
        callbacks += [] if _has(callbacks, FailureMonitor) else [config.monitor]
    if settings.enable_checkpointing is not False and not settings.fast_dev_run:
        own = [one for one in callbacks if isinstance(one, ModelCheckpoint)]
        if asked or not own:
            callbacks += _best_and_last(config.checkpoint, own, asked)
        if command == "fit" and not _has(callbacks, SaveWhenStopped):
            callbacks.append(SaveWhenStopped())
        if command == "fit" and not _has(callbacks, SaveAtEnd):
            callbacks.append(SaveAtEnd())
    if command == "fit" and config["from"]:
        callbacks.append(StartFrom(config["from"]))
    callbacks += [config.report] if of_gan else []  # behind those whose files it shows
    return callbacks


def changed_checkpoint_settings(settings: Namespace) -> list[str]:
    """Return the names of the settings of the standard checkpoint callback that are not its defaults."""
    defaults = {name: one.default for name, one in inspect.signature(ModelCheckpoint).parameters.items()}
    defaults |= CHECKPOINT_DEFAULTS
    return [name for name, default in defaults.items() if settings.get(name) != default]


def _states_differ(callbacks: list[Callback]) -> None:
    keys: set[str] = set()
    for callback in callbacks:
        if type(callback).state_dict is Callback.state_dict:
            continue
        if callback.state_key in keys:
            name = type(callback).__name__
            raise ValueError(
                f"trainer.callbacks has two {name} with the same settings, whose states a checkpoint could not tell "
                f"apart; give {name} once, or change the settings of one of them."
            )
        keys.add(callback.state_key)


def _best_and_last(checkpoint: ModelCheckpoint, own: list[ModelCheckpoint], asked: list[str]) -> list[Checkpoint]:
    """Return a checkpoint callback, and one for the last epoch where the first keeps only the best by a metric.

    Where one of the config's own keeps the last, these do not.
    """
    keys = [one.state_key for one in own]
    if checkpoint.state_key in keys:
        options = ", ".join(f"--checkpoint.{name}" for name in asked)
        raise ValueError(
            f"{options} beside a {type(checkpoint).__name__} of trainer.callbacks with the same monitor, mode and "
            "intervals: Lightning cannot tell their states apart; change the settings of that callback instead, or "
            "leave it out."
        )
    checkpoint.save_last = checkpoint.save_last and not any(one.save_last for one in own)
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
    return [checkpoint] if last.state_key in keys else [checkpoint, last]


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
    folder_can_exist("--checkpoint.dirpath", dirpath)
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
