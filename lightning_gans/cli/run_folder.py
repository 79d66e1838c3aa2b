"""The folder of a run, runs/<experiment>/version_<number>/, and the loggers that write into it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

_WRITTEN_BEFORE_TRAINING = ("config.yaml", "hparams.yaml", "metrics.csv")


class RunFolder:
    """The next version of an experiment, with the logger that writes its `metrics.csv`.

    Args:
        runs: the folder of all experiments.
        experiment: the name of the experiment, a folder in it.
    """

    def __init__(self, runs: str, experiment: str):
        self.experiment = Path(runs, experiment)
        self.logger = CSVLogger(runs, name=experiment, flush_logs_every_n_steps=1)
        self.path = Path(self.logger.log_dir)
        self._new = [place for place in (self.path, self.path.parent, Path(runs)) if not os.path.exists(place)]

    def remove_if_unused(self) -> None:
        """Remove the folders that this command created, where they hold no more than is written before training."""
        with suppress(OSError, ValueError):  # another run has begun in one, or no folder can have the name
            for folder in self._new:
                files = list(folder.iterdir()) if folder.is_dir() else []
                if all(path.name in _WRITTEN_BEFORE_TRAINING for path in files):
                    for path in files:
                        path.unlink()
                    folder.rmdir()

    def place_loggers(self, loggers: Any) -> None:
        """Let the loggers of a config, one or a list, write into this folder unless they have one of their own."""
        for logger in loggers if isinstance(loggers, list) else [loggers]:
            if isinstance(logger, Namespace) and "save_dir" in logger.get("init_args", {}):
                place_logger(str(self.path), logger)


def place_logger(folder: str, logger: Namespace) -> None:
    """Let the config of a logger name a run's folder, unless it names one of its own."""
    own = logger.init_args.get("save_dir")
    if logger.class_path.endswith("TensorBoardLogger") and own == "runs":
        logger.init_args.update(Namespace(save_dir=folder, name="", version=""))
    elif logger.class_path.endswith("WandbLogger") and own in (None, "."):
        first = getattr(rank_zero_only, "rank", 0) == 0 and os.environ.get("NODE_RANK", "0") == "0"
        if first:  # another process may already see this version's folder, and count one further
            Path(folder).mkdir(parents=True, exist_ok=True)
        logger.init_args.save_dir = str(Path(folder).resolve())  # W&B's process may have another working directory
