"""What the command line says of errors: one line on stderr for the user's, a traceback for all others."""

from __future__ import annotations

import re
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from typing_extensions import override

import lightning_gans
from lightning_gans.checkpoints import CheckpointWriteError
from lightning_gans.cli.factories import check_factories
from lightning_gans.cli.parser_messages import one_line
from lightning_gans.cli.remedies import as_options
from lightning_gans.gan import GAN
from lightning_gans.training import NonFiniteError

# ---------------------------------------------------------------- ends of a command


def fail(message: str) -> NoReturn:
    """End the command with one line and exit code 2: its input is invalid."""
    sys.stderr.write(f"lightning-gans: error: {printable(one_line(message))}\n")
    sys.exit(2)


def fail_late(message: str) -> NoReturn:
    """End the command with one line and exit code 1: its input is valid, but the run has failed."""
    sys.stderr.write(f"\nlightning-gans: failed: {printable(' '.join(message.split()))}\n")
    sys.exit(1)


def printable(text: str) -> str:
    """Return a text whose control characters, by which a name could steer the terminal, are written as escapes."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def end_run(error: Exception, model: GAN | None, restoring: str | None = None, settings: Any = None) -> NoReturn:
    """End a run with one line where the user can do something about the error; otherwise raise it again.

    Args:
        error: what ended the run.
        model: the model, None if it is not built yet.
        restoring: the checkpoint that was being restored, None if none was.
        settings: the config of the command, for the options that a remedy names.
    """
    if isinstance(error, NonFiniteError):
        fail_late(str(error))
    if failed_write := _first_of(CheckpointWriteError, error):
        fail_late(str(failed_write))
    if _is_lost_process(error):
        fail_late(
            f"another process of this run has ended, or cannot be reached ({first_line(error)[:120]}); its own output "
            "says why. Resume with --ckpt_path last."
        )
    if model is not None and model.has_trained:
        if is_deliberate(error) or isinstance(error, MisconfigurationException) or "Early stopping" in str(error):
            fail_late(first_line(error))
        raise error
    if type(error).__module__.startswith("wandb."):
        fail(
            f"Weights & Biases (W&B) cannot be used: {first_line(error).splitlines()[0].rstrip('.')}; log in by `wandb "
            "login`, or give WANDB_MODE=offline before the command to keep the run on this machine."
        )
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("lightning_gans"):
        missing = first_line(error).splitlines()[0]
        remedy = "" if "pip install" in missing else "; give another option, or install the package with pip."
        fail(f"{missing}{remedy}")
    if is_deliberate(error) or isinstance(error, ValueError | OSError | MisconfigurationException):
        fail(as_options(first_line(error), settings or {}))
    name = type(model).__name__
    if str(error).startswith(f"Error(s) in loading state_dict for {name}:"):  # by torch, of the checkpoint
        reason = " ".join(str(error).split()).partition(": ")[2][:200]
        fail(
            f"the checkpoint does not fit this {name} ({reason}); use the config that was saved beside the checkpoint."
        )
    if restoring is not None:
        reason = f"{type(error).__name__}: {first_line(error)}"
        fail(
            f"--ckpt_path {restoring}: the checkpoint cannot be restored ({reason}); it is damaged or was written by "
            "another program; give another checkpoint."
        )
    raise error


def _is_lost_process(error: Exception) -> bool:
    """Return whether a process could not communicate with another one, as by gloo or NCCL."""
    lost = type(error).__name__ in ("DistBackendError", "DistNetworkError") or "gloo" in str(error)
    return isinstance(error, RuntimeError) and lost


def _first_of(kind: type[Exception], error: BaseException | None) -> Exception | None:
    """Return the error of this kind from which others followed: on a full disk, cleaning up fails too."""
    found = None
    while error is not None:
        found = error if isinstance(error, kind) else found
        error = error.__cause__ or error.__context__
    return found


class Parser(LightningArgumentParser):
    """A parser that reports an error in one line."""

    @override
    def parse_args(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().parse_args(*args, **kwargs)
        except RecursionError:
            self.error("the settings are nested too deeply or contain themselves; give simpler ones.")

    @override
    def instantiate(self, namespace: Any, *args: Any, **kwargs: Any) -> Any:
        """Build what a config names, once it is known that no other function is called than its settings take."""
        check_factories(namespace.get(namespace.get("subcommand") or "", namespace))
        return super().instantiate(namespace, *args, **kwargs)

    @override
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # it works inside another parser, which catches the error
            super().error(message, ex)
        fail(message)


# ---------------------------------------------------------------- which errors, and their text


def is_deliberate(error: BaseException) -> bool:
    """Return whether an error is meant for the user: raised by this library on purpose, or caused by the machine."""
    if isinstance(error, OSError) or _is_too_large(error):
        return True
    if "Original Traceback" in str(error):  # from a worker process of a data loader
        return isinstance(error, ValueError | OSError)
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, ValueError) and str(Path(lightning_gans.__file__).parent) in frames[-1].filename


def first_line(error: BaseException) -> str:
    """Return the message of an error, without the place where it was raised."""
    text = str(error).strip()
    if "Original Traceback" in text:
        text = re.sub(r"^\w+(Error|Exception): ", "", text.splitlines()[-1])
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"'{error.filename}': {error.strerror.lower()}; give another path."
    text = text or type(error).__name__
    if _is_too_large(error):
        line = next(filter(_TOO_LARGE.search, text.splitlines()), text.splitlines()[0])
        return f"a number is too large for this machine ({line.strip(' -')[:160]}); give smaller ones."
    return text


def _is_too_large(error: BaseException) -> bool:
    of_torch = ("Overflow when unpacking", "Storage size calculation overflowed", "can't allocate memory: you tried")
    if isinstance(error, MemoryError | OverflowError) or any(words in str(error) for words in of_torch):
        return True
    return isinstance(error, RuntimeError | TypeError) and _TOO_LARGE.search(str(error)) is not None


_TOO_LARGE = re.compile(r"can't allocate|overflow|out of memory", re.IGNORECASE)
