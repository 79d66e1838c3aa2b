"""Euclidean distances between many samples, a block of rows at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 2**23
"""Number of distances in memory at a time, 64 MiB of float64."""


def distance_blocks(x: Tensor, y: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield Euclidean distances from rows of x (N, D) to all of y (M, D): the rows, and (rows, M) in float32.

    Computed by inner products in float64, about the mean of y. Distances below a millionth of the rows' lengths are
    rounding errors of float32 features and set to 0, so that equal rows are at distance 0.
    """
    centre = y.double().mean(0)
    others = y.double() - centre
    lengths = others.square().sum(1)
    size = max(1, BLOCK // len(y))
    for start in range(0, len(x), size):
        rows = x[start : start + size].double() - centre
        scale = rows.square().sum(1, keepdim=True) + lengths
        squares = torch.addmm(scale, rows, others.T, alpha=-2)
        squares[squares < 1e-12 * scale] = 0
        yield slice(start, start + len(rows)), squares.sqrt_().float()


def distances_to_neighbours(x: Tensor, k: int) -> Tensor:
    """Return the distance (N,) from every row of x (N, D) to its k-th nearest other row."""
    found = []
    for rows, distances in distance_blocks(x, x):
        own = torch.arange(rows.start, rows.stop, device=x.device)
        distances[own - rows.start, own] = torch.inf
        found.append(distances.kthvalue(k, dim=1).values)
    return torch.cat(found)


def mean_distance(x: Tensor) -> Tensor:
    """Return the mean distance between two different rows of x (N, D), a float64 scalar."""
    total = sum((part.double().sum() for _, part in distance_blocks(x, x)), torch.zeros((), device=x.device).double())
    return total / (len(x) * (len(x) - 1))
