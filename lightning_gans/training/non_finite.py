"""NaN and infinity in training: which update brought the first of them, found without a device sync at every step."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
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
from lightning_gans.step import Step
from lightning_gans.training.gradients import gradient_norms
from lightning_gans.training.training_log import TrainingLog


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
    """

    batch: int
    player: str
    words: str
    process: int = 0


@dataclass
class _Update:
    """What is kept of one player's update until the next check: tensors on its device, but no samples."""

    batch: int
    player: str
    loss: Tensor
    terms: dict[str, Tensor]
    logits: dict[str, Tensor | None]
    norms: list[Tensor]
    parameters: list[Tensor]


class NonFiniteGuard(Callback):
    """End a run whose losses, gradients or weights become NaN or infinite; `GAN` adds it where the Trainer has none.

    The loss and the gradient norms of every update are kept on the device, and read together at every 50th batch, at
    those that are logged, at the last of an epoch, before each checkpoint and where another callback calls `check`. The
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
        self._pending: list[_Update] = []
        self._gradients: dict[str, list[tuple[list[Tensor], list[Tensor]]]] = {}

    def check(self, trainer: Trainer, pl_module: Any, outputs: Any) -> bool:
        """Check at the end of a batch, before this callback's own hook, in all processes together.

        Args:
            trainer: of the run.
            pl_module: the model in training.
            outputs: as in `on_train_batch_end`, from which this is called.

        Returns:
            Whether an earlier state was restored.

        Raises:
            NonFiniteError: where NaN or infinity was found, and no earlier state was restored.
        """
        self._collect(pl_module, outputs)
        return self._check(trainer, pl_module)

    # ---------------------------------------------------------------- hooks

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._reset()

    @override
    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Optimizer) -> None:
        parameters, norms = gradient_norms(optimizer)
        if norms:
            self._gradients.setdefault(pl_module.player_of(optimizer), []).append((norms, parameters))

    @override
    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._collect(pl_module, outputs)
        due = TrainingLog.is_due(trainer, pl_module) or pl_module.batches_seen % self.every_n_batches == 0
        if due or trainer.is_last_batch:
            self._check(trainer, pl_module)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._check(trainer, pl_module)
        self._reset()

    @override
    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn != TrainerFn.FITTING or trainer.state.stage is None:
            return  # not in training: what there is may be saved, to be examined
        if self._find(trainer, pl_module) is None:
            found = _in_weights(pl_module, checkpoint["state_dict"], max(1, pl_module.batches_seen))
            self.found = _first_of_all(trainer, found)
        self._refuse(trainer)

    # ---------------------------------------------------------------- what they do

    def _reset(self) -> None:
        self.found, self._pending, self._gradients = None, [], {}

    def _collect(self, gan: Any, outputs: Any) -> None:
        """Keep the updates of the current batch until the next check; a second call finds none."""
        for player, gradients in self._gradients.items():
            if player in outputs:
                self._pending += [_kept(gan.batches_seen, player, outputs[player], *pair) for pair in gradients]
        self._gradients = {}

    def _find(self, trainer: Trainer, gan: Any) -> NonFinite | None:
        """Return the first non-finite update since the last check, or an earlier find; the CPU waits for the device."""
        pending, self._pending = self._pending, []
        if self.found is None and pending:
            bad = [update for update, finite in zip(pending, _are_finite(pending), strict=True) if not finite]
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


def ending(trainer: Trainer, batch: int, words: str) -> str:
    """Return why the run ends, which checkpoint is left and what helps, in one line."""
    kept = last_checkpoint(trainer)
    left = f"the last good checkpoint is {kept}" if kept else "there is no checkpoint yet"
    precise = ", train in bf16-mixed or 32-true" if str(trainer.precision).startswith("16") else ""
    return (
        f"batch {batch}: {words}. The run ends here; {left}. Lower the learning rates, clip the gradients "
        f"(generator_clip, discriminator_clip){precise}, or find the operation with the Trainer's detect_anomaly."
    )


def last_checkpoint(trainer: Trainer) -> str:
    """Return the newest checkpoint of the run's callbacks, all of which are finite; "" for none."""
    folders = {getattr(callback, "dirpath", None) for callback in trainer.checkpoint_callbacks}
    files = [file for folder in folders if folder for file in Path(folder).glob("*.ckpt") if file.is_file()]
    healthy = [getattr(callback, "healthy_checkpoint", None) for callback in attached(trainer, Callback)]
    files += [file for file in healthy if file is not None and file.is_file()]
    if not files:
        return ""
    newest = max(files, key=lambda file: file.stat().st_mtime_ns)
    return os.path.relpath(newest) if newest.is_relative_to(Path.cwd()) else str(newest)


def _kept(batch: int, player: str, step: Step, norms: list[Tensor], parameters: list[Tensor]) -> _Update:
    logits = {"real": step.real_logits, "fake": step.fake_logits} if player == "discriminator" else {}
    return _Update(batch, player, step.loss, step.terms, logits, norms, parameters)


def _are_finite(updates: list[_Update]) -> list[bool]:
    """Return for each update whether its loss and gradient are finite."""
    values = [value for update in updates for value in (update.loss, *update.norms)]
    finite = iter(torch.stack([value.float().reshape(()) for value in values]).isfinite().tolist())
    return [all([next(finite) for _ in range(1 + len(update.norms))]) for update in updates]


def _diagnosed(trainer: Trainer, gan: Any, bad: list[_Update]) -> NonFinite | None:
    """Return the first bad update or, with a scaler, the last one once the scale is below 1."""
    if not bad:
        return None
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    if scaler is None or not scaler.is_enabled():
        return NonFinite(bad[0].batch, bad[0].player, _describe(gan, bad[0]))
    scale = scaler.get_scale()
    if scale >= 1:
        return None
    words = f"the scale of 16-bit gradients has fallen to {scale:.3g}, and they still overflow"
    return NonFinite(bad[-1].batch, bad[-1].player, f"{words}: {_describe(gan, bad[-1])}")


def _describe(gan: Any, update: _Update) -> str:
    loss = float(update.loss)
    names = {id(parameter): name for name, parameter in getattr(gan, update.player).named_parameters()}
    wrong = [
        (names.get(id(parameter), "a parameter"), float(norm))
        for parameter, norm in zip(update.parameters, update.norms, strict=True)
        if not math.isfinite(norm)
    ]
    if not math.isfinite(loss):
        words = f"the {update.player}'s loss is {loss}"
        finite = {kind: bool(values.isfinite().all()) for kind, values in update.logits.items() if values is not None}
        if finite == {"real": False, "fake": True}:
            words += ", through the logits of real samples only (check the data)"
        elif finite == {"real": True, "fake": False}:
            words += ", through the logits of fakes only"
    else:
        several = f" and of {len(wrong) - 1} more parameters" if len(wrong) > 1 else ""
        words = f"the {update.player}'s gradient of {wrong[0][0]}{several} is {wrong[0][1]}, with a loss of {loss:.4g}"
    terms = ", ".join(f"{name} {float(term):.4g}" for name, term in update.terms.items())
    return words + (f"; stabilizers added {terms}" if terms else "; no stabilizer added a term")


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
    return min((one for one in everywhere if one is not None), key=lambda one: one.batch, default=None)
