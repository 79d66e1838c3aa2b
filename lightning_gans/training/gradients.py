"""Gradients of one player: their norms, and clipping."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

from lightning_gans.training.checks import clipping_sees_gradients, is_gan


def gradient_norms(optimizer: Optimizer) -> tuple[list[Tensor], list[Tensor]]:
    """Return the parameters of an optimizer that have a gradient, and the norm of each one's gradient, a scalar."""
    parameters = [one for group in optimizer.param_groups for one in group["params"] if one.grad is not None]
    return parameters, list(torch._foreach_norm([one.grad for one in parameters])) if parameters else []


def total_norm(norms: list[Tensor]) -> Tensor:
    """Return the norm of a whole gradient from the norms of its parts, at least one."""
    return torch.linalg.vector_norm(torch.stack([norm.to(norms[0]) for norm in norms]))


def clip(optimizer: Optimizer, limit: float | None) -> None:
    """Scale the whole gradient of an optimizer's parameters to a norm of at most `limit`; None leaves it."""
    if limit is not None:
        parameters, norms = gradient_norms(optimizer)
        if norms:
            nn.utils.clip_grads_with_norm_(parameters, limit, total_norm(norms))


class GradientClipping(Callback):
    """Clip each player's gradient to its `generator_clip` or `discriminator_clip`, once it is unscaled.

    `GAN` adds it where one of the two is given, behind the callbacks that read unclipped gradients.
    """

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        if is_gan(pl_module):
            clipping_sees_gradients(pl_module, trainer)

    @override
    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Optimizer) -> None:
        if is_gan(pl_module):
            clip(optimizer, getattr(pl_module, f"{pl_module.player_of(optimizer)}_clip"))
