"""Numbers that are none: whose step brought the first of them, told without waiting for the device at every step."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

if TYPE_CHECKING:
    from lightning_gans.gan import GAN, Step


class NotFinite(FloatingPointError):
    """Ends a run whose losses, gradients or weights are no numbers any more."""


@dataclass
class Broken:
    """The first step whose numbers were none.

    Attributes:
        batch: in which it was taken, counted from 1.
        player: who took it, "generator" or "discriminator".
        words: what was wrong, with the loss and what stabilizers added to it.
        process: in which process, where there are several.
    """

    batch: int
    player: str
    words: str
    process: int = 0


@dataclass
class _Noted:
    """One player's step, on its device."""

    batch: int
    player: str
    loss: Tensor
    terms: dict[str, Tensor]
    logits: dict[str, Tensor | None]
    norms: list[Tensor]
    parameters: list[Tensor]


class Watch:
    """Notes the loss and the gradient of every step of a run, and finds the first that is no number.

    A note is kept on the device, for which nothing waits; `look` reads all of them at once. The game looks at every
    50th batch, at those that are logged, at the last of an epoch and before each checkpoint. What it finds names the
    exact batch, player and terms, however much later that is.

    With a gradient scaler (16-mixed) an overflow is no failure: the scaler leaves out that player's step and halves
    its scale. A scale below 1 with gradients that still overflow is one.
    """

    def __init__(self) -> None:
        self.batch = 0  # the one that is played, from 1; 0 outside of a run
        self.broken: Broken | None = None
        self._noted: list[_Noted] = []
        self._gradient: tuple[str, list[Tensor], list[Tensor]] | None = None

    def begin(self) -> None:
        """Forget what was noted, as at the start of a run and after the game was set back."""
        self.broken, self._noted = None, []

    def note_gradient(self, player: str, parameters: list[Tensor]) -> list[Tensor]:
        """The norm of each parameter's gradient, kept for the step that is under way."""
        norms = list(torch._foreach_norm([parameter.grad for parameter in parameters]))  # type: ignore[misc]
        self._gradient = player, norms, parameters
        return norms

    def note(self, step: Step) -> None:
        """Keep what a step came to, which is detached, once its gradient was noted."""
        if self._gradient is None:
            return
        player, norms, parameters = self._gradient
        logits = {"real": step.real_logits, "fake": step.fake_logits} if player == "discriminator" else {}
        self._noted.append(_Noted(self.batch, player, step.loss, step.terms, logits, norms, parameters))
        self._gradient = None

    def look(self, gan: GAN) -> Broken | None:
        """The first broken step since the last look, or an earlier find; here the CPU waits for the device."""
        noted, self._noted = self._noted, []
        if self.broken is None and noted:
            bad = [step for step, finite in zip(noted, _all_finite(noted), strict=True) if not finite]
            self.broken = _agreed(gan.trainer, _judged(gan, bad))
        return self.broken

    def refuse(self, gan: GAN, checkpoint: dict[str, Any]) -> None:
        """Raise `NotFinite` before a run keeps a broken game, which would replace the last good one."""
        state = gan.trainer.state
        if state.fn != TrainerFn.FITTING or state.stage is None:
            return  # nothing of a run's; somebody wants to look at what there is
        if self.look(gan) is None:
            self.broken = _agreed(gan.trainer, _of_weights(gan, checkpoint["state_dict"], max(1, self.batch)))
        self.check(gan)

    def check(self, gan: GAN) -> None:
        """Raise `NotFinite` where a look has found a broken step."""
        if self.broken is not None:
            where = f" in process {self.broken.process}" if gan.trainer.world_size > 1 else ""
            raise NotFinite(ends(gan.trainer, self.broken.batch, self.broken.words + where))


def ends(trainer: Trainer, batch: int, words: str) -> str:
    """Why the run ends, what is left of it and what helps, in one line."""
    kept = last_checkpoint(trainer)
    left = f"the last good checkpoint is {kept}" if kept else "there is no checkpoint yet"
    precise = ", train in bf16-mixed or 32-true" if str(trainer.precision).startswith("16") else ""
    return (
        f"batch {batch}: {words}. The run ends here; {left}. Lower the learning rates, bound the gradients "
        f"(generator_clip, discriminator_clip){precise}, or find the operation with the Trainer's detect_anomaly."
    )


def last_checkpoint(trainer: Trainer) -> str:
    """The newest checkpoint that the run's callbacks keep, all of which are good; "" for none."""
    folders = {getattr(callback, "dirpath", None) for callback in trainer.checkpoint_callbacks}
    files = [file for folder in folders if folder for file in Path(folder).glob("*.ckpt") if file.is_file()]
    healthy = [getattr(callback, "healthy_checkpoint", None) for callback in trainer.callbacks]  # type: ignore[attr-defined]
    files += [file for file in healthy if file is not None and file.is_file()]
    if not files:
        return ""
    newest = max(files, key=lambda file: file.stat().st_mtime_ns)
    return os.path.relpath(newest) if newest.is_relative_to(Path.cwd()) else str(newest)


def _all_finite(noted: list[_Noted]) -> list[bool]:
    """Of each step, whether its loss and gradient are numbers."""
    values = [value for step in noted for value in (step.loss, *step.norms)]
    finite = iter(torch.stack([value.float().reshape(()) for value in values]).isfinite().tolist())
    return [all([next(finite) for _ in range(1 + len(step.norms))]) for step in noted]


def _judged(gan: GAN, bad: list[_Noted]) -> Broken | None:
    """What bad steps come to: the first is a failure or, with a scaler, the last once the scale has given out."""
    if not bad:
        return None
    scaler = getattr(gan.trainer.precision_plugin, "scaler", None)
    if scaler is None or not scaler.is_enabled():
        return Broken(bad[0].batch, bad[0].player, _words(gan, bad[0]))
    scale = scaler.get_scale()
    if scale >= 1:
        return None
    words = f"the scale of 16-bit gradients has fallen to {scale:.3g}, and they still overflow: {_words(gan, bad[-1])}"
    return Broken(bad[-1].batch, bad[-1].player, words)


def _words(gan: GAN, step: _Noted) -> str:
    loss = float(step.loss)
    names = {id(parameter): name for name, parameter in getattr(gan, step.player).named_parameters()}
    wrong = [
        (names.get(id(parameter), "a parameter"), float(norm))
        for parameter, norm in zip(step.parameters, step.norms, strict=True)
        if not math.isfinite(norm)
    ]
    if not math.isfinite(loss):
        words = f"the {step.player}'s loss is {loss}"
        finite = {kind: bool(logits.isfinite().all()) for kind, logits in step.logits.items() if logits is not None}
        if finite == {"real": False, "fake": True}:
            words += ", by the logits of real samples alone (look at the data)"
        elif finite == {"real": True, "fake": False}:
            words += ", by the logits of fakes alone"
    else:
        several = f" and of {len(wrong) - 1} more parameters" if len(wrong) > 1 else ""
        words = f"the {step.player}'s gradient of {wrong[0][0]}{several} is {wrong[0][1]}, with a loss of {loss:.4g}"
    terms = ", ".join(f"{name} {float(term):.4g}" for name, term in step.terms.items())
    return words + (f"; stabilizers added {terms}" if terms else "; no stabilizer added a term")


def _of_weights(gan: GAN, state: dict[str, Any], batch: int) -> Broken | None:
    """Weights that are none, in a module or in what is to be kept of it; a buffer may be infinite, as masks are."""
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
    return Broken(batch, player, f"{names[0]} holds NaN or infinity, though losses and gradients were numbers")


def _agreed(trainer: Trainer, broken: Broken | None) -> Broken | None:
    """The first of all processes, so that all of them end together."""
    if trainer.world_size == 1 or not trainer.strategy.reduce_boolean_decision(broken is not None, all=False):
        return broken
    if broken is not None:
        broken.process = trainer.global_rank
    everywhere: list[Broken | None] = [broken]
    if dist.is_available() and dist.is_initialized():
        everywhere = [None] * trainer.world_size
        dist.all_gather_object(everywhere, broken)
    return min((one for one in everywhere if one is not None), key=lambda one: one.batch, default=None)
