"""The optimizers and schedules that a resumed run was asked for, put into the state that it is resumed from."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Iterable
from typing import Any

from lightning.pytorch import Trainer
from torch.optim import Optimizer

from lightning_gans.training.settings import Settings, plain, shown

_MOST_UPDATES = 10**8  # an hour of counting; a damaged file may hold any number
_PROGRESS = {"last_epoch", "base_lrs", "verbose"}  # in a schedule's state, beside what is private: not its settings


def of_players(trainer: Trainer, gan: Any) -> list[Settings]:
    """Return what each optimizer of a run was asked for, in their order, before its first update."""
    return [
        {
            "player": gan.player_of(optimizer),
            "kinds": [kind.__name__ for kind in type(optimizer).__mro__ if _is_optimizer(kind)],
            "groups": [_asked(group) for group in optimizer.param_groups],
            "schedule": _described(gan, _config_of(trainer, optimizer)),
        }
        for optimizer in trainer.optimizers
    ]


def _is_optimizer(kind: type) -> bool:
    return issubclass(kind, Optimizer) and kind is not Optimizer


def _asked(group: dict[str, Any]) -> Settings:
    """Return the numbers of a parameter group as they were asked for, which a schedule has not changed."""
    values = {name: plain(value) for name, value in group.items() if name not in ("params", "initial_lr")}
    return {**values, "lr": float(group.get("initial_lr", group["lr"]))}


def _config_of(trainer: Trainer, optimizer: Optimizer) -> Any:
    found = [config for config in trainer.lr_scheduler_configs if config.scheduler.optimizer is optimizer]
    return found[0] if found else None


def _described(gan: Any, config: Any) -> Settings | None:
    """Return the class and the arguments of a schedule, as far as it keeps them, and what it counts."""
    if config is None:
        return None
    schedule = config.scheduler
    names = [name for name in inspect.signature(type(schedule)).parameters if name not in _PROGRESS]
    counts = {"interval": "epoch"} if schedule in gan.epoch_schedulers else {}
    counts |= {"frequency": config.frequency} if config.frequency != 1 else {}
    return {"kind": type(schedule).__name__, **_kept(schedule.state_dict(), names), **counts}


def _kept(state: dict[str, Any], names: Iterable[str]) -> Settings:
    """Return the arguments in the state of a schedule; those of schedules within it too."""
    found = {name: state.get(name, state.get(f"_{name}")) for name in names}
    for name, value in found.items():
        if name == "schedulers" and isinstance(value, list | tuple):
            found[name] = [_kept(one, [key for key in one if key[0] != "_" and key not in _PROGRESS]) for one in value]
    return {name: plain(value) for name, value in found.items() if value is not None}


def of_checkpoint(checkpoint: dict[str, Any], now: list[Settings]) -> list[Settings]:
    """Return what the run of a checkpoint was asked for, as far as one from before it was kept shows that."""
    states, schedules = checkpoint.get("optimizer_states", []), list(checkpoint.get("lr_schedulers", []))
    same_schedules = len(schedules) == sum(one["schedule"] is not None for one in now)
    before = []
    for one, state in zip(now, states, strict=False):
        groups = [{**own, **_asked(group)} for own, group in zip(one["groups"], state["param_groups"], strict=False)]
        schedule = one["schedule"]
        if not same_schedules:
            schedule = {"kind": "another"} if schedules else None
        elif schedule is not None:
            schedule = {**schedule, **_kept(schedules.pop(0), set(schedule) - {"kind", "interval", "frequency"})}
        before.append({**one, "groups": groups, "schedule": schedule})
    return before


def apply(
    trainer: Trainer, gan: Any, checkpoint: dict[str, Any], before: list[Settings], now: list[Settings]
) -> list[str]:
    """Put what was asked for into the states of a checkpoint, where it differs; return the changes in words.

    Args:
        trainer: whose optimizers and schedules are new.
        gan: with its counters restored.
        checkpoint: from which Lightning restores the optimizers next.
        before: what the run of the checkpoint was asked for.
        now: what this run is asked for.

    Raises:
        ValueError: for an optimizer of another kind, whose state is another one.
    """
    alone = f"start from the weights alone: --from {trainer.ckpt_path} (StartFrom in Python)"
    players = [[one["player"] for one in run] for run in (before, now)]
    if players[0] != players[1]:
        raise ValueError(
            f"the checkpoint has optimizers of {' and '.join(players[0])}, and this run of {' and '.join(players[1])}; "
            f"use the same model, or {alone}."
        )
    scheduled = [one["player"] for one in before if one["schedule"] is not None]
    schedules = dict(zip(scheduled, checkpoint["lr_schedulers"], strict=False))
    changes, kept = [], []
    for old, new, optimizer, state in zip(before, now, trainer.optimizers, checkpoint["optimizer_states"], strict=True):
        if not set(old["kinds"]) & set(new["kinds"]):
            raise ValueError(
                f"the {new['player']}'s optimizer was {old['kinds'][0]} and is {new['kinds'][0]} now, which cannot use "
                f"its state; use {old['kinds'][0]}, or {alone}."
            )
        words, follows = _compared(old, new)
        config, saved = _config_of(trainer, optimizer), schedules.get(new["player"])
        schedule = None if config is None else config.scheduler
        if follows and schedule is not None:
            if schedule not in gan.epoch_schedulers:  # those are taken to their epoch before the next update
                steps = getattr(gan, f"{new['player']}_updates") // config.frequency
                if saved is not None and _counts(old) == _counts(new):
                    steps = saved.get("last_epoch", steps)
                _follow(schedule, steps)
            saved = copy.deepcopy(schedule.state_dict())
        groups = state["param_groups"], optimizer.param_groups, old["groups"], new["groups"]
        for group, own, a, b in zip(*groups, strict=False):  # torch refuses another number
            changed = [name for name in b if a.get(name, b[name]) != b[name]]
            names = [name for name in own if name != "params"] if follows else changed
            group.update({name: own[name] for name in names})
            if "initial_lr" not in own and follows:
                group.pop("initial_lr", None)
        rate = float(optimizer.param_groups[0]["lr"])
        if follows and rate != new["groups"][0]["lr"]:
            words[0] += f" ({shown(rate)} now, by its schedule)"
        changes += words
        kept += [] if schedule is None else [saved]
    checkpoint["lr_schedulers"] = kept
    return changes


def _compared(old: Settings, new: Settings) -> tuple[list[str], bool]:
    """Return the changes in words, and whether learning rates have to be set anew."""
    player, words, others = new["player"], list[str](), list[str]()
    for a, b in zip(old["groups"], new["groups"], strict=False):
        for name in b:
            if a.get(name, b[name]) != b[name]:
                said = f"{'learning rate' if name == 'lr' else name} {shown(a[name])} → {shown(b[name])}"
                (words if name == "lr" else others).append(f"the {player}'s {said}")
    if old["schedule"] != new["schedule"]:
        words.append(f"the {player}'s schedule {_call(old['schedule'])} → {_call(new['schedule'])}")
    return words + others, bool(words)


def _counts(one: Settings) -> tuple[str, int]:
    """Return what the schedule of a player counts, and in which steps."""
    schedule = one["schedule"] or {}
    return schedule.get("interval", "step"), schedule.get("frequency", 1)


def _call(schedule: Settings | None) -> str:
    if schedule is None:
        return "none"
    arguments = [f"{name}={shown(value)}" for name, value in schedule.items() if name != "kind"]
    return f"{schedule['kind']}({', '.join(arguments)})"


def _follow(schedule: Any, updates: int) -> None:
    """Take a new schedule to where it is after a number of updates."""
    if updates > _MOST_UPDATES:
        raise ValueError(f"the checkpoint's schedule counts {updates} updates; it is damaged: give another checkpoint.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its optimizer has made no step yet
        for _ in range(updates):
            schedule.step()
