"""Distributions of the latents z from which a generator makes its samples."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Latents(ABC):
    """Distribution of the latents z.

    A subclass sets `dim`, the width of the vector that the generator receives, and defines `sample`.
    Two latents are equal when they are of one class with equal attributes.
    """

    dim: int

    isotropic = False
    """Whether all directions of the continuous part are alike, so that a path should turn and not cut across."""

    @property
    def continuous_dim(self) -> int:
        """How many coordinates of z, the first ones, vary continuously; the others are a code, or constant."""
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
            generator: random numbers of this generator (on `device`) instead of the global ones.

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
        ValueError: if `dim` is not an integer of at least 1.
    """

    isotropic = True

    def __init__(self, dim: int = 100) -> None:
        self.dim = at_least("dim", dim, 1)

    def sample(
        self,
        n: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw z of shape (n, dim)."""
        return torch.randn(n, self.dim, device=device, dtype=dtype, generator=generator)


class Uniform(Latents):
    """Uniform latents, z ~ U(−1, 1) in every coordinate.

    Args:
        dim: width of z, at least 1.

    Raises:
        ValueError: if `dim` is not an integer of at least 1.

    Reference:
        Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative
        Adversarial Networks", ICLR 2016, arXiv 1511.06434.
    """

    def __init__(self, dim: int = 100) -> None:
        self.dim = at_least("dim", dim, 1)

    def sample(
        self,
        n: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw z of shape (n, dim)."""
        return torch.rand(n, self.dim, device=device, dtype=dtype, generator=generator).mul_(2).sub_(1)


class GaussianWithCode(Latents):
    """Standard normal latents beside a random one-hot code, z = [N(0, I), scale · onehot(c)], c uniform.

    A continuous generator maps a connected cloud of Gaussian latents to a connected set, so it must tear
    the cloud to cover a mixture of separate modes, and it is easier to drop some. With the code the cloud
    is made of separate pieces from the start: every category can own a mode, and the Gaussian part draws
    the variety inside it. With more categories than modes, each mode is the share of several categories.

    Args:
        gaussian_dim: width of the Gaussian part, at least 0.
        categories: number of values of the code, at least 1.
        scale: value of the hot entry, above 0; the larger, the further apart the categories start.

    Raises:
        ValueError: if an argument is out of its range.
    """

    isotropic = True

    def __init__(self, gaussian_dim: int = 2, categories: int = 256, scale: float = 4.0) -> None:
        self.gaussian_dim = at_least("gaussian_dim", gaussian_dim, 0)
        self.categories = at_least("categories", categories, 1)
        if not scale > 0:
            raise ValueError(f"scale must be above 0, got {scale!r}; use Gaussian for latents without a code")
        self.scale = scale
        self.dim = gaussian_dim + categories

    @property
    def continuous_dim(self) -> int:
        """The Gaussian part."""
        return self.gaussian_dim

    def sample(
        self,
        n: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw z of shape (n, gaussian_dim + categories)."""
        z = torch.zeros(n, self.dim, device=device, dtype=dtype)
        z[:, : self.gaussian_dim].normal_(generator=generator)
        code = torch.randint(self.categories, (n, 1), device=device, generator=generator)
        z[:, self.gaussian_dim :].scatter_(1, code, self.scale)
        return z


class Constant(Latents):
    """Constant latents, z = 1 in every coordinate, for generators whose variety comes from elsewhere.

    Args:
        dim: width of z, at least 1.

    Raises:
        ValueError: if `dim` is not an integer of at least 1.
    """

    def __init__(self, dim: int = 100) -> None:
        self.dim = at_least("dim", dim, 1)

    @property
    def continuous_dim(self) -> int:
        """None."""
        return 0

    def sample(
        self,
        n: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Make z of shape (n, dim); no random number is drawn."""
        return torch.ones(n, self.dim, device=device, dtype=dtype)


def as_latents(latents: Latents | int) -> Latents:
    """Return `latents` itself, or Gaussian latents of that width if it is an integer."""
    if isinstance(latents, Latents):
        return latents
    if isinstance(latents, bool) or not isinstance(latents, int):
        raise ValueError(f"latents must be a Latents or an integer width, got {latents!r}; use Gaussian(100)")
    return Gaussian(latents)


def at_least(name: str, value: int, minimum: int) -> int:
    """Return `value` if it is an integer of at least `minimum`, and raise a ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(f"{name} is {value!r}, expected an integer; set it to {minimum} or more")
    return value


def share(name: str, value: float) -> float:
    """Return `value` if it is a share that leaves something, in [0, 1), and raise a ValueError otherwise."""
    if not 0 <= value < 1:
        raise ValueError(f"{name} is {value}, expected a share in [0, 1), such as 0.5; 0 is none")
    return value
