"""A callback that saves the end of a run, where no other checkpoint has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from typing_extensions import override

from lightning_gans.checkpoints import read_checkpoint
from lightning_gans.training.kept_checkpoints import last_path


class SaveAtEnd(Checkpoint):
    """When training ends, save `last.ckpt` unless a checkpoint of its last batch is there.

    Checkpoints that are saved every so many batches or epochs, or where a score is best, leave out the rest of the run.
    It needs a `ModelCheckpoint` that saves anything, in whose folder it saves. The command line adds it to every run.
    """

    @override
    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        keepers = [one for one in trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint)]
        keeper = next((one for one in keepers if one.dirpath and (one.save_top_k or one.save_last)), None)
        if keeper is None or trainer.fast_dev_run:  # type: ignore[attr-defined] # set by one of the Trainer's parts
            return
        weights_only = all(one.save_weights_only for one in keepers)
        own = [
            path for one in keepers for path in (one.last_model_path, *one.best_k_models, one.best_model_path) if path
        ]
        if trainer.strategy.broadcast(_is_due(str(keeper.dirpath), own, trainer.global_step)):
            path = str(trainer.strategy.broadcast(str(last_path(trainer, keeper))))
            trainer.save_checkpoint(path, weights_only=weights_only)
            keeper.last_model_path = path


def _is_due(folder: str, own: list[str], steps: int) -> bool:
    """Return whether none of the checkpoints that this run has saved is from after so many steps."""
    return "://" not in folder and all(_steps_of(Path(path)) != steps for path in own)


def _steps_of(path: Path) -> int:
    try:
        return int(read_checkpoint(path).get("global_step", -1))
    except (ValueError, TypeError):
        return -1
