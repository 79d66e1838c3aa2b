"""The last healthy checkpoint of a run, which a failure restores while training continues."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer

from lightning_gans.attached import attached
from lightning_gans.gan import GAN
from lightning_gans.stabilizer import Stabilizer

_EVERY, _SELDOM = 5, 20  # readings between healthy checkpoints, for rollbacks and for `lightning-gans rescue`


class Rollback:
    """Saves healthy checkpoints, and restores the last one.

    Attributes:
        count: how often one was restored.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self.count = 0
        self._batch = 0

    def is_due(self, trainer: Trainer, readings: int, restores: bool) -> bool:
        """Return whether to save after a number of readings; seldom, and beside others, unless it `restores`."""
        if restores:
            return readings % _EVERY == 0
        return bool(trainer.checkpoint_callbacks and trainer.loggers) and readings % _SELDOM == 0

    def save(self, trainer: Trainer, folder: Path | None, batch: int) -> Path:
        """Replace the last healthy checkpoint by the current state, after `batch` batches, and return its path."""
        path = Path(folder or trainer.default_root_dir, "checkpoints", "healthy.ckpt")
        trainer.save_checkpoint(path, weights_only=False)
        self._path, self._batch = path, batch
        return path

    def restore(self, trainer: Trainer, gan: GAN) -> str:
        """Restore networks, optimizers and stabilizers, with half of the learning rates; new batches follow.

        Returns:
            What was restored, in words; "" where there is no healthy checkpoint yet.
        """
        if self._path is None:
            return ""
        self.count += 1
        checkpoint = torch.load(self._path, map_location="cpu", weights_only=True)
        gan.on_load_checkpoint(checkpoint)
        for stabilizer in attached(trainer, Stabilizer):
            stabilizer.on_load_checkpoint(trainer, gan, checkpoint)
            if stabilizer.state_key in checkpoint["callbacks"]:
                stabilizer.load_state_dict(checkpoint["callbacks"][stabilizer.state_key])
        gan.load_state_dict(checkpoint["state_dict"])
        for optimizer, saved in zip(trainer.optimizers, checkpoint["optimizer_states"], strict=True):
            optimizer.load_state_dict(saved)
            for group in optimizer.param_groups:
                group["lr"] *= 0.5**self.count
        for config in trainer.lr_scheduler_configs:
            _halve(config.scheduler)
        return f"rolled back to batch {self._batch}, learning rates multiplied by {0.5**self.count:g}"


def _halve(schedule: Any) -> None:
    """Halve the rates from which a schedule, or each of those that it consists of, computes others."""
    for part in getattr(schedule, "_schedulers", ()):
        _halve(part)
    if hasattr(schedule, "base_lrs"):
        schedule.base_lrs = [rate / 2 for rate in schedule.base_lrs]
