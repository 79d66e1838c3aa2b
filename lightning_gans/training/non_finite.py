"""NaN and infinity in training: which update brought the first of them, found without a device sync at every step."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from lightning_gans.arguments import whole
from lightning_gans.attached import attached
from lightning_gans.training.checks import is_gan
from lightning_gans.training.ending import ending
from lightning_gans.training.gradients import gradient_norms
from lightning_gans.training.training_log import TrainingLog
from lightning_gans.training.updates import Update, are_finite, describe, kept


class NonFiniteError(FloatingPointError):
    """Ends a run whose losses, gradients or weights are NaN or infinite."""


@dataclass
class NonFinite:
    """The first update with NaN or infinity.

    Attributes:
        batch: the batch of the update, counted from 1.
        player: whose update it was, "generator" or "discriminator".
        words: what was wrong, with the loss and what stabilizers added to it.
        process: the rank of the process, where there are several.
        in_loss: whether the loss itself was not finite; an average of gradients spreads NaN to all processes.
    """

    batch: int
    player: str
    words: str
    process: int = 0
    in_loss: bool = False


class NonFiniteGuard(Callback):
    """End a run whose losses, gradients or weights become NaN or infinite; `GAN` adds it where the Trainer has none.

    The loss and the gradient norms of every update are kept on the device, and read together at every 50th batch, at
    those that are logged, at the last of an epoch, before each checkpoint, and when another callback calls `check`. The
    message names the exact batch, player and terms however much later that is; of several updates of one player on a
    batch, it gives the loss of the last. A checkpoint with NaN in its weights is refused.

    Before it raises `NonFiniteError`, the guard calls `on_non_finite(trainer, gan, found)` of every callback that has
    the method; one that returns True has restored an earlier state, and training continues.

    With a gradient scaler (16-mixed) an overflow is no failure: the scaler skips that player's update and halves its
    scale. A scale below 1 with gradients that still overflow is one.

    Args:
        every_n_batches: batches between checks, at least 1.
    """

    saves_with_weights = True
    """Whether `on_save_checkpoint` is also called for checkpoints of weights alone, see `GAN.on_save_checkpoint`."""

    def __init__(self, every_n_batches: int = 50) -> None:
        whole(self, 1, every_n_batches=every_n_batches)
        self.every_n_batches = every_n_batches
        self.found: NonFinite | None = None
        self._pending: list[Update] = []
        self._gradients: dict[str, list[tuple[list[Tensor], list[Tensor]]]] = {}
        self._players: dict[Optimizer, str] = {}

    def check(self, trainer: Trainer, pl_module: Any) -> bool:
        """Check at the end of a batch, before this callback's own hook, in all processes together.

        Args:
            trainer: of the run.
            pl_module: the model in training.

        Returns:
            Whether an earlier state was restored.

        Raises:
            NonFiniteError: where NaN or infinity was found, and no earlier state was restored.
        """
        self._collect(pl_module)
        return self._check(trainer, pl_module)

    # ---------------------------------------------------------------- hooks

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._reset()
        if getattr(trainer.precision_plugin, "scaler", None) is not None:  # the scaler may skip the first update
            warnings.filterwarnings("ignore", message=r"Detected call of `lr_scheduler\.step\(\)` before")

    @override
    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Optimizer) -> None:
        parameters, norms = gradient_norms(optimizer) if is_gan(pl_module) else ([], [])
        if norms:
            if optimizer not in self._players:
                self._players[optimizer] = pl_module.player_of(optimizer)
            self._gradients.setdefault(self._players[optimizer], []).append((norms, parameters))

    @override
    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not is_gan(pl_module):
            return
        self._collect(pl_module)
        if TrainingLog.is_due_to_read(trainer, pl_module, self.every_n_batches):
            self._check(trainer, pl_module)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._find(trainer, pl_module)
        self._refuse(trainer)  # an earlier state is of no use to a run that is over
        self._reset()

    @override
    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn != TrainerFn.FITTING or trainer.state.stage is None:
            return  # not in training: what there is may be saved, to be examined
        if not is_gan(pl_module):
            return
        self._collect(pl_module)
        if self._find(trainer, pl_module) is None:
            found = _in_weights(pl_module, checkpoint["state_dict"], max(1, pl_module.batches_seen))
            self.found = _first_of_all(trainer, found)
        self._refuse(trainer)

    # ---------------------------------------------------------------- what they do

    def _reset(self) -> None:
        self.found, self._pending, self._gradients, self._players = None, [], {}, {}

    def _collect(self, gan: Any) -> None:
        """Keep the updates of the current batch until the next check; a second call finds none."""
        batch = gan.batches_seen
        for player, gradients in self._gradients.items():
            step = gan.last_steps.get(player)
            step = step if step is not None and step.batch == batch else None
            self._pending += [kept(batch, player, step, *pair) for pair in gradients]
        self._gradients = {}

    def _find(self, trainer: Trainer, gan: Any) -> NonFinite | None:
        """Return the first non-finite update since the last check, or an earlier find; the CPU waits for the device."""
        pending, self._pending = self._pending, []
        if self.found is None and pending:
            bad = [update for update, finite in zip(pending, are_finite(pending), strict=True) if not finite]
            self.found = _first_of_all(trainer, _diagnosed(trainer, gan, bad))
        return self.found

    def _check(self, trainer: Trainer, gan: Any) -> bool:
        found = self._find(trainer, gan)
        if found is None:
            return False
        handlers = [getattr(callback, "on_non_finite", None) for callback in attached(trainer, Callback)]
        restored = any([handler(trainer, gan, found) for handler in handlers if handler is not None])
        if restored:
            self._reset()
        self._refuse(trainer)
        return restored

    def _refuse(self, trainer: Trainer) -> None:
        if self.found is not None:
            where = f" in process {self.found.process}" if trainer.world_size > 1 else ""
            raise NonFiniteError(ending(trainer, self.found.batch, self.found.words + where))


def _diagnosed(trainer: Trainer, gan: Any, bad: list[Update]) -> NonFinite | None:
    """Return the first bad update or, with a scaler, the last one once the scale is below 1."""
    if not bad:
        return None
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    if scaler is None or not scaler.is_enabled():
        first = bad[0]
        return NonFinite(first.batch, first.player, describe(gan, first), in_loss=not bool(first.loss.isfinite()))
    scale = scaler.get_scale()
    if scale >= 1:
        return None
    words = f"the scale of 16-bit gradients has fallen to {scale:.3g}, and they still overflow"
    return NonFinite(bad[-1].batch, bad[-1].player, f"{words}: {describe(gan, bad[-1])}")


def _in_weights(gan: Any, state: dict[str, Any], batch: int) -> NonFinite | None:
    """Find NaN or infinity in the weights of a module or of its checkpoint; a buffer may be infinite, as masks are."""
    buffers = {name for name, _ in gan.named_buffers()}

    def broken(named: Iterable[tuple[str, Any]]) -> list[str]:
        tensors = {name: one for name, one in named if isinstance(one, Tensor) and one.is_floating_point()}
        verdicts = [(one.isnan() if name in buffers else ~one.isfinite()).any() for name, one in tensors.items()]
        marks = torch.stack([verdict.to(gan.device) for verdict in verdicts]).tolist() if verdicts else []
        return [name for name, mark in zip(tensors, marks, strict=True) if mark]

    names = broken(gan.named_parameters()) or broken(state.items())
    if not names:
        return None
    player = "discriminator" if names[0].startswith("discriminator.") else "generator"
    return NonFinite(batch, player, f"{names[0]} holds NaN or infinity, though losses and gradients were finite")


def _first_of_all(trainer: Trainer, found: NonFinite | None) -> NonFinite | None:
    """Return the first find of all processes, so that all of them end together."""
    if trainer.world_size == 1 or not trainer.strategy.reduce_boolean_decision(found is not None, all=False):
        return found
    if found is not None:
        found.process = trainer.global_rank
    everywhere: list[NonFinite | None] = [found]
    if dist.is_available() and dist.is_initialized():
        everywhere = [None] * trainer.world_size
        dist.all_gather_object(everywhere, found)
    finds = (one for one in everywhere if one is not None)
    return min(finds, key=lambda one: (one.batch, not one.in_loss), default=None)
