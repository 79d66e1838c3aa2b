"""The records of checkpoint callbacks, which a resumed run finds again wherever its folder is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


def relocate(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    """Let the records in a checkpoint name its folder as it is now, where the run continues saving in that folder.

    Lightning drops the best score so far, and with it the best checkpoint, where the folder has another name than
    when the checkpoint was saved: moved, or given as an absolute path.
    """
    states, path = checkpoint.get("callbacks"), str(trainer.ckpt_path)
    if not isinstance(states, dict) or "://" in path:
        return
    home = Path(path).resolve().parent
    keys = {one.state_key for one in trainer.checkpoint_callbacks}
    for callback in trainer.checkpoint_callbacks:
        if not isinstance(callback, ModelCheckpoint) or not callback.dirpath:
            continue
        state = states.get(callback.state_key) or _of_other_interval(callback, states, keys)
        if not isinstance(state, dict):
            continue
        states[callback.state_key] = state
        if "://" not in str(callback.dirpath) and Path(callback.dirpath).resolve() == home:
            _relocate(callback, state, str(callback.dirpath))


def _of_other_interval(callback: ModelCheckpoint, states: dict[str, Any], keys: set[str]) -> dict[str, Any] | None:
    """Return the state of a callback with the same metric, which was asked to save at other intervals."""
    same = callback.state_key.partition(", 'every_n_train_steps'")[0]
    return next((dict(one) for key, one in states.items() if key.startswith(same) and key not in keys), None)


def _relocate(callback: ModelCheckpoint, state: dict[str, Any], folder: str) -> None:
    before = state.get("dirpath")

    def moved(path: str) -> str:
        return os.path.join(folder, os.path.basename(path)) if path and os.path.dirname(path) == before else path

    state["best_k_models"] = {moved(path): score for path, score in state.get("best_k_models", {}).items()}
    for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
        state[name] = moved(state.get(name, ""))
    last = os.path.join(folder, f"{callback.CHECKPOINT_NAME_LAST}{callback.FILE_EXTENSION}")
    if callback.save_last and not state["last_model_path"] and os.path.isfile(last):
        state["last_model_path"] = last  # saved after this checkpoint; else the next would be last-v1.ckpt
    state["dirpath"] = folder
    callback.current_score = state.get("current_score")  # which Lightning saves and does not restore


def folders(trainer: Trainer) -> list[str]:
    """Return the folders, or URLs, in which a run has saved checkpoints."""
    found: dict[str, None] = {}
    for keeper in _keepers(trainer):
        paths = (keeper.last_model_path, keeper.best_model_path, *keeper.best_k_models)
        if keeper.dirpath and any(path.startswith(str(keeper.dirpath)) for path in paths):
            found[str(keeper.dirpath)] = None
    return list(found)


def monitoring(trainer: Trainer) -> list[ModelCheckpoint]:
    """Return the checkpoint callbacks that have kept a best checkpoint, by a metric."""
    return [
        one for one in _keepers(trainer) if one.monitor and one.best_model_path and one.best_model_score is not None
    ]


def last_saved(trainer: Trainer) -> str:
    """Return the checkpoint of a run that was saved last, as far as its callbacks know; "" for none."""
    keepers = _keepers(trainer)
    paths = [one.last_model_path for one in keepers]
    paths += [one.best_model_path for one in sorted(keepers, key=lambda one: one.monitor is not None)]
    return next(filter(None, paths), "")


def best_or_last(trainer: Trainer) -> str:
    """Return the checkpoint with the best score, by the first metric that is monitored, else the last; "" for none."""
    return next((one.best_model_path for one in monitoring(trainer)), last_saved(trainer))


def _keepers(trainer: Trainer) -> list[ModelCheckpoint]:
    return [one for one in trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint)]


def last_path(trainer: Trainer, keeper: Any) -> Path:
    """Return where a run saves its end: its own last.ckpt, or a free name beside that of another run."""
    if getattr(keeper, "last_model_path", ""):
        return Path(keeper.last_model_path)
    path, number = Path(keeper.dirpath, "last.ckpt"), 0
    while path.is_file() and (
        not trainer.ckpt_path or path.resolve().parent != Path(str(trainer.ckpt_path)).resolve().parent
    ):
        number += 1
        path = path.with_name(f"last-v{number}.ckpt")
    return path
