"""The hooks through which a stabilizer takes part in the game, documented once."""

from __future__ import annotations

import inspect
import math
import re
import sys
from abc import abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn

from lightning_gans.checkpoints import find
from lightning_gans.schedules import Schedule
from lightning_gans.step import Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightning_gans.gan import GAN

_OF_THE_DISCRIMINATOR = (
    "on_updates_per_batch",
    "on_fake_samples",
    "on_targets",
    "on_discriminator_loss",
    "on_discriminator_step_end",
    "on_opponent",
)


class Stabilizer(Callback):
    """A trick that may replace any value of a training step as it passes; the base class replaces none.

    One rule: a hook takes a value and returns it, so stabilizers compose from left to right, in the order
    of `Trainer(callbacks=[…])` or of the YAML. The values pass in this order:

        turns of this batch
        discriminator step: fakes → inputs (real, then fake) → targets → loss → step end
        generator step:  opponent → input (fake, then real if it is read) → loss → step end

    Give it to the Trainer like any callback, or append it to `gan.stabilizers` (that is where the parts of
    an algorithm live, and what counts without a Trainer; call `apply_to` yourself then). State that must
    survive a resume goes through Lightning's `state_dict` and `load_state_dict`, as tensors and plain types.
    Schedules count `gan.generator_updates`. In the look-ahead of an `UnrolledGAN` the hooks up to the
    discriminator's loss see imagined steps too: `gan.looking_ahead` is true there, fakes may carry a gradient,
    which a hook passes on, and nothing that they do may be remembered.
    In several processes gradients are averaged, which is all that a loss needs whose terms are means over samples; of
    a mean that goes through another function take `distributed.mean`.
    What changes the networks is a `NetworkStabilizer`. Whoever only observes is a plain Lightning `Callback` and
    reads the `Step`s that `training_step` returns.
    """

    reads_real = False
    """Whether its `on_generator_loss` needs `step.real`."""

    _arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Stabilizer:
        """Remember the arguments: they name the stabilizer in messages and tell two of a class apart."""
        self = super().__new__(cls)
        self._arguments = cls._bind(args, kwargs)
        return self

    @classmethod
    def _bind(cls, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            bound = inspect.signature(cls).bind(*args, **kwargs)
        except TypeError:  # wrong arguments (the constructor reports them), or a copy, which brings its own
            return {}
        bound.apply_defaults()
        return dict(bound.arguments)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._arguments.items())})"

    @property
    def state_key(self) -> str:
        """Where a checkpoint keeps the state: class and arguments, so that two of one class do not collide."""
        return repr(self)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Lightning's hook before optimizers, restoring and DDP: where networks may still be changed."""
        self.apply_to(pl_module)  # type: ignore[arg-type]

    @property
    def acts_on_discriminator(self) -> bool:
        """Whether it needs a discriminator that learns, as it does where it has one of the hooks of its steps."""
        return any(getattr(type(self), hook) is not getattr(Stabilizer, hook) for hook in _OF_THE_DISCRIMINATOR)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warn of a schedule whose end lies after that of the run."""
        schedules = {name: value for name, value in self._arguments.items() if isinstance(value, Schedule)}
        if not schedules:
            return
        batches = trainer.estimated_stepping_batches
        updates = batches // pl_module.n_critic if math.isfinite(batches) else batches  # type: ignore[operator]
        for name, schedule in schedules.items():
            if schedule.begin + schedule.updates > updates:
                rank_zero_warn(
                    f"{self}: {name} reaches its end after {schedule.begin + schedule.updates} generator updates, but "
                    f"this run has {updates}; it stops at {schedule.at(int(updates)):.3g}. Lower its `updates`.",
                    category=UserWarning,
                )

    def apply_to(self, gan: GAN) -> None:
        """Prepare `gan`, or raise `ValueError` where the two do not fit. Idempotent."""

    def evaluation_weights(self, gan: GAN) -> AbstractContextManager[None]:
        """A context in which the generator is as it should be shown, sampled and scored."""
        return nullcontext()

    def on_updates_per_batch(self, gan: GAN, discriminator: int, generator: int) -> tuple[int, int]:
        """Replace how many steps each player takes on this batch; at least one of the two numbers is above 0."""
        return discriminator, generator

    def on_fake_samples(self, gan: GAN, fake: Tensor, labels: Tensor | None) -> Tensor:
        """Replace the fakes that the discriminator learns from; (N, …), detached from the generator.

        In a conditional game `labels` (N,) are theirs, and those of whatever takes their place.
        """
        return fake

    def on_discriminator_input(self, gan: GAN, x: Tensor) -> Tensor:
        """Replace what the discriminator is shown, real or fake, in the steps of both players."""
        return x

    def on_targets(self, gan: GAN, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Replace the discriminator's targets, 1 for each real logit and 0 for each fake one; each (N,)."""
        return real, fake

    def on_discriminator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        """Add to, scale or replace the discriminator's loss; note what was added in `step.terms`."""
        return loss

    def on_opponent(self, gan: GAN, discriminator: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Replace the discriminator that the generator faces."""
        return discriminator

    def on_generator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        """Add to, scale or replace the generator's loss; note what was added in `step.terms`."""
        return loss

    def on_discriminator_step_end(self, gan: GAN) -> None:
        """After the discriminator's optimizer has stepped."""

    def on_generator_step_end(self, gan: GAN) -> None:
        """After the generator's optimizer has stepped."""


class NetworkStabilizer(Stabilizer):
    """A stabilizer that changes what the networks are made of, once, before optimizers are made.

    A subclass defines `change`. `apply_to` calls it where the same change was not made before, by this or any other
    object, and notes it in `gan.network_changes`; a checkpoint keeps the list, from which
    `GAN.load_from_checkpoint` rebuilds the networks. Arguments are therefore plain values.
    """

    def apply_to(self, gan: GAN) -> None:
        """Change the networks, unless they are changed already."""
        kind = type(self)
        recipe = {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": self._arguments}
        if recipe not in gan.network_changes:
            self.change(gan)
            gan.network_changes.append(recipe)

    @abstractmethod
    def change(self, gan: GAN) -> None:
        """Change the networks in place, or raise `ValueError` where there is nothing to change."""

    @staticmethod
    def replace(root: nn.Module, old: nn.Module, new: nn.Module) -> None:
        """Put a module into every place where another one is."""
        for parent in list(root.modules()):
            for name, child in list(parent.named_children()):
                if child is old:
                    setattr(parent, name, new)


def rebuild_network_changes(checkpoint: dict[str, Any]) -> list[NetworkStabilizer]:
    """Return the stabilizers that changed the networks of a checkpoint; a file cannot have other code imported or run.

    Raises:
        ValueError: for a list that is damaged, or a class that is not an imported `NetworkStabilizer`.
    """
    recipes = checkpoint.get("gan_network_changes", [])
    if not isinstance(recipes, list):
        raise _damaged(recipes)
    changes = []
    for recipe in recipes:
        if not isinstance(recipe, dict) or not isinstance(recipe.get("init_args"), dict):
            raise _damaged(recipe)
        path = recipe.get("class_path")
        kind = _find_change(path) if isinstance(path, str) else None
        if not (isinstance(kind, type) and issubclass(kind, NetworkStabilizer)):
            raise ValueError(
                f"the networks of the checkpoint were changed by {path}, which is not an imported NetworkStabilizer; "
                "import its module first."
            )
        try:
            changes.append(kind(**recipe["init_args"]))
        except (TypeError, ValueError) as error:
            raise ValueError(f"the checkpoint's change of the networks cannot be made again: {error}") from None
    return changes


def _find_change(path: str) -> Any:
    home = path.rpartition(".")[0]
    return find(path) if home.startswith("lightning_gans.stabilizers") or home in sys.modules else None


def _damaged(recipe: Any) -> ValueError:
    return ValueError(
        f"the checkpoint's gan_network_changes hold {re.sub(chr(10), ' ', repr(recipe))[:60]}, expected a list of "
        "{class_path, init_args}; the file is damaged: use another."
    )
