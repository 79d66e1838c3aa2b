"""What makes any Lightning module reproducible: a seed for every batch, and checkpoints that name their class."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, FunctionType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from typing_extensions import override

from lightning_gans.checkpoints.reading import check_fits, opened, read_checkpoint
from lightning_gans.checkpoints.trust import class_of_checkpoint
from lightning_gans.randomness import seed_from

_strict: ContextVar[bool | None] = ContextVar("strict", default=None)  # as `load_from_checkpoint` was told


class ReproducibleModule(LightningModule):
    """A Lightning module whose runs repeat bit for bit, resumed ones included; it knows nothing of GANs.

    The random numbers of a batch follow from (seed of the run, rank, batch): processes differ, and a resumed run
    repeats them. A subclass calls `seed_batch` at the start of `training_step` and of `validation_step`, and
    `save_plain_hyperparameters` in its constructor. Checkpoints name the class that made them and hold only tensors
    and plain values, so that `load_from_checkpoint` finds the class and runs no code from the file.

    `setup` and the checkpoint hooks are overridden together with a call to `super()`; no other hook is used here.

    Attributes:
        run_seed: the seed from which the run draws its random numbers; None before it begins.
        has_trained: whether this process has run a training step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.run_seed: int | None = None
        self.has_trained = False

    # ---------------------------------------------------------------- random numbers

    @override
    def setup(self, stage: str) -> None:
        if stage == TrainerFn.FITTING:  # on_load_checkpoint, which comes later, restores that of a resumed run
            self.run_seed = self.trainer.strategy.broadcast(torch.initial_seed())
            if self.trainer.strategy.root_device.type == "cpu":
                # Lightning sets it for forks of GPU processes; on a CPU it makes every optimizer step of torch look
                # for a driver, which takes 0.2 ms
                os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)

    @property
    def batches_seen(self) -> int:
        """The number of training batches begun in this run, those before a resume included; 0 without a Trainer.

        Unlike `trainer.global_step`, which counts optimizer steps, it is the x axis of every logger, plus one.
        """
        trainer = self._attached_trainer()
        return 0 if trainer is None else trainer.fit_loop.epoch_loop.total_batch_idx + 1

    def seed_batch(self, *place: int) -> None:
        """Seed torch's generators from (seed of the run, rank, batch, *place)."""
        seed_from(self.run_seed or 0, self.global_rank, self.batches_seen - 1, *place)

    # ---------------------------------------------------------------- checkpoints

    @override
    def configure_callbacks(self) -> Sequence[Callback]:
        path = self.trainer.ckpt_path
        if path and Path(path).is_file():
            read_checkpoint(path)  # before Lightning does, to refuse it in one line
        return []

    def save_plain_hyperparameters(self) -> None:
        """Save the constructor's arguments that are plain values; call it in the constructor."""
        frame: FrameType = inspect.currentframe().f_back  # type: ignore[union-attr, assignment]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is an instance of `nn.Module`.*")
            self.save_hyperparameters(frame=frame)
        for name in [name for name, value in self.hparams.items() if not _is_plain(value)]:
            del self.hparams[name]
        self.save_hyperparameters(dict(self.hparams))  # again, for the copy that Lightning made of the first

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, trust: bool = False, **kwargs: Any) -> Any:
        """Load the model that a checkpoint holds, of the class that made it: `GAN.load_from_checkpoint(path)`.

        What the command line built (networks, optimizers) is rebuilt from the checkpoint. What was passed in Python
        and is no plain value (networks, callables) is not in it: pass it again. Nothing in the file is run: it is
        read as tensors and plain values, and only what a GAN is made of is built from it, namely classes of this
        library, of `torch.nn` and `torch.optim`, and imported subclasses of this library's base classes.

        Args:
            checkpoint_path: a file, a URL, or an open file.
            args: as Lightning's.
            trust: import and build whatever classes the checkpoint names, once you know who made it.
            kwargs: as Lightning's; arguments of the constructor that replace the checkpoint's.

        Raises:
            ValueError: for a file that is not a checkpoint, was made by another class, or names unknown classes.
        """
        if not trust and (len(args) > 1 or kwargs.get("hparams_file") is not None):
            raise ValueError(
                f"{cls.__name__}.load_from_checkpoint(hparams_file=...): a checkpoint has its own settings, and only "
                "those are checked before anything is built; leave the file out, or say trust=True."
            )
        kwargs["weights_only"] = True
        with opened(checkpoint_path) as file:
            made_by = class_of_checkpoint(file, cls, trust)
            token = _strict.set(kwargs.get("strict"))
            try:
                return super(ReproducibleModule, made_by).load_from_checkpoint(file, *args, **kwargs)  # type: ignore[misc]
            finally:
                _strict.reset(token)

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["gan_class"] = f"{type(self).__module__}.{type(self).__qualname__}"
        checkpoint["gan_seed"] = self.run_seed

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        strict = _strict.get()
        check_fits(checkpoint, self, self.strict_loading if strict is None else strict)
        seed = checkpoint.get("gan_seed")
        self.run_seed = self.run_seed if seed is None else seed

    # ---------------------------------------------------------------- pickling

    @override
    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        defaults = list(_function_defaults(type(self)))
        for name, value in state.items():
            state[name] = next((one for one in defaults if one.function is value), value)
        return state

    @override
    def __setstate__(self, state: dict[str, Any]) -> None:
        own = {name: value.function if isinstance(value, _Default) else value for name, value in state.items()}
        super().__setstate__(own)

    def _attached_trainer(self) -> Trainer | None:
        try:
            return self.trainer
        except RuntimeError:  # which Lightning raises where there is none
            return None


@dataclass(frozen=True)
class _Default:
    """A function that is the default of a constructor's argument: a lambda, which itself cannot be pickled.

    Args:
        kind: the class.
        argument: the name of the argument.
    """

    kind: type
    argument: str

    @property
    def function(self) -> Any:
        return inspect.signature(vars(self.kind)["__init__"]).parameters[self.argument].default


def _function_defaults(kind: type) -> Iterator[_Default]:
    for parent in kind.__mro__:
        constructor = vars(parent).get("__init__")
        for name, parameter in inspect.signature(constructor).parameters.items() if constructor else ():
            if isinstance(parameter.default, FunctionType):
                yield _Default(parent, name)


def _is_plain(value: Any) -> bool:
    """Whether a checkpoint may hold the value: it must load without running code."""
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, int | float | str | bool)
