"""The hooks through which a stabilizer changes the training of a GAN."""

from __future__ import annotations

import inspect
import math
import re
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn
from typing_extensions import override

from lightning_gans.checkpoints import find, is_plain, name_of, subclasses_named
from lightning_gans.overriding import check_hooks, check_names
from lightning_gans.schedules import Schedule
from lightning_gans.step import Step

if TYPE_CHECKING:
    from lightning_gans.gan import GAN

_DISCRIMINATOR_HOOKS = (
    *("on_updates_per_batch", "on_fake_samples", "on_real_samples", "on_targets", "on_discriminator_loss"),
    *("on_discriminator_step_end", "on_opponent"),
)
_NO_MORE: tuple[tuple[str, Any], ...] = (("args", ()), ("kwargs", {}))  # of a class without a constructor


class Stabilizer(Callback):
    """A callback that may replace values of a training step; the base class replaces none.

    A hook takes a value and returns it, so stabilizers compose in the order of `Trainer(callbacks=[…])` or of the YAML.
    The hooks are called in this order:

        updates per batch
        discriminator step: fakes → real samples → inputs (real, then fake) → targets → loss → step end
        generator step: opponent → inputs (fake, then real where they are read) → loss → step end

    Give a stabilizer to the Trainer like any callback, or append it to `gan.stabilizers`, which is for the parts of an
    algorithm and for training without a Trainer; then call `apply_to` yourself. State to keep in checkpoints goes
    through Lightning's `state_dict` and `load_state_dict`, as tensors and plain types. Schedules count
    `gan.generator_updates`. In the lookahead of an `UnrolledGAN` the hooks up to the discriminator's loss are called
    for its steps too: `gan.looking_ahead` is True there, fakes may require grad, which a hook must keep, and a hook
    must not store anything. With several processes gradients are averaged, so losses whose terms are means over samples
    need nothing; a mean that another function is applied to needs `distributed.mean`. A stabilizer that changes the
    networks is a `NetworkStabilizer`; a callback that changes nothing is a plain Lightning `Callback`.
    """

    reads_real = False
    """Whether its `on_generator_loss` needs `step.real`."""

    needs_whole_batch: tuple[str, ...] = ()
    """The players to whose loss it adds another function of the batch than a mean, so that it takes no parts."""

    saves_with_weights = True
    """Whether `on_save_checkpoint` is also called for checkpoints of weights alone, see `GAN.on_save_checkpoint`."""

    teaches_labels = False
    """Whether the generator learns its labels from it, so that a discriminator without labels may stand beside it."""

    _arguments: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a misspelled hook, or one with other parameters, where the class is defined."""
        super().__init_subclass__(**kwargs)
        check_hooks(cls, Stabilizer, others=("on_non_finite",))
        parts = ("reads_real", "saves_with_weights", "needs_whole_batch", "teaches_labels", "acts_on_discriminator")
        check_names(cls, Stabilizer, (*parts, "apply_to", "evaluation_weights", "change"))

    def __new__(cls, *args: Any, **kwargs: Any) -> Stabilizer:
        """Keep the arguments, which name the stabilizer in messages and distinguish two of one class."""
        self = super().__new__(cls)
        self._arguments = {}
        with suppress(TypeError):  # wrong arguments, which the constructor reports, or a copy, which has its own
            bound = inspect.signature(cls).bind(*args, **kwargs)
            bound.apply_defaults()
            self._arguments = dict(bound.arguments)
        return self

    def __repr__(self) -> str:
        return _call_of(self, {name: x for name, x in self._arguments.items() if (name, x) not in _NO_MORE})

    @property
    def state_key(self) -> str:
        """The key of its state in a checkpoint: class and arguments, so that two of one class do not collide."""
        return _call_of(self, self._arguments)

    @override
    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Prepare the GAN before optimizers, restoring and DDP, when networks may still be changed."""
        self.apply_to(pl_module)

    @property
    def acts_on_discriminator(self) -> bool:
        """Whether it needs a discriminator that is trained: by default, whether it overrides a hook of its steps."""
        return any(getattr(type(self), hook) is not getattr(Stabilizer, hook) for hook in _DISCRIMINATOR_HOOKS)

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Warn of a schedule that ends after the run."""
        schedules = {name: value for name, value in self._arguments.items() if isinstance(value, Schedule)}
        if not schedules:
            return
        batches = trainer.estimated_stepping_batches
        updates = batches // pl_module.n_critic if math.isfinite(batches) else batches
        for name, schedule in schedules.items():
            if schedule.begin + schedule.updates > updates:
                longer = "`updates`" if schedule.begin < updates else "`begin` and `updates`"
                rank_zero_warn(
                    f"{self}: {name} reaches its end after {schedule.begin + schedule.updates} generator updates, but "
                    f"this run has {updates}; it stops at {schedule.at(int(updates)):.3g}. Lower its {longer}.",
                    category=UserWarning,
                )

    def apply_to(self, gan: GAN) -> None:
        """Prepare `gan`, or raise `ValueError` if the two do not fit; a second call changes nothing."""

    def evaluation_weights(self, gan: GAN) -> AbstractContextManager[None]:
        """Return a context in which the generator has the weights to sample, validate and evaluate with."""
        return nullcontext()

    def on_updates_per_batch(self, gan: GAN, discriminator: int, generator: int) -> tuple[int, int]:
        """Replace the numbers of updates of the two players on this batch; at least one number is above 0."""
        return discriminator, generator

    def on_fake_samples(self, gan: GAN, fake: Tensor, labels: Tensor | None) -> Tensor:
        """Replace the discriminator's detached fakes (N, …), whose labels (N,) stay; None if not conditional."""
        return fake

    def on_real_samples(self, gan: GAN, real: Tensor, labels: Tensor | None) -> Tensor:
        """Replace the discriminator's real samples (N, …), as the data has them; None if not conditional."""
        return real

    def on_discriminator_input(self, gan: GAN, x: Tensor) -> Tensor:
        """Replace the discriminator's input (N, …), real or fake, in the steps of both players and in validation."""
        return x

    def on_targets(self, gan: GAN, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Replace D's targets (N,), by default 1 for real and 0 for fake: one for each row of logits."""
        return real, fake

    def on_discriminator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        """Add to, scale or replace the discriminator's loss; put terms into `step.terms`, names into `loss_terms`."""
        return loss

    def on_opponent(self, gan: GAN, discriminator: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Replace the discriminator that the generator faces."""
        return discriminator

    def on_generator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        """Add to, scale or replace the generator's loss; put terms into `step.terms`, names into `loss_terms`."""
        return loss

    def on_discriminator_step_end(self, gan: GAN) -> None:
        """React to a step of the discriminator's optimizer."""

    def on_generator_step_end(self, gan: GAN) -> None:
        """React to a step of the generator's optimizer."""


class NetworkStabilizer(Stabilizer):
    """A stabilizer that changes the layers or initial weights of the networks, once, before optimizers are made.

    A subclass defines `change`. `apply_to` calls it unless the same change was made before, by this or another object,
    and records it in `gan.network_changes`. Checkpoints keep that list, from which `GAN.load_from_checkpoint` rebuilds
    the networks, so arguments must be plain values.
    """

    @override
    def apply_to(self, gan: GAN) -> None:
        if not is_plain(self._arguments):
            raise ValueError(
                f"{self}: expected plain values (numbers, texts, lists, dicts), which a checkpoint can hold; make "
                "other things in its constructor."
            )
        if not self.is_applied(gan):
            self.change(gan)
            gan.network_changes.append(self._recipe)

    def is_applied(self, gan: GAN) -> bool:
        """Return whether the networks of `gan` were changed by this stabilizer or an equal one."""
        return self._recipe in gan.network_changes

    @property
    def _recipe(self) -> dict[str, Any]:
        arguments = dict(self._arguments)
        for name, parameter in inspect.signature(type(self)).parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                arguments |= arguments.pop(name, {})
        return {"class_path": name_of(type(self)), "init_args": arguments}

    @abstractmethod
    def change(self, gan: GAN) -> None:
        """Change the networks in place, or raise `ValueError` if there is nothing to change."""

    @staticmethod
    def replace(root: nn.Module, old: nn.Module, new: nn.Module) -> None:
        """Replace a module by another one, everywhere in `root`."""
        for parent in list(root.modules()):
            for name, child in list(parent.named_children()):
                if child is old:
                    setattr(parent, name, new)


def _call_of(stabilizer: Stabilizer, arguments: dict[str, Any]) -> str:
    shown = (f"{name}={type(x).__name__ if isinstance(x, nn.Module) else repr(x)}" for name, x in arguments.items())
    return f"{type(stabilizer).__name__}({', '.join(shown)})"


def rebuild_network_changes(checkpoint: dict[str, Any]) -> list[NetworkStabilizer]:
    """Return the stabilizers that changed the networks of a checkpoint; no other code is imported or run.

    Raises:
        ValueError: for a damaged list, a class that is not an imported `NetworkStabilizer`, or bad arguments.
    """
    recipes = checkpoint.get("gan_network_changes", [])
    if not isinstance(recipes, list):
        raise _damaged(recipes)
    return [_rebuild(recipe) for recipe in recipes]


def _rebuild(recipe: Any) -> NetworkStabilizer:
    if not isinstance(recipe, dict) or not isinstance(recipe.get("init_args"), dict):
        raise _damaged(recipe)
    path = str(recipe.get("class_path"))
    home, _, name = path.rpartition(".")
    known = [find(path)] if home.startswith("lightning_gans.stabilizers") else subclasses_named(path, NetworkStabilizer)
    kind = known[0] if len(known) == 1 else None
    if not (isinstance(kind, type) and issubclass(kind, NetworkStabilizer)):
        raise ValueError(
            f"the networks of the checkpoint were changed by {path}, which is not an imported NetworkStabilizer; "
            f"import it first (from {home} import {name}; on the command line --import {home})."
        )
    try:
        return kind(**recipe["init_args"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"the checkpoint's change of the networks cannot be made again: {error}") from None


def _damaged(recipe: Any) -> ValueError:
    return ValueError(
        f"the checkpoint's gan_network_changes hold {re.sub(chr(10), ' ', repr(recipe))[:60]}, expected a list of "
        "{class_path, init_args}; the file is damaged: use another."
    )
