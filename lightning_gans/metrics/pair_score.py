"""What scores of similarity between random pairs of images share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from lightning_gans.metrics.feature_score import in_fixed_order
from lightning_gans.metrics.score import Score, whole
from lightning_gans.networks.features import to_bytes


class PairScore(Score):
    """A mean over random pairs of fakes, beside the same of reals; a subclass defines `compare` and `name`.

    Figures are `name`, and `name` with `_real` where there are real images. Images are kept as bytes, rounded as they
    would be on disk, and pairs are drawn from `seed`: of different images, unless there are equal ones.

    Args:
        num_pairs: pairs of each kind, at least 1.
        seed: of the pairs.

    Raises:
        ValueError: if an argument is out of its range, or samples are no images.
    """

    chunk = 64
    """Pairs that are compared at a time."""

    real_images: list[Tensor]
    fake_images: list[Tensor]

    def __init__(self, num_pairs: int = 1000, seed: int = 0) -> None:
        super().__init__()
        self.num_pairs = whole(self, "num_pairs", num_pairs, 1)
        self.seed = whole(self, "seed", seed, 0)
        self.add_state("real_images", [], dist_reduce_fx="cat")
        self.add_state("fake_images", [], dist_reduce_fx="cat")

    @abstractmethod
    def compare(self, first: Tensor, second: Tensor) -> Tensor:
        """A figure (N,) of each pair of images (N, C, H, W) in [−1, 1]."""

    def check_images(self, shape: tuple[int, ...]) -> None:
        """Refuse samples of a shape that are no images."""
        if len(shape) != 3:
            raise ValueError(f"{type(self).__name__}: samples of shape {shape}; expected images (C, H, W).")

    def fit_data(self, data: Any) -> None:
        """Look whether the data is of images that can be compared."""
        if hasattr(data, "sample_shape"):
            self.check_images(tuple(data.sample_shape))

    def update(self, samples: Tensor, real: bool) -> None:
        """Keep images (N, C, H, W) of one kind."""
        self.check_samples(samples)
        self.check_images(tuple(samples.shape[1:]))
        (self.real_images if real else self.fake_images).append(to_bytes(samples.detach()))

    def compute(self) -> dict[str, Tensor]:
        """The mean of the fakes' pairs, and of the reals' where there are any."""
        figures = {self.name: self._mean("fake", self.fake_images)}
        if len(self.real_images):
            figures[f"{self.name}_real"] = self._mean("real", self.real_images)
        return figures

    def _mean(self, kind: str, state: list[Tensor] | Tensor) -> Tensor:
        parts = state if isinstance(state, list) else [state]
        count = sum(map(len, parts))
        self.check_count(kind, count)
        images = in_fixed_order(torch.cat(parts))
        source = torch.Generator().manual_seed(self.seed)
        first = torch.randint(count, (self.num_pairs,), generator=source)
        second = (first + torch.randint(1, count, (self.num_pairs,), generator=source)) % count
        found = []
        for one, other in zip(first.split(self.chunk), second.split(self.chunk), strict=True):
            pair = (images[index.to(images.device)].float() / 127.5 - 1 for index in (one, other))
            found.append(self.compare(*pair).double())
        return torch.cat(found).mean()
