"""The pieces of one player's update: a batch in parts, the other player frozen, the optimizer step in a Trainer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest

from lightning.pytorch import Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_gans.step import Batch

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


def parts(batch: Batch, number: int) -> Iterator[tuple[Batch, float]]:
    """Yield a batch in at most `number` parts, each with its share of the samples."""
    if number == 1:
        yield batch, 1.0
    elif isinstance(batch, Tensor):
        for part in batch.tensor_split(min(number, len(batch))):
            yield part, len(part) / len(batch)
    else:
        splits = [tensor.tensor_split(min(number, len(tensor))) for tensor in batch]
        for pieces in zip(*splits, strict=True):
            yield list(pieces), len(pieces[0]) / len(batch[0])


def owner(optimizer: Optimizer, generator: nn.Module, discriminator: nn.Module) -> str:
    """Return whose optimizer it is, "generator" or "discriminator"; asked at every update, so found at the first pair."""
    first = optimizer.param_groups[0]["params"][0]
    pairs = zip_longest(generator.parameters(), discriminator.parameters())
    own = next((own for own, other in pairs if first is own or first is other), None)
    return "generator" if first is own else "discriminator"


def step_in_trainer(trainer: Trainer, optimizer: LightningOptimizer, counted: bool) -> None:
    """Step an optimizer, with the Trainer's precision and hooks, and then its scheduler.

    Args:
        trainer: whose strategy makes the step.
        optimizer: one player's.
        counted: whether `trainer.global_step` counts the step. Where one step per batch counts, `max_steps` and
            `every_n_train_steps` count batches.
    """
    if counted:
        optimizer.step()
    else:
        trainer.strategy.optimizer_step(optimizer.optimizer, lambda: None)
    for config in trainer.lr_scheduler_configs:
        if config.scheduler.optimizer is optimizer.optimizer:
            config.scheduler.step()  # type: ignore[call-arg]
