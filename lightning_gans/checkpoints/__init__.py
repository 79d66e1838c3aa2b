"""Checkpoints: read without running code from them, built of known classes alone, written whole or not at all."""

from lightning_gans.checkpoints.reading import check_fits, opened, read_checkpoint
from lightning_gans.checkpoints.trust import check_arguments, check_settings, class_of_checkpoint, class_that_made, find
from lightning_gans.checkpoints.writing import AtomicCheckpointIO, CheckpointWriteError

__all__ = [
    "AtomicCheckpointIO",
    "CheckpointWriteError",
    "check_arguments",
    "check_fits",
    "check_settings",
    "class_of_checkpoint",
    "class_that_made",
    "find",
    "opened",
    "read_checkpoint",
]
