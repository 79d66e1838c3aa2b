"""The hooks of stabilizers as a GAN calls them: what a hook returns is checked, so that a wrong value is named at once.

Each function takes the stabilizer, the GAN and the hook's values, and returns what the hook returned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from lightning.pytorch import Callback
from torch import Tensor

from lightning_gans.stabilizer import NetworkStabilizer, Stabilizer
from lightning_gans.step import Step

if TYPE_CHECKING:
    from lightning_gans.gan import GAN


def check_stabilizers(gan: GAN) -> None:
    """Refuse what looks like a stabilizer and would take no part in the training.

    Raises:
        ValueError: for a class among the stabilizers or the Trainer's callbacks, in place of an object; and for a
            callback that has a hook of `Stabilizer` without being one.
    """
    for stabilizer in gan.stabilizers:
        if not isinstance(stabilizer, Stabilizer):
            _refuse_kind("gan.stabilizers", stabilizer)
    hooks = [name for name in vars(Stabilizer) if name.startswith("on_") and not hasattr(Callback, name)]
    callbacks: list[Callback] = gan.trainer.callbacks  # type: ignore[attr-defined] # set by one of the Trainer's parts
    for callback in list(callbacks):
        if isinstance(callback, type):
            callbacks.remove(callback)  # or Lightning's own handling of the error would fail on it
            _refuse_kind("the Trainer's callbacks", callback)
        found = [] if isinstance(callback, Stabilizer) else [name for name in hooks if hasattr(callback, name)]
        if found:
            raise ValueError(
                f"{type(callback).__name__}.{found[0]} is a hook of Stabilizer, but {type(callback).__name__} is none, "
                f"so nothing calls it; write class {type(callback).__name__}(Stabilizer)."
            )


def updates_per_batch(stabilizer: Stabilizer, gan: GAN, updates: tuple[int, int]) -> tuple[int, int]:
    """Return the numbers of updates of discriminator and generator; see `Stabilizer.on_updates_per_batch`."""
    given = _call(stabilizer, "on_updates_per_batch", gan, *updates)
    if not (isinstance(given, tuple | list) and len(given) == 2 and all(type(number) is int for number in given)):
        _refuse(stabilizer, "on_updates_per_batch", given, "two whole numbers", "return discriminator, generator")
    return given[0], given[1]


def fake_samples(stabilizer: Stabilizer, gan: GAN, fake: Tensor, labels: Tensor | None) -> Tensor:
    """Return the discriminator's fakes; see `Stabilizer.on_fake_samples`."""
    return _samples(stabilizer, "on_fake_samples", fake, _call(stabilizer, "on_fake_samples", gan, fake, labels))


def real_samples(stabilizer: Stabilizer, gan: GAN, real: Tensor, labels: Tensor | None) -> Tensor:
    """Return the discriminator's real samples; see `Stabilizer.on_real_samples`."""
    return _samples(stabilizer, "on_real_samples", real, _call(stabilizer, "on_real_samples", gan, real, labels))


def discriminator_input(stabilizer: Stabilizer, gan: GAN, x: Tensor) -> Tensor:
    """Return the discriminator's input; see `Stabilizer.on_discriminator_input`."""
    if isinstance(stabilizer, NetworkStabilizer) and not stabilizer.is_applied(gan):
        raise ValueError(
            f"{stabilizer} has not changed the networks yet; without a Trainer, call its apply_to(gan) before "
            "the optimizers are made."
        )
    return _samples(stabilizer, "on_discriminator_input", x, _call(stabilizer, "on_discriminator_input", gan, x))


def targets(stabilizer: Stabilizer, gan: GAN, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return the discriminator's targets; see `Stabilizer.on_targets`."""
    given = _call(stabilizer, "on_targets", gan, real, fake)
    shapes = [real.shape, fake.shape]
    if not (isinstance(given, tuple | list) and [getattr(one, "shape", None) for one in given] == shapes):
        expected = f"two tensors of shapes {tuple(real.shape)} and {tuple(fake.shape)}"
        _refuse(stabilizer, "on_targets", given, expected, "return real, fake with one target for each logit")
    return given[0], given[1]


def discriminator_loss(stabilizer: Stabilizer, gan: GAN, step: Step) -> Tensor:
    """Return the discriminator's loss; see `Stabilizer.on_discriminator_loss`."""
    given = _call(stabilizer, "on_discriminator_loss", gan, step, step.loss)
    return _loss(stabilizer, "on_discriminator_loss", step, given)


def opponent(stabilizer: Stabilizer, gan: GAN, discriminator: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the discriminator that the generator faces; see `Stabilizer.on_opponent`."""
    given = _call(stabilizer, "on_opponent", gan, discriminator)
    if not callable(given):
        expected = "a discriminator that can be called"
        _refuse(stabilizer, "on_opponent", given, expected, "return the one that it was given, or another")
    return given


def generator_loss(stabilizer: Stabilizer, gan: GAN, step: Step) -> Tensor:
    """Return the generator's loss; see `Stabilizer.on_generator_loss`."""
    return _loss(stabilizer, "on_generator_loss", step, _call(stabilizer, "on_generator_loss", gan, step, step.loss))


# ---------------------------------------------------------------- checks


def _call(stabilizer: Stabilizer, hook: str, gan: GAN, *values: Any) -> Any:
    if not isinstance(stabilizer, Stabilizer):
        _refuse_kind("gan.stabilizers", stabilizer)
    return getattr(stabilizer, hook)(gan, *values)


def _samples(stabilizer: Stabilizer, hook: str, before: Tensor, given: Any) -> Tensor:
    """Require samples like those before the hook."""
    if given is before:
        return before
    expected = f"{before.dtype} of shape {tuple(before.shape)} on {before.device.type}"
    if not isinstance(given, Tensor):
        _refuse(stabilizer, hook, given, expected, "return the samples")
    if given.shape != before.shape:
        _refuse(stabilizer, hook, given, expected, "return as many samples as it was given, in their shape")
    if given.device != before.device:
        _refuse(stabilizer, hook, given, expected, "make what it adds on the device of the samples")
    if given.dtype != before.dtype and not _is_precision_of_autocast(given):
        _refuse(stabilizer, hook, given, expected, "convert it: x.to(samples.dtype)")
    _check_grad(stabilizer, hook, before, given, "samples")
    return given


def _is_precision_of_autocast(x: Tensor) -> bool:
    known = (torch.float16, torch.bfloat16, torch.float32)
    return x.dtype in known and torch.is_autocast_enabled(x.device.type)


def _loss(stabilizer: Stabilizer, hook: str, step: Step, given: Any) -> Tensor:
    """Require a scalar loss with a gradient, and scalar tensors as terms."""
    before = step.loss
    for name, term in step.terms.items():
        if not isinstance(term, Tensor) or term.numel() != 1:
            raise ValueError(
                f"{stabilizer}: {hook} put {_described(term)} into step.terms as {name}, expected a scalar tensor; "
                "put term.mean().detach() there, or torch.tensor(number)."
            )
    if given is before:
        return before
    if not isinstance(given, Tensor) or given.numel() != 1 or not given.is_floating_point():
        _refuse(stabilizer, hook, given, "a scalar loss", "return loss, with a mean over the batch added to it")
    _check_grad(stabilizer, hook, before, given, "a loss")
    return given if given.dim() == 0 else given.reshape(())


def _check_grad(stabilizer: Stabilizer, hook: str, before: Tensor, given: Tensor, what: str) -> None:
    if before.requires_grad and torch.is_grad_enabled() and not given.requires_grad:
        raise ValueError(
            f"{stabilizer}: {hook} returned {what} without a gradient, so nothing would be trained through it; "
            "leave out detach(), item(), torch.no_grad() and numpy."
        )


def _refuse(stabilizer: Stabilizer, hook: str, given: Any, expected: str, remedy: str) -> NoReturn:
    raise ValueError(f"{stabilizer}: {hook} returned {_described(given)}, expected {expected}; {remedy}.")


def _described(given: Any) -> str:
    if isinstance(given, Tensor):
        return f"{given.dtype} of shape {tuple(given.shape)} on {given.device.type}"
    if isinstance(given, tuple | list):
        return f"{len(given)} values ({', '.join(map(_described, given[:3]))})"
    return repr(given) if isinstance(given, int | float | str | None) else type(given).__name__


def _refuse_kind(place: str, given: Any) -> NoReturn:
    if isinstance(given, type):
        raise ValueError(f"{place} hold the class {given.__name__}; give an object of it: {given.__name__}().")
    raise ValueError(
        f"{place} hold {type(given).__name__}, which is no Stabilizer; give an object of a class that derives from "
        "Stabilizer, such as R1Penalty()."
    )
