"""What must hold before training starts; each failure is one line with the value and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lightning_gans.networks import Discriminator, Generator


def positive(**values: float | None) -> None:
    """Numbers that must be above 0 where they are given."""
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name}={value}: expected a number above 0.")


def whole(**values: int) -> None:
    """Whole numbers that must be given and above 0."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}={value}: expected a number above 0, and a whole one.")


def networks_fit(generator: Generator, discriminator: Discriminator, shapes: bool = True) -> None:
    """The two networks must agree on the classes and, unless a judge of one's own reshapes samples, on shapes."""
    for name in ("sample_shape", "num_classes") if shapes else ("num_classes",):
        theirs, ours = getattr(generator, name), getattr(discriminator, name)
        if theirs != ours:
            raise ValueError(
                f"the generator has {name}={theirs} and the discriminator {name}={ours}; give both the same."
            )


def schedules(schedulers: Sequence[Any]) -> None:
    """A schedule must count updates; there is no metric to watch."""
    if any(isinstance(scheduler, ReduceLROnPlateau) for scheduler in schedulers):
        raise ValueError(
            "ReduceLROnPlateau needs a metric, and a GAN's losses are none; use a schedule that counts "
            "updates, such as LinearLR, CosineAnnealingLR or ExponentialLR."
        )


def is_plain(value: Any) -> bool:
    """Whether a checkpoint may hold the value: it must load without running code."""
    if isinstance(value, dict):
        return all(map(is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return value is None or isinstance(value, int | float | str | bool)


def trainer_settings(trainer: Trainer) -> None:
    """Settings of the Trainer that mean nothing, or something else, with two players."""
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
    """A fused optimizer unscales 16-bit gradients by itself, after they would have been clipped."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    for optimizer in trainer.optimizers if scaler is not None else ():
        limit = f"{model.player_of(optimizer)}_clip"
        if optimizer.defaults.get("fused") and getattr(model, limit) is not None:
            raise ValueError(
                f"{limit}={getattr(model, limit)} with a fused {type(optimizer).__name__} and precision 16-mixed would "
                "clip gradients that are still scaled; leave out fused, or use bf16-mixed."
            )


def samples(x: Tensor, sample_shape: Sequence[int]) -> None:
    """The data must have the networks' shape, be finite and, for images, lie in [−1, 1]."""
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
