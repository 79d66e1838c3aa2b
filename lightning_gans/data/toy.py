"""Toy distributions in the plane, whose modes and supports are known exactly."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.data.base import BatchDataset, GANData, Samples, Split, batch_generator, fixed_generator
from lightning_gans.step import Batch

Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor | None]]


class _Planar(GANData):
    """Points in the plane: a fixed training set, or fresh draws for each batch."""

    def __init__(
        self,
        draw: Draw,
        sizes: tuple[int, int, int],
        fresh: bool,
        data_seed: int,
        batch_size: int,
        labels: bool,
        num_workers: int,
    ):
        super().__init__(batch_size, labels, num_workers)
        arguments.whole(self, 1, num_samples=sizes[0], num_val_samples=sizes[1], num_test_samples=sizes[2])
        arguments.whole(self, 0, data_seed=data_seed)
        self.fresh = fresh
        self.data_seed = data_seed
        self._draw = draw
        self._sizes: dict[Split, int] = {"train": sizes[0], "val": sizes[1], "test": sizes[2]}

    @property
    @override
    def sample_shape(self) -> tuple[int, ...]:
        return (2,)

    @override
    def load(self, split: Split) -> BatchDataset:
        if self.fresh and split == "train":
            return _FreshDraws(self._draw, self._sizes[split], self.labels)
        x, y = self._draw(self._sizes[split], fixed_generator(self.data_seed, split))
        return Samples(x, y if self.labels else None)


class _FreshDraws(BatchDataset):
    def __init__(self, draw: Draw, length: int, labels: bool):
        self.draw = draw
        self.length = length
        self.labels = labels

    @override
    def __len__(self) -> int:
        return self.length

    @override
    def __getitems__(self, indices: Sequence[int]) -> Batch:
        x, y = self.draw(len(indices), batch_generator(indices))
        return (x, y) if self.labels and y is not None else x


class _GaussianMixture(_Planar):
    """Points of equal Gaussians, labelled by the index of the Gaussian."""

    def __init__(self, means: Tensor, sigma: float, *others: Any):
        self.means = means
        self.sigma = sigma
        super().__init__(_Mixture(means, sigma), *others)

    @override
    def count_classes(self) -> int:
        return len(self.means)


class _Mixture:
    """Draws points of equal Gaussians, and the index of the Gaussian of each."""

    def __init__(self, means: Tensor, sigma: float):
        self.means = means
        self.sigma = sigma

    def __call__(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        y = torch.randint(len(self.means), (count,), generator=generator)
        noise = torch.randn(count, 2, generator=generator)
        return noise.mul_(self.sigma).add_(self.means.index_select(0, y)), y


class GaussianRing(_GaussianMixture):
    """Equal Gaussians on a circle, the standard test for dropped modes.

    Mode k is at radius · (cos 2πk/K, sin 2πk/K), k = 0 … K − 1. The defaults are those of VEEGAN and PacGAN; those of
    the Unrolled GAN paper are `radius=2, sigma=0.02`, whose scores are not comparable. Metrics read `means` (K, 2) and
    `sigma`; labels are the indices of modes.

    Args:
        num_modes: K, at least 1.
        radius: distance of the modes from the origin, above 0.
        sigma: standard deviation of a mode along each axis, above 0.
        num_samples: points in the training set; with `fresh`, points in an epoch.
        fresh: draw new points for every batch instead of a fixed set.
        num_val_samples: points in the validation set, always fixed.
        num_test_samples: points in the test set, always fixed.
        data_seed: seed of the fixed sets, at least 0; they do not depend on the run's seed.
        batch_size: points in a batch, in each process.
        labels: whether batches include the index of the mode.
        num_workers: processes that make batches beside the main one; 0 is fastest here.

    Raises:
        ValueError: for an argument out of range.

    Reference:
        Metz et al., Unrolled Generative Adversarial Networks, ICLR 2017, arXiv 1611.02163; Srivastava et
        al., VEEGAN, NeurIPS 2017, arXiv 1705.07761; Lin et al., PacGAN, NeurIPS 2018, arXiv 1712.04086.
    """

    def __init__(
        self,
        num_modes: int = 8,
        radius: float = 1.0,
        sigma: float = 0.01,
        num_samples: int = 100_000,
        fresh: bool = False,
        num_val_samples: int = 10_000,
        num_test_samples: int = 2_500,
        data_seed: int = 0,
        batch_size: int = 256,
        labels: bool = False,
        num_workers: int = 0,
    ):
        arguments.whole(self, 1, num_modes=num_modes)
        arguments.positive(self, radius=radius, sigma=sigma)
        angles = torch.arange(num_modes, dtype=torch.float64) * (2 * math.pi / num_modes)
        means = radius * torch.stack([angles.cos(), angles.sin()], dim=1).float()
        sizes = (num_samples, num_val_samples, num_test_samples)
        super().__init__(means, sigma, sizes, fresh, data_seed, batch_size, labels, num_workers)


class GaussianGrid(_GaussianMixture):
    """Equal Gaussians on a square grid centred at the origin; by default 25 at {−4, −2, 0, 2, 4}².

    Mode r · side + c is in row r (second coordinate) and column c (first), both ascending. Metrics read `means`
    (side², 2) and `sigma`; labels are the indices of modes.

    Args:
        side: modes along each side, at least 1.
        spacing: distance between neighbours, above 0.
        sigma: standard deviation of a mode along each axis, above 0.
        num_samples: points in the training set; with `fresh`, points in an epoch.
        fresh: draw new points for every batch instead of a fixed set.
        num_val_samples: points in the validation set, always fixed.
        num_test_samples: points in the test set, always fixed.
        data_seed: seed of the fixed sets, at least 0; they do not depend on the run's seed.
        batch_size: points in a batch, in each process.
        labels: whether batches include the index of the mode.
        num_workers: processes that make batches beside the main one; 0 is fastest here.

    Raises:
        ValueError: for an argument out of range.

    Reference:
        Srivastava et al., VEEGAN, NeurIPS 2017, arXiv 1705.07761; Lin et al., PacGAN, NeurIPS 2018,
        arXiv 1712.04086.
    """

    def __init__(
        self,
        side: int = 5,
        spacing: float = 2.0,
        sigma: float = 0.05,
        num_samples: int = 100_000,
        fresh: bool = False,
        num_val_samples: int = 10_000,
        num_test_samples: int = 2_500,
        data_seed: int = 0,
        batch_size: int = 256,
        labels: bool = False,
        num_workers: int = 0,
    ):
        arguments.whole(self, 1, side=side)
        arguments.positive(self, spacing=spacing, sigma=sigma)
        axis = (torch.arange(side) - (side - 1) / 2) * spacing
        means = torch.cartesian_prod(axis, axis).flip(1).contiguous()
        sizes = (num_samples, num_val_samples, num_test_samples)
        super().__init__(means, sigma, sizes, fresh, data_seed, batch_size, labels, num_workers)


class ParallelLines(_Planar):
    """Points on the vertical segment x = offset, 0 ≤ y ≤ 1, for the study of disjoint supports.

    A generator that starts on the segment x = 0, such as g_θ(z) = (θ, z) with z ~ U[0, 1] and θ = 0, has a support that
    is parallel to this one and disjoint from it: their JS divergence is ln 2 whatever the gap and gives no gradient;
    their Wasserstein-1 distance is |offset − θ|. Instance noise with a σ of the order of the gap makes the supports
    overlap.

    Args:
        offset: x of the segment; |offset| is the gap that the generator has to cross.
        num_samples: points in the training set; with `fresh`, points in an epoch.
        fresh: draw new points for every batch instead of a fixed set.
        num_val_samples: points in the validation set, always fixed.
        num_test_samples: points in the test set, always fixed.
        data_seed: seed of the fixed sets, at least 0; they do not depend on the run's seed.
        batch_size: points in a batch, in each process.
        num_workers: processes that make batches beside the main one; 0 is fastest here.

    Raises:
        ValueError: for an argument out of range.

    Reference:
        Arjovsky, Chintala and Bottou, Wasserstein GAN, ICML 2017, arXiv 1701.07875, example 1.
    """

    def __init__(
        self,
        offset: float = 1.0,
        num_samples: int = 100_000,
        fresh: bool = False,
        num_val_samples: int = 10_000,
        num_test_samples: int = 2_500,
        data_seed: int = 0,
        batch_size: int = 256,
        num_workers: int = 0,
    ):
        if not math.isfinite(offset):
            raise ValueError(f"ParallelLines(offset={offset}): expected a finite number, such as 1.0.")
        self.offset = offset
        sizes = (num_samples, num_val_samples, num_test_samples)
        super().__init__(partial(_segment, offset), sizes, fresh, data_seed, batch_size, False, num_workers)


def _segment(offset: float, count: int, generator: torch.Generator) -> tuple[Tensor, None]:
    height = torch.rand(count, generator=generator)
    return torch.stack([torch.full_like(height, offset), height], dim=1), None
