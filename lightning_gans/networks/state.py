"""State of a network, wherever it is kept: to find out what a forward changes."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


def state_of(network: nn.Module) -> dict[str, Any]:
    """Return what a forward could change, by name: tensors with their versions, and numbers; no copies are made."""
    state: dict[str, Any] = {}
    for prefix, module in network.named_modules():
        for name, value in {**vars(module), **module._parameters, **module._buffers}.items():
            if isinstance(value, Tensor | int | float):
                state[f"{prefix}.{name}".lstrip(".")] = (value, getattr(value, "_version", 0))
    return state


def changed_state(network: nn.Module, before: dict[str, Any]) -> str | None:
    """Return the name of the first tensor or number that changed since `before`, a result of `state_of`."""
    for name, (value, version) in state_of(network).items():
        old, old_version = before.get(name, (None, 0))
        if version != old_version or (value is not old if isinstance(value, Tensor) else value != old):
            return name
    return None
