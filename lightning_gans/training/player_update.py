"""The pieces of one player's update: the other player frozen, and the optimizer step in a Trainer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import nn
from torch.optim import Optimizer

AnyOptimizer = Optimizer | LightningOptimizer


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Compute no gradients for a network's parameters inside the block, in the other player's step."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def step_in_trainer(gan: Any, player: str, optimizer: LightningOptimizer, counted: bool) -> None:
    """Step one player's optimizer, with the Trainer's precision and hooks, and its scheduler.

    A scheduler is stepped after every update of its player, or after every `frequency`-th where it was given in a
    dict; with the interval "epoch" before the first update of an epoch.

    Args:
        gan: the model in training.
        player: "generator" or "discriminator".
        optimizer: the player's.
        counted: whether `trainer.global_step` counts the step. Where one step per batch counts, `max_steps` and
            `every_n_train_steps` count batches.
    """
    trainer: Trainer = gan.trainer
    configs = [one for one in trainer.lr_scheduler_configs if one.scheduler.optimizer is optimizer.optimizer]
    for config in configs:
        if config.scheduler in gan.epoch_schedulers:
            while config.scheduler.last_epoch < trainer.current_epoch // config.frequency:
                config.scheduler.step()  # type: ignore[call-arg]
    if counted:
        optimizer.step()
    else:
        trainer.strategy.optimizer_step(optimizer.optimizer, lambda: None)
    for config in configs:
        updates = getattr(gan, f"{player}_updates") + 1
        if config.scheduler not in gan.epoch_schedulers and updates % config.frequency == 0:
            config.scheduler.step()  # type: ignore[call-arg]
