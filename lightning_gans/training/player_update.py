"""The pieces of one player's update: a batch in parts, the other player frozen, the optimizer step in a Trainer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import zip_longest
from typing import Any

from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_gans.batches import parts, reading
from lightning_gans.step import Batch, Step
from lightning_gans.training import checks
from lightning_gans.training.gradients import clip

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


def owner(optimizer: Optimizer, generator: nn.Module, discriminator: nn.Module) -> str:
    """Return whose optimizer it is, "generator" or "discriminator"; found at the first parameters of the two."""
    first = optimizer.param_groups[0]["params"][0]
    pairs = zip_longest(generator.parameters(), discriminator.parameters())
    own = next((own for own, other in pairs if first is own or first is other), None)
    return "generator" if first is own else "discriminator"


def backward_in_parts(gan: Any, player: str, optimizer: AnyOptimizer, batch: Batch, fake: Tensor | None) -> Step:
    """Add the gradient of a player's loss on a batch to its parameters, and return the batch's step, detached.

    Args:
        gan: makes the steps, and says in how many parts; the gradient is that of the mean over all samples.
        player: "generator" or "discriminator".
        optimizer: the player's.
        batch: the whole batch.
        fake: passed to the player's step.
    """
    number = getattr(gan, f"{player}_accumulation")
    checks.accumulation(gan)
    steps, shares = [], []
    in_trainer, place = isinstance(optimizer, LightningOptimizer), gan.batches_seen
    with reading(gan, batch) as whole:
        for (part, known), share in parts((batch, whole), number, len(whole[0])):
            with reading(gan, part, known) if number > 1 else nullcontext(), _third_derivatives_explained():
                step = getattr(gan, f"{player}_step")(part, fake)
                loss = step.loss * share if number > 1 else step.loss
                gan.manual_backward(loss) if in_trainer else loss.backward()
            steps.append(step.detached(place))
            shares.append(share)
    return steps[0] if len(steps) == 1 else Step.of_parts(steps, shares)


@contextmanager
def _third_derivatives_explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if "3rd+ order derivatives" not in str(error):
            raise
        raise ValueError(
            "the loss needs third derivatives, as with a penalty beside GradientNormalization, and a BatchNorm or "
            "InstanceNorm of the discriminator has none; use norm: null there, or leave out one of the two."
        ) from None


def step_optimizer(gan: Any, player: str, optimizer: AnyOptimizer, counted: bool) -> None:
    """Step a player's optimizer, in a Trainer with its precision and hooks, then its scheduler; else after clipping.

    A scheduler is stepped after every update of its player, or after every `frequency`-th where it was given in a
    dict; with the interval "epoch" before the first update of an epoch.

    Args:
        gan: whose Trainer, and limits on gradients.
        player: "generator" or "discriminator".
        optimizer: the player's.
        counted: whether `trainer.global_step` counts the step. Where one step per batch counts, `max_steps` and
            `every_n_train_steps` count batches.
    """
    if not isinstance(optimizer, LightningOptimizer):
        gan.on_before_optimizer_step(optimizer)
        clip(optimizer, getattr(gan, f"{player}_clip"))
        optimizer.step()
        return
    trainer = gan.trainer
    configs = [one for one in trainer.lr_scheduler_configs if one.scheduler.optimizer is optimizer.optimizer]
    for config in configs:
        if config.scheduler in gan.epoch_schedulers:
            while _steps_of(config.scheduler) < trainer.current_epoch // config.frequency:
                config.scheduler.step()
    if counted:
        optimizer.step()
    else:
        trainer.strategy.optimizer_step(optimizer.optimizer, lambda: None)
    for config in configs:
        updates = getattr(gan, f"{player}_updates") + 1
        if config.scheduler not in gan.epoch_schedulers and updates % config.frequency == 0:
            config.scheduler.step()


def _steps_of(schedule: Any) -> int:
    """Return how many steps a schedule has made; a `ChainedScheduler` has no count but those of its parts."""
    return schedule.last_epoch if hasattr(schedule, "last_epoch") else _steps_of(schedule._schedulers[0])
