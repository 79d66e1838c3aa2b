"""State of a network, wherever it is kept: to find out what a forward changes, and to leave it unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lightning_gans.networks.modes import keeping_modes
from lightning_gans.networks.packs import PackedEmbedding
from lightning_gans.networks.wrappers import DiscriminatorWrapper


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


@contextmanager
def as_in_training(network: nn.Module, samples: int) -> Iterator[None]:
    """Let the layers of a network act as in training inside the block; modes and buffers are as before afterwards.

    BatchNorm then normalises by the batch, and dropout drops. Wrappers keep their mode, as what they do with the first
    batch and with batches of odd sizes is for training alone. So do all layers for a single sample, which has no
    statistics.

    Args:
        network: a discriminator.
        samples: how many samples it will see at a time.
    """
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    try:
        with keeping_modes(network) as modules:
            for module in modules:
                if samples > 1 and not isinstance(module, DiscriminatorWrapper | PackedEmbedding):
                    module.training = True
            yield
    finally:
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)


@contextmanager
def normalising_by_batch(network: nn.Module) -> Iterator[None]:
    """Let BatchNorms in evaluation mode normalise by the batch inside the block, not by the statistics that they keep.

    Those are neither used nor changed, and processes do not wait for each other, those with SyncBatchNorm included.

    Args:
        network: in evaluation mode; its BatchNorms must see at least two values of each channel.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    kept = [(norm.running_mean, norm.running_var) for norm in norms]
    for norm in norms:
        norm.running_mean = norm.running_var = None  # as of a BatchNorm that keeps none
    try:
        yield
    finally:
        for norm, (mean, variance) in zip(norms, kept, strict=True):
            norm.running_mean, norm.running_var = mean, variance
