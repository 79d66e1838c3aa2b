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
    for callback in trainer.checkpoint_callbacks:
        state = states.get(callback.state_key)
        if not isinstance(callback, ModelCheckpoint) or not isinstance(state, dict) or not callback.dirpath:
            continue
        if "://" not in str(callback.dirpath) and Path(callback.dirpath).resolve() == home:
            _relocate(callback, state, str(callback.dirpath))


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
