"""Checks of a run that need its data: metrics that are monitored, lengths of schedules, fractions of few batches."""

from __future__ import annotations

import difflib
import math
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch.optim.lr_scheduler import CosineAnnealingLR

from lightning_gans.attached import attached
from lightning_gans.training.metric_names import are_complete, has_validation, metric_names, undeclared_terms

_LONGEST = 120  # characters of a list of names in a message


def monitored_exist(trainer: Trainer, gan: Any) -> None:
    """Refuse a checkpoint or `EarlyStopping` that monitors a metric which the run does not log.

    Where a class of the user might log it, or `strict=False` lets it be missing, warn instead.
    """
    monitoring, data = _monitoring(trainer), getattr(trainer, "datamodule", None)
    if not monitoring:
        return
    validates = trainer.enable_validation if data is None else has_validation(trainer, data)
    names = metric_names(trainer, gan, validates)
    sure = are_complete(trainer, gan)
    for callback, monitor in monitoring:
        also = {"epoch", "step"} if isinstance(callback, ModelCheckpoint) else set()
        misspelt = difflib.get_close_matches(monitor, names, 1, 0.95)
        adds_terms = monitor.startswith("loss/") and bool(undeclared_terms(trainer, gan)) and not misspelt
        rates = monitor.startswith("lr-") and bool(attached(trainer, LearningRateMonitor))
        if monitor in also | set(names) or rates or adds_terms:
            continue
        who = "The checkpoint" if isinstance(callback, ModelCheckpoint) else type(callback).__name__
        text = f"{who} monitors {monitor}, which is not logged; {_instead(monitor, names, validates)}."
        if sure and getattr(callback, "strict", True):
            raise ValueError(text)
        rank_zero_warn(f"Unless a class of yours logs it: {text}", category=UserWarning)


def monitored_in_time(trainer: Trainer) -> None:
    """Refuse to monitor a metric of the training log that the first epoch is too short to log."""
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    if every and every <= trainer.num_training_batches:
        return
    for callback, monitor in _monitoring(trainer):
        in_log = monitor.partition("/")[0] in ("loss", "gradients", "progress", "discriminator", "generator")
        is_keeper = isinstance(callback, ModelCheckpoint)
        needed = trainer.enable_validation if is_keeper else getattr(callback, "strict", True)
        if needed and in_log:
            logged = f"every {every} batches" if every else "never"
            raise ValueError(
                f"{type(callback).__name__} monitors {monitor}, which is logged {logged}, and an "
                f"epoch has {trainer.num_training_batches}; use a log_every_n_steps of at most that "
                f"(--trainer.log_every_n_steps {max(1, int(trainer.num_training_batches) // 2)})."
            )


def best_was_saved(trainer: Trainer) -> None:
    """Warn of a checkpoint that was never saved, for want of its metric."""
    for callback, monitor in _monitoring(trainer):
        absent = monitor not in {*trainer.callback_metrics, "epoch", "step"}
        if isinstance(callback, ModelCheckpoint) and absent and not callback.best_model_path:
            rank_zero_warn(f"There is no best checkpoint: {monitor} was never logged.", category=UserWarning)


def overfit_at_least_one(trainer: Trainer) -> None:
    """Replace a fraction of batches that rounds down to none by one batch, where Lightning would refuse it."""
    fraction: float = trainer.overfit_batches  # type: ignore[attr-defined]
    data = getattr(trainer, "datamodule", None)
    if data is None or not isinstance(fraction, float) or not 0 < fraction < 1:
        return
    for split in ("train", "val"):
        loader = getattr(data, f"{split}_dataloader")()
        if hasattr(loader, "__len__") and len(loader) and int(fraction * len(loader)) == 0:
            setattr(trainer, f"limit_{split}_batches", 1)


def cosines_last(trainer: Trainer, gan: Any) -> None:
    """Warn of a cosine schedule that is shorter than the run: its rate rises again to where it started."""
    for config in trainer.lr_scheduler_configs:
        schedule, player = config.scheduler, gan.player_of(config.scheduler.optimizer)
        if not isinstance(schedule, CosineAnnealingLR):
            continue
        if schedule in gan.epoch_schedulers:
            steps = math.inf if trainer.max_epochs in (None, -1) else trainer.max_epochs / config.frequency
        else:
            every = (gan.n_critic if player == "generator" else 1) * config.frequency
            steps = trainer.estimated_stepping_batches / every
        last = steps if steps == math.inf else int(steps)
        if schedule.T_max < last:
            best = f"; give --model.{player}_scheduler.T_max {last}" if last < math.inf else ""
            rank_zero_warn(
                f"The {player}'s CosineAnnealingLR is at its end after T_max={schedule.T_max} steps, and its rate "
                f"rises again until the end of the run{best}.",
                category=UserWarning,
            )


def _monitoring(trainer: Trainer) -> list[tuple[Callback, str]]:
    callbacks = [one for one in attached(trainer, Callback) if isinstance(one, EarlyStopping | ModelCheckpoint)]
    return [(one, one.monitor) for one in callbacks if one.monitor is not None]


def _instead(monitor: str, names: list[str], validates: bool) -> str:
    """Return what else can be monitored: names that are similar, then those of the same group, else all."""
    group = monitor.partition("/")[0]
    if group == "health":
        return "what the failure monitor reads goes to loggers alone; use its option stop to end a run by it"
    if group == "val" and not validates:
        return f"there are no validation batches; use one of {_listed(group, names)}"
    close = difflib.get_close_matches(monitor, names, 1, 0.75)
    if close:
        return f"did you mean {close[0]}? use one of {_listed(group, names)}"
    scores = "; scores, such as val/fd, come from an Evaluation (configs/metrics/)" if group == "val" else ""
    return f"use one of {_listed(group, names)}{scores}"


def _listed(group: str, names: list[str]) -> str:
    same = [name for name in names if name.startswith(f"{group}/")]
    shown: list[str] = []
    for name in same or names:
        if len(", ".join([*shown, name])) > _LONGEST:
            break
        shown.append(name)
    more = ", ..." if len(shown) < len(names) else ""
    return ", ".join(shown) + more + (" (--print_metrics lists all)" if more else "")
