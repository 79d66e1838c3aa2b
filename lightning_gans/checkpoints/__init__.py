"""Checkpoints: read without running code from them, built of known classes alone, written whole or not at all."""

from lightning_gans.checkpoints.contents import drop_unloadable, is_plain, unloadable
from lightning_gans.checkpoints.identity import how_to_load, name_of, portable, subclasses_named
from lightning_gans.checkpoints.reading import check_fits, opened, read_checkpoint, reason_of
from lightning_gans.checkpoints.trust import (
    check_arguments,
    check_settings,
    class_of_checkpoint,
    class_that_made,
    find,
    trust_module,
)
from lightning_gans.checkpoints.writing import AtomicCheckpointIO, CheckpointWriteError

__all__ = [
    "AtomicCheckpointIO",
    "CheckpointWriteError",
    "check_arguments",
    "check_fits",
    "check_settings",
    "class_of_checkpoint",
    "class_that_made",
    "drop_unloadable",
    "find",
    "how_to_load",
    "is_plain",
    "name_of",
    "opened",
    "portable",
    "read_checkpoint",
    "reason_of",
    "subclasses_named",
    "trust_module",
    "unloadable",
]
