"""What a checkpoint may hold, so that it can be loaded without running code: tensors and plain values."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

import torch
from torch import Tensor

_PLAIN = (int, float, str, bool, complex, bytes, type(None), torch.Size, torch.dtype, torch.device)
_HYPERPARAMETERS = ("hyper_parameters", "datamodule_hyper_parameters")


def is_plain(value: Any) -> bool:
    """Return whether a value, nested in dicts, lists and tuples, is made of numbers, texts and None."""
    if isinstance(value, dict):
        return all(map(is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return value is None or isinstance(value, int | float | str | bool)


def unloadable(content: Any, place: str = "") -> str | None:
    """Return where the first value is that cannot be loaded without running code, and its type; None without one."""
    if type(content) in (dict, OrderedDict, Counter):
        inner = [(key, "a key") for key in content] + [(value, f"[{key!r}]") for key, value in content.items()]
    elif type(content) in (list, tuple, set):
        inner = [(value, f"[{number}]") for number, value in enumerate(content)]
    elif isinstance(content, Tensor) or type(content) in _PLAIN:
        return None
    else:
        return f"{place} is a {type(content).__qualname__}".strip()
    return next(filter(None, (unloadable(value, place + name) for value, name in inner)), None)


def drop_unloadable(checkpoint: dict[str, Any]) -> list[str]:
    """Leave out of a checkpoint what would make the whole file impossible to load, and return what was left out.

    These are arguments among the hyperparameters that are no plain values, which is not reported, and states of
    callbacks, of the data module and of other parts that hold anything but tensors and plain values.

    Raises:
        ValueError: where the state of the model itself holds such a value.
    """
    broken = unloadable(checkpoint["state_dict"])
    if broken:
        raise ValueError(
            f"the state of the model cannot be loaded again: {broken}; return tensors and plain values (numbers, "
            "texts, lists, dicts) from get_extra_state."
        )
    for section in _HYPERPARAMETERS:
        settings = checkpoint.get(section)
        if isinstance(settings, dict):
            checkpoint[section] = {name: value for name, value in settings.items() if is_plain(value)}
    dropped = []
    callbacks = checkpoint.get("callbacks")
    owners: list[dict[str, Any]] = [checkpoint, callbacks] if isinstance(callbacks, dict) else [checkpoint]
    for owner in owners:
        for name in list(owner):
            found = None if owner is checkpoint and name in ("state_dict", "callbacks") else unloadable(owner[name])
            if found:
                del owner[name]
                dropped.append(f"{name} (its state{found})" if found.startswith("[") else f"{name} ({found})")
    return dropped
