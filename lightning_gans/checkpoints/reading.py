"""Reading a checkpoint without running code from it, and whether it fits a model."""

from __future__ import annotations

import errno
import os
import re
from argparse import ArgumentError
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

_MENDS = {
    errno.EMFILE: "raise the limit of open files: ulimit -n 1024",
    errno.ENFILE: "close other programs, or raise the limit of open files of the system",
    errno.EACCES: "make the file readable",
    errno.EISDIR: "give the file in it, such as last.ckpt",
}

_NESTING = re.compile(  # lines of a parser's message that only say where it is
    r"^(Does not validate against|Subtypes:|Errors:|Given value|- Expected a <class 'NoneType'>|Subclass types expect|"
    r"- a (class path|dict)|- Not a valid subclass)"
)
_SHORTER = (
    (r'Parser key "(?:module\.?)?([^"]*)":', r"\1:"),
    (r"Problem with given class_path '(?:\w+\.)*(\w+)':", r"\1:"),
    (r"Type \S.*? expects a function or a callable class: ", ""),
    (r"^: ", ""),
)


def read_checkpoint(path: Any) -> dict[str, Any]:
    """Return a checkpoint's content without running code from it; tensors of a file on disk are mapped, not read.

    Raises:
        ValueError: for a file that is not a checkpoint of Lightning.
    """
    content, reason = None, "it holds something else"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=isinstance(path, str | Path))
    except Exception as error:  # an untrusted file can make the loader raise anything
        number = _system_error(error)
        if number:  # the file may be good
            mend = _MENDS.get(number, "give another path")
            raise ValueError(f"'{path}' cannot be read: {os.strerror(number).lower()}; {mend}.") from None
        reason = type(error).__name__
    parts = {"state_dict": dict, "pytorch-lightning_version": str}
    if not isinstance(content, dict) or not all(isinstance(content.get(key), kind) for key, kind in parts.items()):
        raise ValueError(
            f"'{path}' is not a checkpoint of Lightning ({reason}); give one that lightning-gans fit wrote, such as "
            "runs/quickstart/version_0/checkpoints/last.ckpt."
        )
    return content


def _system_error(error: Exception) -> int | None:
    """Return the number of the operating system's error; torch puts it into the text of its own."""
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"\((\d+)\)$", str(error).strip().partition("\n")[0])
    number = int(found[1]) if found and isinstance(error, RuntimeError) else None
    return number if number in errno.errorcode else None


def reason_of(error: Exception) -> str:
    """Return why a checkpoint cannot be rebuilt, in one line: what its parts say, without their nesting."""
    lines = [line.strip() for line in str(error).splitlines()]
    words = " ".join(re.sub(r"^- ", "", line) for line in lines if line and not _NESTING.match(line))
    words = words[:300] if len(lines) > 1 else words
    for pattern, shorter in _SHORTER:
        words = re.sub(pattern, shorter, words)
    known = isinstance(error, ValueError | TypeError | RuntimeError | ArgumentError) and words
    return words if known else f"{type(error).__name__}: {words}".rstrip(": ")


@contextmanager
def opened(path: Any) -> Iterator[Any]:
    """Give a checkpoint such that the bytes that are checked are those that are loaded afterwards.

    Args:
        path: a file on this machine, which is given as it is; a URL, which is read once; or an open file.

    Raises:
        FileNotFoundError: where there is no such file.
    """
    if isinstance(path, str | Path) and "://" not in str(path):
        if not Path(path).is_file():
            raise FileNotFoundError(
                f"no checkpoint at '{path}'; runs keep theirs in runs/<experiment>/<version>/checkpoints/."
            )
        yield path
    elif isinstance(path, str | Path):
        import fsspec  # type: ignore[import-untyped] # as Lightning does

        with fsspec.open(str(path), "rb") as file:
            yield BytesIO(file.read())
    else:
        yield path


def check_fits(checkpoint: dict[str, Any], model: nn.Module, strict: bool = True) -> None:
    """Require that a checkpoint holds every tensor of a model, in its shape; without `strict` some may be missing.

    Raises:
        ValueError: naming the first tensor that is missing or has another shape, and what made the checkpoint.
    """
    saved = checkpoint["state_dict"]
    for name, own in model.state_dict().items():
        if not isinstance(own, Tensor) or (name not in saved and not strict):
            continue
        if name not in saved:
            fault = "is missing"
        elif not isinstance(saved[name], Tensor):
            fault = f"is {type(saved[name]).__name__} in it and a tensor here"
        elif saved[name].shape != own.shape:
            fault = f"has shape {tuple(saved[name].shape)} in it and {tuple(own.shape)} here"
        else:
            continue
        raise ValueError(
            f"the checkpoint was made by {_maker(checkpoint)} and does not fit this {type(model).__name__}: {name} "
            f"{fault}; use the config that was saved beside the checkpoint."
        )


def _maker(checkpoint: dict[str, Any]) -> str:
    """The class that made a checkpoint, and those that changed its networks."""
    maker, changes = str(checkpoint.get("gan_class", "another program")), checkpoint.get("gan_network_changes")
    recipes = changes if isinstance(changes, list) else []
    paths = [recipe.get("class_path") for recipe in recipes if isinstance(recipe, dict)]
    names = [path.rpartition(".")[2] for path in paths if isinstance(path, str)]
    return maker + (f" (networks changed by {', '.join(names)})" if names else "")
