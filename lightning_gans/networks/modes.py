"""The modes, training or evaluation, of a network and of each of its modules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def keeping_modes(network: nn.Module) -> Iterator[list[nn.Module]]:
    """Yield a network's modules, whose modes may be changed inside the block; they are as before afterwards."""
    modes = {module: module.training for module in network.modules()}
    try:
        yield list(modes)
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network in evaluation mode inside the block, and restore the mode of each of its modules afterwards."""
    with keeping_modes(network):
        network.eval()
        yield
