"""A callback that keeps the records of a resumed run whole: each row of `metrics.csv` once."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor
from typing_extensions import override

from lightning_gans.attached import attached
from lightning_gans.cli.run_logger import RunLogger, Table
from lightning_gans.training import TrainingLog


class History(Callback):
    """Let a checkpoint and the rows of `metrics.csv` belong together.

    Rows are on the disk before the checkpoint. Lightning logs the row of a batch only after the checkpoint of that
    batch, so the checkpoint holds it. In a row, Lightning repeats the last values of the epoch that a batch did not
    log, such as the loss of a player that was not updated; the checkpoint holds these too. It also names the run, by
    which one that is saved outside of the run's folder is known to belong to it.

    Args:
        logger: the logger of the run's folder.
        is_resumed: whether the run continues in the folder of an earlier process.
    """

    def __init__(self, logger: RunLogger, is_resumed: bool):
        self.logger = logger
        self.is_resumed = is_resumed
        self._trainer: Trainer | None = None  # within an epoch, after the first of its batches here
        self._is_due = False  # whether the row of the current batch is still to come
        self._restored: dict[str, Any] = {}

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        values, table = self._restored.get("values", {}), self._table(trainer)
        if table is None or not self.is_resumed:
            return
        table.begin(pl_module.batches_seen, TrainingLog.is_due(trainer, pl_module))
        if self._restored.get("due") and not table.has(set(values), pl_module.batches_seen - 1):
            table.log_metrics(values, pl_module.batches_seen - 1)

    @override
    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Log the last values of the epoch again, which Lightning will repeat."""
        values, self._restored = self._restored.get("values", {}), {}
        if batch_idx and values:
            precise = torch.float32 if pl_module.device.type == "mps" else torch.float64
            numbers = {name: torch.tensor(x, dtype=precise) for name, x in values.items() if name != "epoch"}
            pl_module.log_dict(numbers, batch_size=1)

    @override
    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Note that Lightning will log this batch once the callbacks have saved their checkpoints."""
        self._trainer, self._is_due = trainer, TrainingLog.is_due(trainer, pl_module)
        if (table := self._table(trainer)) is not None:
            table.awaits_training = self._is_due

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._is_due = False

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._trainer = None
        if (table := self._table(trainer)) is not None:
            table.training = set()

    @override
    def state_dict(self) -> dict[str, Any]:
        """Return the run and, within an epoch, the last values of what it logs, and whether their row is to come."""
        run: dict[str, Any] = {"run": f"{self.logger.name}/version_{self.logger.version}"}
        trainer = self._trainer
        if trainer is None or not trainer.training:  # in validation Lightning would average over the processes here
            return run
        table = self._table(trainer)
        new = [name for log in attached(trainer, TrainingLog) for name in log.logged] if self._is_due else []
        known = trainer.logged_metrics
        names = {*new, *(() if table is None else table.training)}
        values = {name: known[name] for name in sorted(names) if name in known}
        numbers = {name: x.item() if isinstance(x, Tensor) else x for name, x in values.items()}
        if not numbers:
            return run
        return run | {"values": {**numbers, "epoch": trainer.current_epoch}, "due": self._is_due}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict

    @override
    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self.logger.save()

    def _table(self, trainer: Trainer) -> Table | None:
        """Return the rows in the first process, None in the others."""
        return self.logger.experiment if trainer.is_global_zero else None
