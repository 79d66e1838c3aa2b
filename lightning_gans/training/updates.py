"""What is kept of the updates of a training, to find NaN and infinity among many of them at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_gans.step import Step


@dataclass
class Update:
    """What is kept of one player's update until the next check: tensors on its device, but no samples.

    Attributes:
        batch: the batch of the update, counted from 1.
        player: "generator" or "discriminator".
        loss: the player's loss, a scalar.
        terms: what stabilizers added to it, by name.
        logits: of real samples and fakes, in the discriminator's update.
        norms: the norm of each parameter's gradient.
        parameters: the parameters, in the order of `norms`.
    """

    batch: int
    player: str
    loss: Tensor
    terms: dict[str, Tensor]
    logits: dict[str, Tensor | None]
    norms: list[Tensor]
    parameters: list[Tensor]


def kept(batch: int, player: str, step: Step | None, norms: list[Tensor], parameters: list[Tensor]) -> Update:
    """Return what is kept of an update; None for the step of one that did not go through `GAN.update`."""
    if step is None:
        return Update(batch, player, norms[0].new_zeros(()), {}, {}, norms, parameters)
    logits = {"real": step.real_logits, "fake": step.fake_logits} if player == "discriminator" else {}
    return Update(batch, player, step.loss, step.terms, logits, norms, parameters)


def are_finite(updates: list[Update]) -> list[bool]:
    """Return for each update whether its loss and gradient are finite."""
    values = [value for update in updates for value in (update.loss.reshape(()), *update.norms)]
    finite = torch.stack(values).isfinite().split([1 + len(update.norms) for update in updates])
    return torch.stack([own.all() for own in finite]).tolist()


def describe(gan: Any, update: Update) -> str:
    """Return in words what is not finite in an update: the loss, or gradients by the names of their parameters."""
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
