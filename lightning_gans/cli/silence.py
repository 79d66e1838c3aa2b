"""Lightning's advertisement and its warnings that do not concern the user of this library."""

from __future__ import annotations

import logging
import warnings

_OF_NO_CONCERN = (
    ".*does not have many workers.*",
    ".*smaller than the logging interval.*",
    ".*across ranks is zero.*",  # data without a validation split
    ".*isinstance.treespec, LeafSpec.*",
    "The dirpath has changed from.*",  # a command or a run with another folder than the checkpoint's, which is said
    "Checkpoint directory .* exists and is not empty.*",  # a resumed run continues in its folder
    "Using ModelCheckpoint with manual optimization.*",  # a checkpoint is to hold the state after its batch, to resume
    "Be aware that when using `ckpt_path`, callbacks used.*",  # RunSettings says what has changed
)


def silence() -> None:
    """Leave them out."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_advertisement)
    for message in _OF_NO_CONCERN:
        warnings.filterwarnings("ignore", message=message)


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    return "Tip: For seamless cloud" not in record.getMessage()
