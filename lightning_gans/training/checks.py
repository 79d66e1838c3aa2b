"""Checks before training: the Trainer's settings, the schedules and the first batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lightning_gans.networks import Discriminator


def is_gan(module: Any) -> bool:
    """Return whether a module is a `GAN`; a Trainer may fit another module after one, with the same callbacks."""
    return hasattr(module, "last_steps")


def networks_fit(generator: nn.Module, discriminator: nn.Module, shapes: bool = True) -> None:
    """Require two networks of the same number of classes and, with `shapes`, of the same shape of samples."""
    needs_features = isinstance(discriminator, Discriminator) and type(discriminator).forward is Discriminator.forward
    if needs_features and not hasattr(discriminator, "features"):
        raise ValueError(
            f"{type(discriminator).__name__} has no features, of which it makes its logits; define features, as a "
            "method or as a submodule, or a forward of its own."
        )
    for name in ("sample_shape", "num_classes") if shapes else ("num_classes",):
        theirs, ours = getattr(generator, name), getattr(discriminator, name)
        if theirs != ours:
            raise ValueError(
                f"the generator has {name}={theirs} and the discriminator {name}={ours}; give both the same."
            )


def schedules(schedulers: Sequence[Any]) -> None:
    """Require schedules that count updates: a GAN has no validation metric for ReduceLROnPlateau."""
    if any(isinstance(scheduler, ReduceLROnPlateau) for scheduler in schedulers):
        raise ValueError(
            "ReduceLROnPlateau needs a metric, and a GAN's losses do not measure quality; use a schedule that counts "
            "updates, such as LinearLR, CosineAnnealingLR or ExponentialLR."
        )


def trainer_settings(trainer: Trainer) -> None:
    """Refuse settings of the Trainer that have no meaning, or another one, with two players."""
    if trainer.gradient_clip_val:
        raise ValueError(
            f"Trainer(gradient_clip_val={trainer.gradient_clip_val}) cannot know which player it means; give the "
            "model discriminator_clip or generator_clip instead (--model.discriminator_clip 1.0)."
        )
    if trainer.accumulate_grad_batches != 1:
        raise ValueError(
            f"Trainer(accumulate_grad_batches={trainer.accumulate_grad_batches}) cannot know which player it means; "
            "give the model discriminator_accumulation or generator_accumulation instead."
        )
    every = trainer.val_check_interval, trainer.check_val_every_n_epoch
    if any(isinstance(number, int | float) and not number > 0 for number in every):
        raise ValueError(
            f"Trainer(val_check_interval={every[0]}, check_val_every_n_epoch={every[1]}): expected numbers above 0; "
            "for no validation say limit_val_batches=0."
        )
    if trainer.max_steps == 0 or trainer.max_epochs == 0:
        raise ValueError(
            f"max_steps={trainer.max_steps} and max_epochs={trainer.max_epochs} train nothing; give numbers above "
            "0, or -1 for no limit."
        )


def clipping_sees_gradients(model: Any, trainer: Trainer) -> None:
    """Refuse clipping beside a fused optimizer in 16-mixed, which unscales gradients only after they were clipped."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    for optimizer in trainer.optimizers if scaler is not None else ():
        limit = f"{model.player_of(optimizer)}_clip"
        if optimizer.defaults.get("fused") and getattr(model, limit) is not None:
            raise ValueError(
                f"{limit}={getattr(model, limit)} with a fused {type(optimizer).__name__} and precision 16-mixed would "
                "clip gradients that are still scaled; leave out fused, or use bf16-mixed."
            )


def samples(x: Tensor, sample_shape: Sequence[int]) -> None:
    """Require data of the networks' shape, finite and, for images, in [−1, 1]."""
    if tuple(x.shape[1:]) != tuple(sample_shape):
        raise ValueError(
            f"the data has samples of shape {tuple(x.shape[1:])}, but the networks are made for "
            f"{tuple(sample_shape)}; give the model the data's shape, or let the data module resize (its `size`)."
        )
    if not torch.isfinite(x).all():
        bad = int((~torch.isfinite(x)).flatten(1).any(1).sum())
        raise ValueError(f"{bad} of the {len(x)} samples in the first batch hold NaN or infinity; clean the data.")
    if x.dim() == 4 and (x.min() < -1.01 or x.max() > 1.01):
        raise ValueError(
            f"images must lie in [-1, 1], but the first batch spans [{float(x.min()):.3g}, {float(x.max()):.3g}]; "
            "scale them: x * 2 - 1 for images in [0, 1]."
        )


def generated(generator: nn.Module, given: Any, num: int) -> Tensor:
    """Require of a generator the number of samples that it was asked for, in the shape that it says."""
    expected = (num, *generator.sample_shape)  # type: ignore[misc]
    if isinstance(given, Tensor) and given.shape == expected:
        return given
    found = f"shape {tuple(given.shape)}" if isinstance(given, Tensor) else type(given).__name__
    raise ValueError(
        f"{type(generator).__name__} returned {found} for {num} latents, expected samples of shape {expected}; correct "
        "its forward, or its sample_shape."
    )
