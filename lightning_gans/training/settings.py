"""The settings of a run as plain values, and the differences between two runs in words."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch import Trainer

Settings = dict[str, Any]
_WITHOUT_EFFECT = {"num_workers", "download"}  # arguments of data that change nothing in a run
_APART = re.compile(r"_(instantiator|class_path)$|(generator|discriminator)_(optimizer|scheduler)")  # compared apart


def of_run(trainer: Trainer, gan: Any) -> Settings:
    """Return what a run was started with, beside hyperparameters and optimizers: plain values by name."""
    data = getattr(trainer, "datamodule", None)
    return {
        "model": type(gan).__name__,
        **({} if "objective" in gan.hparams else {"objective": _text(gan.objective)}),
        "stabilizers": [_text(one) for one in gan.active_stabilizers],
        "data": {} if data is None else {"class_path": type(data).__name__, **_arguments(data)},
        "precision": str(trainer.precision),
        "processes": trainer.world_size,
    }


def _arguments(data: Any) -> Settings:
    """Return the arguments of an object's constructor that it keeps as attributes, where they are plain values."""
    kinds = [kind for kind in type(data).__mro__ if "__init__" in vars(kind)]
    constructors = [vars(kind)["__init__"] for kind in kinds]
    names = {name for one in constructors for name in inspect.signature(one).parameters} - _WITHOUT_EFFECT
    found = {name: plain(getattr(data, name, None)) for name in sorted(names)}
    return {name: value for name, value in found.items() if value is not None}


def _text(thing: Any) -> str:
    """Return how an object shows itself, without memory addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(thing))


def plain(value: Any) -> Any:
    """Return a value with lists for tuples, as YAML has them; None for one that is not plain."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value if isinstance(value, bool | int | float | str) else None


def hyperparameters(saved: Any) -> Settings:
    """Return a model's hyperparameters by place, without those of optimizers and schedules."""
    return {place: value for place, value in flat(saved).items() if not _APART.match(place)}


def flat(tree: Any, prefix: str = "") -> Settings:
    """Return the values of a tree of settings by their place, such as `generator.width`."""
    if not isinstance(tree, Mapping):
        return {prefix: plain(tree)}
    found: Settings = {}
    for name, branch in tree.items():
        place = prefix if name == "init_args" else f"{prefix}.{name}".lstrip(".")
        found |= flat(branch, place)
    return found


def differences(before: Settings, now: Settings) -> list[str]:
    """Return the changes of settings that both runs have, in words."""
    both = [place for place in now if place in before and before[place] != now[place]]
    return [
        f"{place.removesuffix('.class_path').replace('.', ' ')} {shown(before[place])} → {shown(now[place])}"
        for place in both
    ]


def exchanged(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """Return the changes in a list of stabilizers, in words: other arguments, added, left out."""
    gone, new = list((Counter(before) - Counter(now)).elements()), list((Counter(now) - Counter(before)).elements())
    words = []
    for one in list(gone):
        successor = next((other for other in new if other.partition("(")[0] == one.partition("(")[0]), None)
        if successor is not None:
            words.append(f"{one} → {successor}")
            gone.remove(one)
            new.remove(successor)
    return words + [f"{one} added" for one in new] + [f"{one} left out" for one in gone]


def shown(value: Any) -> str:
    """Return a value as a user writes it: small numbers as 2e-4."""
    if isinstance(value, float) and 0 < abs(value) < 1e-2:
        mantissa, _, exponent = f"{value:.6e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    if isinstance(value, float):
        return f"{value:.7g}"
    if isinstance(value, list):
        return f"({', '.join(map(shown, value))})"
    return "none" if value is None else str(value)
