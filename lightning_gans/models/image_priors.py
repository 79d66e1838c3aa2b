"""Priors of images: what smooth pictures, pictures on black and a classifier's training data have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lightning_gans import arguments
from lightning_gans.schedules import Schedule, bounds, value


class ImagePriors:
    """The terms that priors add to a loss, each with its weight.

    Attributes:
        weights: those that are not 0, by name.

    Args:
        owner: whose arguments the weights are, for messages.
        network: the classifier, whose BatchNorm layers are read.
        total_variation: weight of `total_variation`, at least 0.
        image_norm: weight of `image_norm`, at least 0.
        batch_norm_statistics: weight of the mean of `batch_norm_distances`, at least 0.

    Raises:
        ValueError: for a negative weight, or a network without BatchNorm whose statistics are to be matched.
    """

    def __init__(
        self,
        owner: object,
        network: nn.Module,
        total_variation: float | Schedule,
        image_norm: float | Schedule,
        batch_norm_statistics: float | Schedule,
    ) -> None:
        weights: dict[str, Any] = {
            "total_variation": total_variation,
            "image_norm": image_norm,
            "batch_norm_statistics": batch_norm_statistics,
        }
        arguments.at_least(owner, 0, **weights)
        self.weights = {name: weight for name, weight in weights.items() if bounds(weight)[1] > 0}
        self._norms: list[_BatchNorm] = []
        if "batch_norm_statistics" in self.weights:
            self._norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
            if not self._norms:
                raise ValueError(
                    f"{type(owner).__name__}(batch_norm_statistics={batch_norm_statistics}): {type(network).__name__} "
                    "has no BatchNorm whose statistics could be matched; set it to 0."
                )

    @property
    def names(self) -> list[str]:
        """The names of the terms in the loss."""
        return list(self.weights)

    def distances(self) -> Any:
        """Return the context of `batch_norm_distances`, in which the classifier is called."""
        return batch_norm_distances(self._norms)

    def terms(self, images: Tensor, distances: list[Tensor], updates: int) -> dict[str, Tensor]:
        """Return each term by name.

        Args:
            images: (N, C, H, W) in [−1, 1].
            distances: what `distances` yielded, of the same images.
            updates: generator updates so far, for schedules.
        """
        found = {}
        for name, weight in self.weights.items():
            if name == "total_variation":
                prior = total_variation(images)
            elif name == "image_norm":
                prior = image_norm(images)
            else:
                prior = torch.stack(distances).mean()
            found[name] = value(weight, updates) * prior
        return found


def total_variation(images: Tensor) -> Tensor:
    """Return the mean absolute difference of neighbours, down plus across, of images (N, C, H, W); a scalar."""
    return images.diff(dim=2).abs().mean() + images.diff(dim=3).abs().mean()


def image_norm(images: Tensor) -> Tensor:
    """Return the mean Euclidean norm of images (N, C, H, W) in [−1, 1], counted from black; a scalar.

    mean over the images of ‖(x + 1) / 2‖
    """
    return torch.linalg.vector_norm((images + 1).flatten(1) / 2, dim=1).mean()


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
