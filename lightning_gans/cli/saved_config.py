"""A callback that saves the config of a run in its folder, and that of its earlier part where a resume changes it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import WandbLogger
from typing_extensions import override


class SavedConfig(SaveConfigCallback):
    """Save the config in the run's folder, and send it to W&B where the run is logged there.

    With `overwrite`, for a run that is resumed in its folder, the config is saved once everything is restored. Where it
    differs from that of the earlier part, that one is kept as `config_until_batch_<number>.yaml`.
    """

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not self.overwrite:
            super().setup(trainer, pl_module, stage)

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        folder = trainer.log_dir  # every process must ask, since Lightning has them agree on it
        if not self.overwrite or folder is None:
            return
        path = Path(folder, self.config_filename)
        earlier = path.with_name(f"{path.stem}_until_batch_{pl_module.batches_seen}{path.suffix}")
        new, self.config_filename = path.with_name(f"{path.name}.unfinished"), f"{path.name}.unfinished"
        super().setup(trainer, pl_module, "fit")
        self.config_filename = path.name
        if not trainer.is_global_zero:
            return
        if path.is_file() and path.read_bytes() != new.read_bytes() and not earlier.is_file():
            earlier.write_bytes(path.read_bytes())
        os.replace(new, path)

    @override
    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                config = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
                logger.experiment.config.update(config, allow_val_change=True)
