"""Checkpoints that are there as a whole or not at all."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from typing_extensions import override

UNFINISHED = ".unfinished"


class CheckpointWriteError(OSError):
    """A checkpoint could not be written; the previous one is still there."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint to a file beside its place, and move it there once it is complete and on the disk.

    However a run ends, by SIGKILL during a save or by a full disk, a file of that name is a whole checkpoint: the new
    one or the previous one. Lightning writes to the system's folder for temporary files first, and copies where that
    is another disk, which a kill interrupts; it also holds a copy of the file in memory. A URL is left to Lightning.

    Give it to the Trainer: `Trainer(plugins=[AtomicCheckpointIO()])`; the command line does so.
    """

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint.

        Args:
            checkpoint: its content.
            path: where to write it.
            storage_options: for Lightning's own writer, which is used where they are given.

        Raises:
            CheckpointWriteError: where the disk is full or the folder is not writable.
        """
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        place = Path(path)
        unfinished = place.with_name(f"{place.name}{UNFINISHED}")
        handled = sys.exc_info()[1]  # where the save follows an error
        kept = place.is_file()
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, place)
        except BaseException as error:
            unfinished.unlink(missing_ok=True)
            if _is_interrupted(error, handled):  # torch hides Ctrl-C behind a RuntimeError of its own
                raise KeyboardInterrupt from None
            if not isinstance(error, OSError | RuntimeError):  # torch reports its own failure to write as the latter
                raise
            reason = _reason(error)
            if reason is None:
                raise
            left, then = "there is no earlier one", "start the run again"
            if kept or any(place.parent.glob("*.ckpt")):
                left = "the previous one is kept" if kept else "earlier checkpoints are kept"
                then = "resume with --ckpt_path last"
            raise CheckpointWriteError(
                f"the checkpoint {place} could not be written ({reason}); {left}. Make room or give another place, "
                f"then {then}."
            ) from error


def _is_interrupted(error: BaseException | None, handled: BaseException | None) -> bool:
    """Return whether an error is Ctrl-C or came of it, later than one that was being handled before."""
    while error is not None and error is not handled and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return isinstance(error, KeyboardInterrupt) and error is not handled


def _reason(error: BaseException | None) -> str | None:
    """Return the operating system's message from the chain of errors, None if there is none."""
    while error is not None:
        if isinstance(error, OSError):
            return error.strerror or type(error).__name__
        error = error.__cause__ or error.__context__
    return None
