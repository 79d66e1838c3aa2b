"""Distributions of the latents z from which a generator makes its samples."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments


class Latents(ABC):
    """Distribution of the latents z.

    A subclass sets `dim`, the width of the vector that the generator receives, and defines `sample`.
    Two latents are equal when they have the same class and equal attributes.
    """

    dim: int

    isotropic = False
    """Whether the continuous part has no preferred direction, so that a path should turn and not cut across."""

    @property
    def continuous_dim(self) -> int:
        """Number of coordinates of z, the first ones, that vary continuously; the others are a code, or constant."""
        return self.dim

    @abstractmethod
    def sample(
        self,
        n: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw latents.

        Args:
            n: number of draws.
            device: where they are made; None is the default device.
            dtype: floating-point type; None is the default one.
            generator: source of the random numbers, on `device`; None is torch's default generator.

        Returns:
            z of shape (n, dim).
        """

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(repr(self))


class Gaussian(Latents):
    """Standard normal latents, z ~ N(0, I).

    Args:
        dim: width of z, at least 1.

    Raises:
        ValueError: for a `dim` out of range.
    """

    isotropic = True

    def __init__(self, dim: int = 100) -> None:
        arguments.whole(self, 1, dim=dim)
        self.dim = dim

    @override
    def sample(
        self,
        n: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        return torch.randn(n, self.dim, device=device, dtype=dtype, generator=generator)


class Uniform(Latents):
    """Uniform latents, z ~ U(−1, 1) in every coordinate.

    Args:
        dim: width of z, at least 1.

    Raises:
        ValueError: for a `dim` out of range.

    Reference:
        Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative
        Adversarial Networks", ICLR 2016, arXiv 1511.06434.
    """

    def __init__(self, dim: int = 100) -> None:
        arguments.whole(self, 1, dim=dim)
        self.dim = dim

    @override
    def sample(
        self,
        n: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        return torch.rand(n, self.dim, device=device, dtype=dtype, generator=generator).mul_(2).sub_(1)


class GaussianWithCode(Latents):
    """Standard normal latents beside random one-hot codes, z = [N(0, I), scale · onehot(c₁), …], each c uniform.

    A continuous generator maps a connected cloud of Gaussian latents to a connected set. To cover a mixture of
    separate modes it must stretch the cloud across the gaps, and dropping some modes is easier. With the code the
    cloud consists of separate pieces from the start: each category can cover one mode, and the Gaussian part gives
    the variety inside it. With more categories than modes, several categories share a mode. Several codes suit data
    whose modes are combinations, such as the three digits of a stacked MNIST image.

    Args:
        gaussian_dim: width of the Gaussian part, at least 0.
        categories: number of values of each code, at least 1.
        scale: value of a code's non-zero entry, above 0; larger values start the categories further apart.
        codes: number of codes, at least 1, drawn independently; z is gaussian_dim + codes · categories wide.

    Raises:
        ValueError: for an argument out of range.
    """

    isotropic = True

    def __init__(self, gaussian_dim: int = 2, categories: int = 256, scale: float = 4.0, codes: int = 1) -> None:
        arguments.whole(self, 0, gaussian_dim=gaussian_dim)
        arguments.whole(self, 1, categories=categories, codes=codes)
        arguments.positive(self, scale=scale)
        self.gaussian_dim = gaussian_dim
        self.categories = categories
        self.scale = scale
        self.codes = codes
        self.dim = gaussian_dim + codes * categories

    @property
    @override
    def continuous_dim(self) -> int:
        return self.gaussian_dim

    @override
    def sample(
        self,
        n: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        z = torch.zeros(n, self.dim, device=device, dtype=dtype)
        z[:, : self.gaussian_dim].normal_(generator=generator)
        chosen = torch.randint(self.categories, (n, self.codes), device=device, generator=generator)
        starts = torch.arange(self.gaussian_dim, self.dim, self.categories, device=device)
        z.scatter_(1, starts + chosen, self.scale)
        return z


class Constant(Latents):
    """Constant latents, z = 1 in every coordinate, for generators whose variety comes from elsewhere.

    Args:
        dim: width of z, at least 1.

    Raises:
        ValueError: for a `dim` out of range.
    """

    def __init__(self, dim: int = 100) -> None:
        arguments.whole(self, 1, dim=dim)
        self.dim = dim

    @property
    @override
    def continuous_dim(self) -> int:
        return 0

    @override
    def sample(
        self,
        n: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        return torch.ones(n, self.dim, device=device, dtype=dtype)


def as_latents(latents: Latents | int) -> Latents:
    """Return `latents` itself, or Gaussian latents of that width if it is an integer."""
    if isinstance(latents, Latents):
        return latents
    if isinstance(latents, bool) or not isinstance(latents, int):
        raise ValueError(f"latents={latents!r}: expected Latents or an integer width, such as Gaussian(100).")
    return Gaussian(latents)
