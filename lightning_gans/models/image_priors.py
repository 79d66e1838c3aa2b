"""Priors of images: what smooth pictures and a classifier's training data have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm


def total_variation(images: Tensor) -> Tensor:
    """Return the mean absolute difference of neighbours, down plus across, of images (N, C, H, W); a scalar."""
    return images.diff(dim=2).abs().mean() + images.diff(dim=3).abs().mean()


@contextmanager
def batch_norm_distances(norms: list[_BatchNorm]) -> Iterator[list[Tensor]]:
    """Yield a list of one scalar per use of a BatchNorm: how far its input's statistics are from its running ones."""
    distances: list[Tensor] = []

    def measure(norm: _BatchNorm, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].float().transpose(0, 1).flatten(1)
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None and variance is not None
        distances.append((x.mean(1) - mean).norm() + (x.var(1, correction=0) - variance).norm())

    handles = [norm.register_forward_pre_hook(measure) for norm in norms]
    try:
        yield distances
    finally:
        for handle in handles:
            handle.remove()
