"""How the command line answers a mistake: one line on stderr, exit code 2."""

from __future__ import annotations

import difflib
import re
import sys
from typing import NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from lightning_gans import data, models, networks, objectives, optimizers, stabilizers


def fail(message: str) -> NoReturn:
    """End the command with one line."""
    sys.stderr.write(f"lightning-gans: error: {one_line(message)}\n")
    sys.exit(2)


class Parser(LightningArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """End the command, or raise where this parser works inside another."""
        if not self.exit_on_error:
            super().error(message, ex)
        fail(message)


_NOISE = re.compile(
    r"^(Subtypes: .*|Errors:|Given value( type)?: .*|- Expected a <class 'NoneType'>.*|- Expected a path but .*)$"
    r"|Does not validate against any of the Union subtypes|Call to compute_fn of link .*? failed: "
)


def one_line(message: str) -> str:
    """The parser's nested message without what a reader cannot use, and with the names that were meant."""
    unknown = re.search(
        r"(?:Expected a dot import path string|Unexpected import path format|No module named): ?'?(\w+)", message
    )
    if unknown:
        close = difflib.get_close_matches(unknown[1], class_names(), 3, 0.5)
        meant = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(class_names())}."
        return f"unknown class '{unknown[1]}'; {meant}"
    lines = [_NOISE.sub("", line.strip()) for line in message.splitlines()]
    text = " ".join(re.sub(r"^- ", "", line).strip() for line in lines if line) or message.strip()
    text = re.sub(r"Parser key \"([^\"]+)\":", r"\1:", text)
    text = re.sub(r"Problem with given class_path '(?:\w+\.)*(\w+)':", r"\1:", text)
    refused = re.search(r"^(\w+): (\w+): .*Option '\w+' is not accepted", text)
    if refused:
        text += f"; `lightning-gans fit --{refused[1]}.help {refused[2]}` lists what is."
    if re.search(r"arguments are required: (\w+\.)?model$", text):
        text += "; name a model, such as --model DCGAN, or give a --config."
    return text


def class_names() -> list[str]:
    """The short class names that a config may use."""
    names = ["GAN", *(name for home in (models, data, networks, stabilizers) for name in home.__all__)]
    names += [name for home in (objectives, optimizers) for name, kind in vars(home).items() if isinstance(kind, type)]
    return sorted(set(names))
