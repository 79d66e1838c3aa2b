"""The pieces of one player's update: a batch in parts, and the other player frozen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from lightning_gans.step import Batch


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Compute no gradients for a network's parameters inside the block, in the other player's step."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def parts(batch: Batch, number: int) -> Iterator[tuple[Batch, float]]:
    """Yield a batch in at most `number` parts, each with its share of the samples."""
    if number == 1:
        yield batch, 1.0
    elif isinstance(batch, Tensor):
        for part in batch.tensor_split(min(number, len(batch))):
            yield part, len(part) / len(batch)
    else:
        splits = [tensor.tensor_split(min(number, len(tensor))) for tensor in batch]
        for pieces in zip(*splits, strict=True):
            yield list(pieces), len(pieces[0]) / len(batch[0])
