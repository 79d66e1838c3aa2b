"""What scores of random pairs of images share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.metrics.score import Score
from lightning_gans.networks.features import to_bytes


class PairScore(Score):
    """A mean over random pairs of fakes, beside the same mean over pairs of reals.

    The figures are `name`, and `name` with the suffix `_real` where there are real images. Images are kept as bytes,
    rounded as they would be on disk. Pairs are drawn from `seed` and never pair an image with itself. A subclass
    defines `compare` and `name`.

    Args:
        num_pairs: pairs of each kind, at least 1.
        seed: seed of the pairs, at least 0.

    Raises:
        ValueError: if an argument is out of its range, or samples are not images.
    """

    chunk = 64
    """Pairs that are compared at a time."""

    real_images: list[Tensor]
    fake_images: list[Tensor]

    def __init__(self, num_pairs: int = 1000, seed: int = 0) -> None:
        super().__init__()
        arguments.whole(self, 1, num_pairs=num_pairs)
        arguments.whole(self, 0, seed=seed)
        self.num_pairs = num_pairs
        self.seed = seed
        self.figure_names = (self.name, f"{self.name}_real")
        self.add_state("real_images", [], dist_reduce_fx="cat")
        self.add_state("fake_images", [], dist_reduce_fx="cat")

    @abstractmethod
    def compare(self, first: Tensor, second: Tensor) -> Tensor:
        """Return one number for each pair of images (N, C, H, W) in [−1, 1], (N,)."""

    def check_images(self, shape: tuple[int, ...]) -> None:
        """Raise a ValueError for a sample shape that is not that of images, or of images that cannot be compared."""
        if len(shape) != 3:
            raise ValueError(
                f"{type(self).__name__}: samples of shape {shape}; expected images (C, H, W); leave this score out."
            )

    @override
    def fit_data(self, data: Any) -> None:
        if hasattr(data, "sample_shape"):
            self.check_images(tuple(data.sample_shape))

    @override
    def update(self, samples: Tensor, real: bool) -> None:
        self.check_samples(samples, real)
        self.check_images(tuple(samples.shape[1:]))
        (self.real_images if real else self.fake_images).append(to_bytes(samples.detach()))

    @override
    def compute(self) -> dict[str, Tensor]:
        figures = {self.name: self._mean("fake", self.fake_images)}
        if len(self.real_images):
            figures[f"{self.name}_real"] = self._mean("real", self.real_images)
        return figures

    def _mean(self, kind: str, state: list[Tensor] | Tensor) -> Tensor:
        images = self.joined(kind, state)
        count = len(images)
        source = torch.Generator().manual_seed(self.seed)
        first = torch.randint(count, (self.num_pairs,), generator=source)
        second = (first + torch.randint(1, count, (self.num_pairs,), generator=source)) % count
        found = []
        for one, other in zip(first.split(self.chunk), second.split(self.chunk), strict=True):
            pair = (images[index.to(images.device)].float() / 127.5 - 1 for index in (one, other))
            found.append(self.compare(*pair).double())
        return torch.cat(found).mean()
