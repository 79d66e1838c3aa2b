"""A callback that saves the end of a run, where no other checkpoint has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from typing_extensions import override

from lightning_gans.checkpoints import read_checkpoint


class SaveAtEnd(Checkpoint):
    """When training ends, save `last.ckpt` unless a checkpoint of its last batch is there.

    Checkpoints that are saved every so many batches or epochs, or where a score is best, leave out the rest of the run.
    It needs a `ModelCheckpoint` that saves anything, in whose folder it saves. The command line adds it to every run.
    """

    @override
    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        keepers = [one for one in trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint)]
        folder = next((one.dirpath for one in keepers if one.dirpath and (one.save_top_k or one.save_last)), None)
        if folder is None or trainer.fast_dev_run:  # type: ignore[attr-defined] # set by one of the Trainer's parts
            return
        weights_only = all(one.save_weights_only for one in keepers)
        if trainer.strategy.broadcast(_is_due(str(folder), trainer.global_step)):
            trainer.save_checkpoint(Path(folder, "last.ckpt"), weights_only=weights_only)


def _is_due(folder: str, steps: int) -> bool:
    """Return whether last.ckpt, or the newest checkpoint where there is none, is not from after so many steps."""
    if "://" in folder:
        return False
    last = Path(folder, "last.ckpt")
    others = [path for path in Path(folder).glob("*.ckpt") if path.name != "healthy.ckpt"]
    newest = last if last.is_file() else max(others, key=lambda path: path.stat().st_mtime_ns, default=last)
    return _steps_of(newest) != steps


def _steps_of(path: Path) -> int:
    try:
        return int(read_checkpoint(path).get("global_step", -1))
    except (ValueError, TypeError):
        return -1
