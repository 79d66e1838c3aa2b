"""Checks before training: the networks, the schedules and the Trainer's settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lightning_gans import arguments
from lightning_gans.attached import attached
from lightning_gans.networks import Discriminator, samples_in_pack
from lightning_gans.training.callback_checks import callbacks_fit


def is_gan(module: Any) -> bool:
    """Return whether a module is a `GAN`; a Trainer may fit another module after one, with the same callbacks."""
    return hasattr(module, "last_steps")


def networks_fit(generator: nn.Module, discriminator: nn.Module, shapes: bool = True) -> None:
    """Require two networks of the same number of classes and, with `shapes`, of the same shape of samples.

    A discriminator without classes may stand beside a conditional generator, see `losses_fit`.
    """
    needs_features = isinstance(discriminator, Discriminator) and type(discriminator).forward is Discriminator.forward
    if needs_features and not hasattr(discriminator, "features"):
        raise ValueError(
            f"{type(discriminator).__name__} has no features, of which it makes its logits; define features, as a "
            "method or as a submodule, or a forward of its own."
        )
    for name in ("sample_shape", "num_classes") if shapes else ("num_classes",):
        theirs, ours = getattr(generator, name), getattr(discriminator, name)
        if theirs != ours and not (name == "num_classes" and ours == 0):
            raise ValueError(
                f"the generator has {name}={theirs} and the discriminator {name}={ours}; give both the same."
            )


def logits(found: Any, samples: int, discriminator: nn.Module) -> None:
    """Require logits (N,) or (N, …) of N samples, or (N/m,) of packs of m, as a `PackedDiscriminator` gives them."""
    if isinstance(found, Tensor) and found.dim() and len(found) == samples:
        return
    pack = samples_in_pack(discriminator)
    rows = max(1, samples // pack)
    if not isinstance(found, Tensor) or found.dim() == 0 or len(found) != rows:
        shape = f"of shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"in a {type(found).__name__}"
        averaged = isinstance(found, Tensor) and found.numel() == 1
        remedy = "; leave out its mean over the batch, since a loss takes that itself" if averaged else ""
        of = f"{samples} samples" if pack == 1 else f"{samples} samples in packs of {pack}"
        raise ValueError(
            f"the discriminator returns logits {shape} for {of}; expected a tensor with a row for each: "
            f"({rows},), ({rows}, 1), or ({rows}, 1, H, W) of patches{remedy}."
        )


def needing_whole_batch(player: str, *owners: Any) -> list[Any]:
    """Return those parts of a player's loss that are another function of a batch than a mean over samples."""
    return [owner for owner in owners if player in owner.needs_whole_batch]


def losses_fit(gan: Any) -> None:
    """Refuse losses that cannot be taken in parts where they have to be, or do not teach a generator its labels."""
    accumulation(gan)
    classes = gan.generator.num_classes
    taught = gan.discriminator.num_classes or any(stabilizer.teaches_labels for stabilizer in gan.active_stabilizers)
    if classes and not taught:
        raise ValueError(
            f"the generator has num_classes={classes} and the discriminator num_classes=0, so that nothing teaches the "
            f"generator its labels; give the discriminator num_classes={classes} (on the command line leave its "
            "num_classes out), or add AuxiliaryClassifier (--trainer.callbacks+=AuxiliaryClassifier)."
        )


def accumulation(gan: Any) -> None:
    """Refuse to take a player's batch in parts where its loss is another function of it than a mean over samples."""
    for player in ("discriminator", "generator"):
        number = getattr(gan, f"{player}_accumulation")
        for owner in gan.needing_whole_batch(player) if number > 1 else ():
            raise ValueError(
                f"{player}_accumulation={number} beside {owner}: its loss is a function of the whole batch, which "
                f"parts of it would change; set {player}_accumulation to 1, with smaller batches if memory is short."
            )


def layers_in_parts(gan: Any) -> None:
    """Warn of layers that mix a batch, and of a lookahead, which see only parts of it under accumulation."""
    names = {"BatchNorm" for module in gan.modules() if isinstance(module, _BatchNorm)}
    names |= {type(one).__name__ for one in gan.modules() if one is not gan and getattr(one, "mixes_batch", False)}
    for player in ("discriminator", "generator"):
        number = getattr(gan, f"{player}_accumulation")
        if player == "generator" and getattr(gan, "mixes_batch", False):
            names.add(type(gan).__name__)
        if names and number > 1:
            rank_zero_warn(
                f"{player}_accumulation={number}: {' and '.join(sorted(names))} will see {number} parts of each batch, "
                f"not the whole; set {player}_accumulation to 1 for statistics of the whole batch.",
                category=UserWarning,
            )


PLATEAU = (
    "ReduceLROnPlateau needs a metric, and a GAN's losses do not measure quality; use a schedule that counts updates, "
    "such as ExponentialLR (--model.generator_scheduler ExponentialLR --model.generator_scheduler.gamma 0.9999)."
)


def schedules(schedulers: Sequence[Any]) -> list[Any]:
    """Require schedules that count updates or epochs, and return those that count epochs.

    A schedule is a scheduler, or Lightning's dict of one with `interval` and `frequency`; without an interval it counts
    updates. A GAN has no validation metric for ReduceLROnPlateau.
    """
    by_epoch = []
    for given in schedulers:
        settings = given if isinstance(given, dict) else {"scheduler": given}
        if isinstance(settings.get("scheduler"), ReduceLROnPlateau):
            raise ValueError(PLATEAU)
        if settings.get("scheduler") is None:
            raise ValueError(
                f"a schedule is {given!r}; expected a scheduler of torch.optim.lr_scheduler, or a dict with one as "
                '"scheduler".'
            )
        interval, frequency = settings.get("interval", "step"), settings.get("frequency", 1)
        arguments.one_of("scheduler", ("step", "epoch"), interval=interval)
        arguments.whole("scheduler", 1, frequency=frequency)
        by_epoch += [settings["scheduler"]] if interval == "epoch" else []
    return by_epoch


def trainer_settings(trainer: Trainer) -> None:
    """Refuse settings of the Trainer that have no meaning, or another one, with two players."""
    callbacks_fit(trainer)
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
    if trainer.limit_train_batches == 0:
        raise ValueError(
            "Trainer(limit_train_batches=0) trains nothing; give a number of batches, such as 100, or a fraction of "
            "them, such as 0.5."
        )
    _lengths(trainer)
    folder_can_exist("default_root_dir", trainer.default_root_dir)


def _lengths(trainer: Trainer) -> None:
    """Refuse lengths and intervals of a run that are negative or contradict each other."""
    for name in ("min_epochs", "min_steps", "log_every_n_steps", "num_sanity_val_steps"):
        value = getattr(trainer, name)
        if value is not None and value < 0:
            raise ValueError(f"Trainer({name}={value}): expected a whole number of at least 0, such as 0.")
    for unit in ("epochs", "steps"):
        least, most = getattr(trainer, f"min_{unit}") or 0, getattr(trainer, f"max_{unit}")
        if most not in (None, -1) and least > most:
            raise ValueError(
                f"Trainer(min_{unit}={least}, max_{unit}={most}): the least is above the most; lower min_{unit} or "
                f"raise max_{unit}."
            )
    for timer in attached(trainer, Timer):
        left = timer.time_remaining()
        if left is not None and left <= 0 and not timer.time_elapsed():
            raise ValueError(
                f"Trainer(max_time) is {left:g} seconds; expected a time above 0, such as 00:12:00:00 for twelve hours "
                "(days:hours:minutes:seconds)."
            )


def folder_can_exist(option: str, path: Any) -> None:
    """Refuse the path of a folder at or below a file, or below a folder that cannot be written to."""
    if path is None or "://" in str(path):
        return
    place = next(one for one in (Path(path), *Path(path).absolute().parents) if os.path.lexists(one))
    if not place.is_dir():
        raise ValueError(f"{option} {path}: '{place}' is not a folder; give another path.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise ValueError(f"{option} {path}: the folder '{place}' cannot be written to; give another path.")


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
