"""Remedies of messages, written as they are typed on a command line."""

from __future__ import annotations

import inspect
import re
from typing import Any

from lightning_gans import checkpoints

# an argument of Python with its value, and its option where the message names both; but for that of barebones, whose
# message names the flag beside it
_ARGUMENT = re.compile(
    r"(?<![\w.(-])(?<!barebones=True, )([a-z]\w*)=(True|False|None|-?\d[\d.]*\d|\d)(?![\w(])(?: \(--[\w.]+\.\1 \w+\))?"
)


def as_options(text: str, settings: Any) -> str:
    """Write the remedy of a message, if it is said in Python, as it is typed: `labels=False` as `--data.labels false`.

    Args:
        text: a message whose remedy follows its last semicolon.
        settings: the config of a command, or parts of it by name, such as data, with their `class_path`.
    """
    settings = settings.get(settings.get("subcommand", ""), settings)
    message, mark, remedy = text.rpartition("; ")

    def typed(found: re.Match[str]) -> str:
        name, value = found[1], {"True": "true", "False": "false", "None": "null"}.get(found[2], found[2])
        for part in ("data", "model", "trainer"):
            path = getattr(settings.get(part), "class_path", "lightning.pytorch.Trainer" if part == "trainer" else "")
            kind = checkpoints.find(path)
            owners = kind.__mro__ if isinstance(kind, type) else ()
            if any(
                name in inspect.signature(vars(one)["__init__"]).parameters for one in owners if "__init__" in vars(one)
            ):
                return f"--{part}.{name} {value}"
        return found[0]

    return message + mark + _ARGUMENT.sub(typed, remedy)
