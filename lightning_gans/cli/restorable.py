"""Whether a Trainer can restore a checkpoint, and whether it is just doing so."""

from __future__ import annotations

import copy
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from typing_extensions import override

from lightning_gans import checkpoints
from lightning_gans.gan import GAN
from lightning_gans.stabilizer import rebuild_network_changes


class RestorePhase(Callback):
    """Know whether a Trainer is where it restores model, data module and callbacks, if it has a checkpoint.

    An error there means a damaged file. It is the last of the callbacks, so that `setup` of the others is over.
    """

    def __init__(self) -> None:
        self.is_active = False

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.is_active = True

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.is_active = False

    on_validation_start = on_test_start = on_predict_start = on_fit_start


def check_restorable(path: str, model: nn.Module, trainer: Trainer, command: str) -> dict[str, Any]:
    """Return the content of a checkpoint from which the Trainer can restore what the command needs.

    Whether the weights fit the model is checked when they are loaded, once stabilizers have changed the networks.

    Args:
        path: a file or a URL.
        model: the model to be restored.
        trainer: the Trainer that is to restore it.
        command: fit, validate, test or predict.

    Raises:
        OSError: where the file cannot be opened.
        ValueError: where it is not a checkpoint, or a part of it is missing or damaged.
    """
    checkpoint = read(path)
    if command == "fit" and "optimizer_states" not in checkpoint:
        raise ValueError(
            f"--ckpt_path {path}: the checkpoint holds weights only, and training cannot be resumed without the state "
            "of the optimizers; give one that was saved with --checkpoint.save_weights_only false, or start from these "
            f"weights with --from {path}."
        )
    progress = getattr(trainer, f"{command}_loop").state_dict()
    part = _damaged_part(checkpoint, model, f"{command}_loop", progress)
    if part is not None:
        raise ValueError(
            f"--ckpt_path {path}: the checkpoint cannot be restored: its part '{part}' is damaged or was written by "
            "another program; give another checkpoint."
        )
    return checkpoint


def check_same_model(path: str, checkpoint: dict[str, Any], model: GAN) -> None:
    """Refuse a checkpoint of another model where nothing is left to train, so that nothing will be restored from it.

    Args:
        path: its file or URL.
        checkpoint: its content.
        model: the model, whose networks no stabilizer has changed yet.

    Raises:
        ValueError: where another class made it, or its networks have other shapes.
    """
    maker, kind = checkpoint.get("gan_class"), type(model)
    if isinstance(maker, str) and kind not in checkpoints.subclasses_named(maker, kind):
        raise ValueError(
            f"--ckpt_path {path}: the checkpoint was made by {maker}, and the model is a {kind.__name__}; use the "
            "config that was saved beside the checkpoint."
        )
    trial = copy.deepcopy(model)
    for change in rebuild_network_changes(checkpoint):
        change.apply_to(trial)
    checkpoints.check_fits(checkpoint, trial)


def read(path: str) -> dict[str, Any]:
    """Return the content of a checkpoint, a file or a URL, without running code from it."""
    with checkpoints.opened(path) as file:
        try:
            return checkpoints.read_checkpoint(file)
        except ValueError as error:  # which names the open file where the path is a URL
            raise ValueError(str(error).replace(str(file), path)) from error


def _damaged_part(checkpoint: dict[str, Any], model: nn.Module, loop: str, progress: dict[str, Any]) -> str | None:
    """Return the first part of a checkpoint that cannot be restored, None if all can."""
    optional = {
        "loops": lambda loops: _has_progress(loops, loop, progress),
        "callbacks": lambda states: isinstance(states, dict) and _are_dicts(states.values()),
    }
    needed = {"state_dict": lambda state: _has_extra_state(state, model)}
    if loop == "fit_loop":
        needed |= {
            "optimizer_states": _are_optimizer_states,
            "lr_schedulers": lambda states: isinstance(states, list) and _are_dicts(states),
        }
    parts = {name: fits for name, fits in optional.items() if checkpoint.get(name) is not None} | needed
    return next((name for name, fits in parts.items() if not fits(checkpoint.get(name))), None)


def _are_dicts(values: Any) -> bool:
    return all(isinstance(value, dict) for value in values)


def _has_extra_state(saved: dict[str, Any], model: nn.Module) -> bool:
    """Return whether the parts of a model's state that are not tensors are of the same kind in a checkpoint."""
    return all(_has_structure(saved.get(name), own) for name, own in model.state_dict().items() if type(own) is dict)


def _has_progress(loops: Any, name: str, own: dict[str, Any]) -> bool:
    """Return whether the progress of a loop can be restored; Lightning accepts one that lacks some parts."""
    saved = loops.get(name) if isinstance(loops, dict) else None
    return isinstance(saved, dict) and all(_has_structure(saved[key], own[key]) for key in own.keys() & saved.keys())


def _has_structure(saved: Any, own: Any) -> bool:
    """Return whether a saved tree has the branches of another; leaves may be missing, as in files of older versions."""
    if not isinstance(own, dict):
        return not isinstance(own, int) or isinstance(saved, int)
    return isinstance(saved, dict) and all(
        _has_structure(saved[name], part) if name in saved else not isinstance(part, dict) for name, part in own.items()
    )


def _are_optimizer_states(states: Any) -> bool:
    return isinstance(states, list) and all(
        isinstance(state, dict)
        and isinstance(state.get("state"), dict)
        and isinstance(state.get("param_groups"), list)
        and all(
            isinstance(group, dict) and isinstance(group.get("params"), list) and "lr" in group
            for group in state["param_groups"]
        )
        for state in states
    )
