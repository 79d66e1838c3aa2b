"""How the command line answers a mistake: one line on stderr, exit code 2."""

from __future__ import annotations

import difflib
import inspect
import re
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from lightning.pytorch import callbacks, loggers
from lightning.pytorch.cli import LightningArgumentParser

from lightning_gans import GAN, data, metrics, models, networks, objectives, optimizers, stabilizers
from lightning_gans import callbacks as our_callbacks


def fail(message: str) -> NoReturn:
    """End the command with one line."""
    sys.stderr.write(f"lightning-gans: error: {one_line(message)}\n")
    sys.exit(2)


def first_line(error: BaseException) -> str:
    """What an error says, without where it was raised."""
    text = str(error).strip()
    if "Original Traceback" in text:  # of a process that reads data
        text = re.sub(r"^\w+(Error|Exception): ", "", text.splitlines()[-1])
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"'{error.filename}': {error.strerror.lower()}; give another path."
    text = text or type(error).__name__
    if _is_too_large(error):
        return f"a number is too large for this machine ({text.splitlines()[0][:160]}); give smaller ones."
    return text


def _is_too_large(error: BaseException) -> bool:
    if isinstance(error, MemoryError | OverflowError):
        return True
    says = re.search(r"can't allocate|overflow|out of memory", str(error), re.IGNORECASE)
    return isinstance(error, RuntimeError | TypeError) and says is not None


def is_deliberate(error: BaseException) -> bool:
    """Whether an error is meant for the user: raised by this library on purpose, or by the machine."""
    if isinstance(error, OSError) or _is_too_large(error):
        return True
    if "Original Traceback" in str(error):
        return isinstance(error, ValueError | OSError)
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, ValueError) and str(Path(__file__).parent) in frames[-1].filename


def fail_late(message: str) -> NoReturn:
    """End a command that was right but whose run has failed: one line too, and exit code 1."""
    sys.stderr.write(f"\nlightning-gans: failed: {' '.join(message.split())}\n")
    sys.exit(1)


class Parser(LightningArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """End the command, or raise where this parser works inside another."""
        if not self.exit_on_error:
            super().error(message, ex)
        fail(message)


_NOISE = re.compile(
    r"^(Subtypes: .*|Errors:|Given value( type)?: .*|- Expected a <class 'NoneType'>.*|- Expected a path but .*)$"
    r"|^- Not a valid subclass of \w+$|^Subclass types expect one of:$|^- a (class path|dict) .*$"
    r"|Does not validate against any of the Union subtypes|Call to compute_fn of link .*? failed: "
)
_NUMBER = re.compile(r"^- Expected a <class '(?:float|int)'>.*$", re.MULTILINE)  # where a class would do as well
_CLASS = re.compile(r"^- Expected a dot import path string: .*$", re.MULTILINE)


_REMEDIES = [
    (r"arguments are required: (?:\w+\.)?model$", "name a model, such as --model DCGAN, or give a --config"),
    (r"arguments are required: ([\w.]+)$", r"give --\1"),
    (r"^(\w+): (\w+): .*Option '\w+' is not accepted", r"`lightning-gans fit --\1.help \2` lists the options"),
    (r"unrecognized arguments|does not accept option", "`--help` after the command lists the options"),
    (r"File does not exist", "give the path of a config"),
    (
        r"No supported gpu backend|No CUDA GPUs|MisconfigurationException: .*accelerator",
        "use --trainer.accelerator cpu",
    ),
]


def one_line(message: str) -> str:
    """The parser's nested message without what a reader cannot use, and with the remedy."""
    message = "\n".join(line.strip() for line in message.splitlines())
    refused = re.search(r"^- (\w+\([^\n]*\)?:? [^\n]*expected [^\n]*)$", message, re.MULTILINE)
    if refused:  # by a constructor, in words of its own
        return refused[1]
    if _NUMBER.search(message) and _CLASS.search(message):
        message = _CLASS.sub("", message)
    unknown = re.search(
        r"(?:Expected a dot import path string|Unexpected import path format|No module named): ?'?(\w+)", message
    )
    if unknown:
        if unknown[1] in class_names():
            place = re.match(r"(?:Parser key \")?([\w.]+)", message)
            where = f"{place[1]}: " if place else ""
            return f"{where}'{unknown[1]}' is a class of another kind than is expected here; give one that fits."
        close = difflib.get_close_matches(unknown[1], class_names(), 3, 0.5)
        meant = (
            f"did you mean {' or '.join(close)}?" if close else "give a class of this library or a full import path."
        )
        return f"unknown class '{unknown[1]}'; {meant}"
    lines = [_NOISE.sub("", line) for line in message.splitlines()]
    text = " ".join(re.sub(r"^- ", "", line).strip() for line in lines if line) or message
    text = re.sub(r"Parser key \"([^\"]+)\":", r"\1:", text.strip())
    text = re.sub(r"Problem with given class_path '(?:\w+\.)*(\w+)':", r"\1:", text)
    given = re.search(r"Given value: (?!\[?(?:Namespace|NestedArg))(.+)", message)
    if given and "Got value" not in text:
        text += f". Got value: {given[1]}"
    for pattern, remedy in _REMEDIES:
        found = re.search(pattern, text)
        if found:
            return f"{text}; {found.expand(remedy)}."
    return text


def class_names() -> list[str]:
    """The short class names that a config may use."""
    homes = (models, data, networks, stabilizers, our_callbacks, metrics, objectives, optimizers, callbacks, loggers)
    kinds = {"GAN": GAN} | {name: kind for home in homes for name, kind in vars(home).items()}
    return sorted(name for name, kind in kinds.items() if _is_concrete(kind))


def _is_concrete(kind: object) -> bool:
    ours = isinstance(kind, type) and kind.__module__.startswith(("lightning_gans", "lightning.pytorch"))
    return ours and not inspect.isabstract(kind)
