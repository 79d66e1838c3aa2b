"""The training log: losses, what stabilizers added to them, gradient norms, learning rates and `GAN.metrics`."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from lightning_gans.step import Step
from lightning_gans.training.checks import is_gan
from lightning_gans.training.gradients import gradient_norms, total_norm


class TrainingLog(Callback):
    """Log the training every `log_every_n_steps` batches; `GAN` adds it where the Trainer has none.

    `loss/<player>` and `loss/<term>`, also on the progress bar; `<player>/learning_rate`; `gradients/<player>`, the
    norm of a player's whole gradient before clipping; and what `GAN.metrics` returns. `GAN` adds it as the first
    of the callbacks, so that the others find this batch's values in `trainer.callback_metrics`; one of your own belongs
    before `GradientClipping` too.

    A run that ends before its first logged batch, by Ctrl-C or an error too, logs its last one to the loggers alone.

    To log in another way, give the Trainer a subclass that overrides `on_train_batch_end`; to log more of a model,
    override `GAN.metrics`.

    Attributes:
        logged: the names that it logged last.
    """

    def __init__(self) -> None:
        self.logged: list[str] = []
        self._norms: dict[str, Tensor] = {}
        self._unlogged: int | None = 0  # the last batch of the current run, until one is logged

    @staticmethod
    def is_due(trainer: Trainer, pl_module: Any) -> bool:
        """Whether the current batch is logged; each key costs more than the rest of a small step."""
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        return bool(every) and is_gan(pl_module) and pl_module.batches_seen % every == 0

    @staticmethod
    def is_due_to_read(trainer: Trainer, pl_module: Any, every_n_batches: int) -> bool:
        """Whether what a guard keeps on the device is read now, where the CPU waits for it anyway or must at last.

        That is at batches that are logged, at every n-th one, and at the last of an epoch.
        """
        number, every = pl_module.batches_seen, trainer.log_every_n_steps  # type: ignore[attr-defined]
        return number % every_n_batches == 0 or bool(every and number % every == 0) or trainer.is_last_batch

    @override
    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Optimizer) -> None:
        if self.is_due(trainer, pl_module):
            _, norms = gradient_norms(optimizer)
            if norms:
                self._norms[pl_module.player_of(optimizer)] = total_norm(norms)

    @override
    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not self.is_due(trainer, pl_module):
            self._unlogged = None if self._unlogged is None or not is_gan(pl_module) else pl_module.batches_seen
            return
        self._unlogged = None
        steps, losses = _last_losses(pl_module, pl_module.batches_seen)
        pl_module.log_dict(losses, prog_bar=True, batch_size=1)
        metrics: dict[str, Tensor | float] = {
            f"{pl_module.player_of(optimizer)}/learning_rate": optimizer.param_groups[0]["lr"]
            for optimizer in trainer.optimizers
        }
        with torch.no_grad():
            metrics |= pl_module.metrics(steps)
        metrics |= {f"gradients/{player}": norm for player, norm in self._norms.items()}
        self._norms = {}
        precise = torch.promote_types(pl_module.dtype, torch.float32)  # Lightning would make them float32 in 64-true
        numbers = {
            name: torch.tensor(value, dtype=precise) for name, value in metrics.items() if isinstance(value, float)
        }
        pl_module.log_dict(metrics | numbers, batch_size=1)
        self.logged = [*losses, *metrics]

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        is_new = not is_gan(pl_module) or pl_module.batches_seen < every  # else the run has logged a batch before
        self._unlogged = 0 if is_new else None

    @override
    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._log_last(trainer, pl_module, trainer.current_epoch - 1)

    @override
    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        with suppress(Exception):  # the first error is the one to be seen
            self._log_last(trainer, pl_module, trainer.current_epoch)

    def _log_last(self, trainer: Trainer, gan: Any, epoch: int) -> None:
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        replaced = type(self).on_train_batch_end is not TrainingLog.on_train_batch_end
        if not self._unlogged or not every or replaced:
            return
        steps, losses = _last_losses(gan, self._unlogged)
        with torch.no_grad():
            metrics = {name: float(value) for name, value in (losses | gan.metrics(steps)).items()}
        for logger in trainer.loggers:  # the module's own log is closed by now
            logger.log_metrics({**metrics, "epoch": epoch}, step=self._unlogged - 1)
        self._unlogged = None


def _last_losses(gan: Any, batch: int) -> tuple[dict[str, Step], dict[str, Any]]:
    """Return the steps of a batch, and by name the losses and what stabilizers added to them."""
    steps = {player: step for player, step in gan.last_steps.items() if step.batch == batch}
    losses = {f"loss/{player}": step.loss for player, step in steps.items()}
    losses |= {f"loss/{name}": term for step in steps.values() for name, term in step.terms.items()}
    return steps, losses
