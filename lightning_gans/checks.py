"""What must hold before training starts; each failure is one line with the value and the remedy."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import Strategy
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lightning_gans.networks import Discriminator, Generator
from lightning_gans.stabilizer import NetworkStabilizer


def positive(**values: float | None) -> None:
    """Numbers that must be above 0 where they are given."""
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name}={value}: expected a number above 0.")


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
    if trainer.max_steps == 0 or trainer.max_epochs == 0:
        raise ValueError(
            f"max_steps={trainer.max_steps} and max_epochs={trainer.max_epochs} train nothing; give numbers above "
            "0, or -1 for no limit."
        )


TWO_PLAYER_DDP = "ddp_find_unused_parameters_true"


def strategy_name(name: Any) -> None:
    """Plain DDP waits for gradients of the player whose turn it is not."""
    if name in ("ddp", "ddp_spawn", "ddp_fork", "ddp_notebook"):
        raise ValueError(
            f"strategy '{name}' waits for a gradient of every parameter in every backward, but each player moves "
            f"alone; use --trainer.strategy {TWO_PLAYER_DDP}."
        )


def two_players_can_alternate(strategy: Strategy) -> None:
    """The same for a strategy that is already at work, however it was chosen."""
    wrapped = strategy.model
    if isinstance(wrapped, DistributedDataParallel) and not wrapped.find_unused_parameters:
        strategy_name("ddp")


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


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint's content, read without running code from it and without loading its tensors yet."""
    content, reason = None, "it holds something else"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever a strange file makes the loader raise
        reason = type(error).__name__
    if not isinstance(content, dict) or not {"state_dict", "pytorch-lightning_version"} <= set(content):
        raise ValueError(
            f"'{path}' is no checkpoint of Lightning ({reason}); give one that lightning-gans fit wrote, such as "
            "runs/quickstart/version_0/checkpoints/last.ckpt."
        )
    return content


def class_of_checkpoint(path: str | Path, expected: type) -> type:
    """The class that made a checkpoint, of this package or imported: a file cannot have other code imported."""
    if not Path(path).is_file():
        return expected  # a remote file, or none: Lightning reads it, or says so
    made_by = str(read_checkpoint(path).get("gan_class"))
    if made_by.startswith("lightning_gans."):
        import_module(made_by.rsplit(".", 1)[0])
    known = [expected]
    for kind in known:  # grows as it goes: subclasses of subclasses too
        known += kind.__subclasses__()
    for kind in known:
        if made_by in ("None", f"{kind.__module__}.{kind.__qualname__}"):
            return kind
    raise ValueError(
        f"the checkpoint was made by {made_by}, which is no imported subclass of {expected.__name__}; import its "
        "module first, or load it with the class that made it."
    )


def network_changes(checkpoint: dict[str, Any]) -> list[NetworkStabilizer]:
    """What changed the networks before a checkpoint was made; a file cannot have other code imported or run."""
    changes = []
    for recipe in checkpoint.get("gan_network_changes", []):
        home, name = recipe["class_path"].rsplit(".", 1)
        if home.startswith("lightning_gans.stabilizers.") and find_spec(home):
            import_module(home)
        kind = getattr(sys.modules.get(home), name, None)
        if not (isinstance(kind, type) and issubclass(kind, NetworkStabilizer)):
            raise ValueError(
                f"the networks of the checkpoint were changed by {recipe['class_path']}, which is no imported "
                "NetworkStabilizer; import its module first."
            )
        changes.append(kind(**recipe["init_args"]))
    return changes


def checkpoint_fits(checkpoint: dict[str, Any], model: LightningModule) -> None:
    """A checkpoint must hold every tensor of the model, in its shape."""
    made_by, saved = checkpoint.get("gan_class", "another program"), checkpoint["state_dict"]
    for name, own in model.state_dict().items():
        if not isinstance(own, Tensor):
            continue
        if name not in saved:
            fault = "is missing"
        elif saved[name].shape != own.shape:
            fault = f"has shape {tuple(saved[name].shape)} in it and {tuple(own.shape)} here"
        else:
            continue
        changed = [change.__class__.__name__ for change in network_changes(checkpoint)]
        made_by += f" (networks changed by {', '.join(changed)})" if changed else ""
        raise ValueError(
            f"the checkpoint was made by {made_by} and does not fit this {type(model).__name__}: {name} {fault}; "
            "use the config that was saved beside the checkpoint."
        )
