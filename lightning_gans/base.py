"""What makes any Lightning module reproducible: a seed for every batch, and checkpoints that name their class."""

from __future__ import annotations

import inspect
import os
import warnings
from argparse import ArgumentError
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from typing_extensions import override

from lightning_gans import checkpoints, constructor
from lightning_gans.checkpoints import check_fits, is_plain, opened, read_checkpoint
from lightning_gans.randomness import seed_from

_COUNTERS = "_extra_state"  # the key of torch for what `get_extra_state` returns
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

    _given: dict[str, Any] | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Keep the arguments of the constructor, by which the object is made again from a checkpoint."""
        self = super().__new__(cls)
        self.__dict__["_given"] = constructor.by_name(cls, args, kwargs)
        return self

    def __init__(self) -> None:
        super().__init__()
        self.run_seed: int | None = None
        self.has_trained = False
        self._left_out: list[str] = []  # arguments that a checkpoint cannot hold
        self._has_told = False

    # ---------------------------------------------------------------- random numbers

    @override
    def setup(self, stage: str) -> None:
        if stage == TrainerFn.FITTING:  # on_load_checkpoint, which comes later, restores that of a resumed run
            self.run_seed = self.trainer.strategy.broadcast(torch.initial_seed())
            if self.trainer.checkpoint_callbacks:
                self._tell_how_to_load()
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
        """Save the constructor's arguments that are plain values; call it in the constructor.

        Of a subclass outside of this library they are the arguments of its own constructor, by which it is made again:
        what it passes to the base class itself is not among them.
        """
        given, self._given = self._given, None
        frame: FrameType = inspect.currentframe().f_back  # type: ignore[union-attr, assignment]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is an instance of `nn.Module`.*")
            self.save_hyperparameters(frame=frame)
        made_in_python = given is not None and "_instantiator" not in self.hparams
        own = given if made_in_python and not type(self).__init__.__module__.startswith("lightning_gans.") else None
        for name in [name for name, value in self.hparams.items() if own is not None or not is_plain(value)]:
            del self.hparams[name]
        self.hparams.update({name: value for name, value in (own or {}).items() if is_plain(value)})
        self.save_hyperparameters(dict(self.hparams))  # again, for the copy that Lightning made of the first
        if given is not None and made_in_python:
            kind = type(self)
            changed = {name: value for name, value in given.items() if value is not constructor.default_of(kind, name)}
            self._left_out = [name for name, value in changed.items() if not is_plain(value)]

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
            made_by = checkpoints.class_of_checkpoint(file, cls, trust)
            token = _strict.set(kwargs.get("strict"))
            try:
                return super(ReproducibleModule, made_by).load_from_checkpoint(file, *args, **kwargs)  # type: ignore[misc]
            except (TypeError, KeyError, AttributeError, ArgumentError, ValueError) as error:
                if isinstance(error, ValueError) and "\n" not in str(error):
                    raise
                raise ValueError(_cannot_be_made(made_by, error, set(kwargs))) from error
            finally:
                _strict.reset(token)

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._tell_how_to_load()
        checkpoint["gan_class"] = checkpoints.name_of(type(self))
        checkpoint["gan_seed"] = self.run_seed
        if _COUNTERS in checkpoint["state_dict"]:  # of a copy of the model, in Lightning's WeightAveraging
            checkpoint["state_dict"][_COUNTERS] = self.get_extra_state()
        for part in checkpoints.drop_unloadable(checkpoint):
            rank_zero_warn(
                f"The checkpoint is saved without {part}, with which it could not be loaded again; keep tensors and "
                "plain values in it.",
                category=UserWarning,
            )
        settings = checkpoint.get(self.CHECKPOINT_HYPER_PARAMS_KEY, {})
        if "_instantiator" in settings:
            checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY] = checkpoints.portable(settings)

    def _tell_how_to_load(self) -> None:
        """Say once what cannot be found again from a checkpoint, and how to mend it."""
        if not self._has_told:
            self._has_told = True
            words = checkpoints.how_to_load(type(self), self._left_out)
            if words:
                rank_zero_warn(words, category=UserWarning)

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        strict = _strict.get()
        check_fits(checkpoint, self, self.strict_loading if strict is None else strict)
        seed = checkpoint.get("gan_seed")
        if seed is not None and type(seed) is not int:
            shown = str(seed)[:40]
            raise ValueError(
                f"the checkpoint's gan_seed is {shown!r}, expected a whole number; it is damaged: give another file."
            )
        self.run_seed = self.run_seed if seed is None else seed

    # ---------------------------------------------------------------- pickling

    @override
    def __getstate__(self) -> dict[str, Any]:
        return constructor.without_defaults(super().__getstate__(), type(self))

    @override
    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(constructor.with_defaults(state))

    def _attached_trainer(self) -> Trainer | None:
        try:
            return self.trainer
        except RuntimeError:  # which Lightning raises where there is none
            return None


def _cannot_be_made(kind: type, error: Exception, given: set[str]) -> str:
    """Return why the model of a checkpoint cannot be made, and what to do."""
    reason = f"the checkpoint does not make a {kind.__name__} ({checkpoints.reason_of(error)})"
    if not (isinstance(error, TypeError) and "__init__()" in str(error)):
        return f"{reason}; it is damaged, or of another version: give another checkpoint."
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]  # type: ignore[misc] # of the class
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    required = [one.name for one in parameters if one.kind in named and one.default is inspect.Parameter.empty]
    again = "".join(f", {name}={name}" for name in required if name not in given)
    return f"{reason}; pass what it does not hold: {kind.__name__}.load_from_checkpoint(path{again})."
