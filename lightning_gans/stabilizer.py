"""The hooks through which a stabilizer takes part in the game, documented once."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

if TYPE_CHECKING:
    from lightning_gans.gan import GAN, Step


class Stabilizer(Callback):
    """A trick that may replace any value of a training step as it passes; the base class replaces none.

    One rule: a hook takes a value and returns it, so stabilizers compose from left to right, in the order
    of `Trainer(callbacks=[…])` or of the YAML. The values pass in this order:

        discriminator step: fakes → inputs (real, then fake) → targets → loss → step end
        generator step:                  input (fake)                 → loss → step end

    Give it to the Trainer like any callback, or append it to `gan.stabilizers` (that is where the parts of
    an algorithm live, and what counts without a Trainer; call `apply_to` yourself then). State that must
    survive a resume goes through Lightning's `state_dict` and `load_state_dict`, as tensors and plain types.
    In the look-ahead of an `UnrolledGAN` the hooks up to the discriminator's loss see imagined steps too: fakes
    carry a gradient there, which a hook passes on and must not store.
    Whoever only observes is a plain Lightning `Callback` and reads the `Step`s that `training_step` returns.
    """

    _arguments: str

    def __new__(cls, *args: Any, **kwargs: Any) -> Stabilizer:
        """Remember the arguments: they name the stabilizer in messages and tell two of a class apart."""
        self = super().__new__(cls)
        self._arguments = cls._bind(args, kwargs)
        return self

    @classmethod
    def _bind(cls, args: tuple, kwargs: dict[str, Any]) -> str:
        try:
            bound = inspect.signature(cls).bind(*args, **kwargs)
        except TypeError:  # wrong arguments (the constructor reports them), or a copy, which brings its own
            return ""
        bound.apply_defaults()
        return ", ".join(f"{name}={value!r}" for name, value in bound.arguments.items())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._arguments})"

    @property
    def state_key(self) -> str:
        """Where a checkpoint keeps the state: class and arguments, so that two of one class do not collide."""
        return repr(self)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Lightning's hook before optimizers, restoring and DDP: where networks may still be changed."""
        self.apply_to(pl_module)  # type: ignore[arg-type]

    def apply_to(self, gan: GAN) -> None:
        """Prepare `gan`: change its networks, or raise `ValueError` where the two do not fit. Idempotent."""

    def on_fake_samples(self, gan: GAN, fake: Tensor) -> Tensor:
        """Replace the fakes that the discriminator learns from; (N, …), detached from the generator."""
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

    def on_generator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        """Add to, scale or replace the generator's loss; note what was added in `step.terms`."""
        return loss

    def on_discriminator_step_end(self, gan: GAN) -> None:
        """After the discriminator's optimizer has stepped."""

    def on_generator_step_end(self, gan: GAN) -> None:
        """After the generator's optimizer has stepped."""
