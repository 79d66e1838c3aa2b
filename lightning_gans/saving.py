"""Checkpoints that are there as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

UNFINISHED = ".unfinished"


class CannotSave(OSError):
    """A checkpoint that could not be written; the one before it is still there."""


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there once it is complete and on the disk.

    However a run ends, by SIGKILL in the middle of a save or by a full disk, a file of that name is a whole checkpoint:
    the new one or the one before. Lightning's own writes to the system's folder for temporary files first, and where
    that is another disk copies to the place, which a kill interrupts. It also holds a copy of the file in memory first.
    A place that is a URL is written by Lightning's.

    Give it to the Trainer: `Trainer(plugins=[WholeCheckpointIO()])`; the command line does.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint.

        Args:
            checkpoint: its content.
            path: where to.
            storage_options: none are taken.

        Raises:
            CannotSave: where there is no room, or no right to write.
        """
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        place = Path(path)
        unfinished = place.with_name(f"{place.name}{UNFINISHED}")
        kept = place.is_file()
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, place)
        except (OSError, RuntimeError) as error:  # torch reports its own failure to write as a RuntimeError
            unfinished.unlink(missing_ok=True)
            reason = _reason(error)
            if reason is None:
                raise
            left = "the one before is kept" if kept else "checkpoints that were written before are kept"
            raise CannotSave(
                f"the checkpoint {place} could not be written ({reason}); {left}. Make room or give another place, "
                "then go on with --ckpt_path last."
            ) from error


def _reason(error: BaseException | None) -> str | None:
    """The words of the operating system for what went wrong, wherever in the chain of errors they are."""
    while error is not None:
        if isinstance(error, OSError):
            return error.strerror or type(error).__name__
        error = error.__cause__ or error.__context__
    return None
