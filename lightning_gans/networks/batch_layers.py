"""Layers that look beyond one sample, at its batch or at a batch of reference; and dropout that stays."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrize import is_parametrized

from lightning_gans.networks.latents import at_least


class BatchFeatures(nn.Module, ABC):
    """Layer before a head that appends to every sample's features what its batch looks like.

        (N, num_features + …) → (N, num_features + … + extra)

    Only the first `num_features` are read, so several of these layers stack in any order. What a sample is
    appended depends on the batch of its process. A subclass sets `extra` and defines `describe`.

    Args:
        num_features: width of the features proper, at least 1.

    Raises:
        ValueError: if an argument is out of its range.
    """

    mixes_batch = True
    """A sample's output depends on the others, and so does its gradient: nothing for a penalty per sample."""

    extra: int

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = at_least("num_features", num_features, 1)

    @abstractmethod
    def describe(self, features: Tensor) -> Tensor:
        """Map features (N, num_features) to what is appended, (N, extra)."""

    def forward(self, x: Tensor) -> Tensor:
        """Append to x (N, num_features or more) what the batch looks like."""
        return torch.cat([x, self.describe(x[:, : self.num_features]).to(x.dtype)], dim=1)


class AppendSimilarities(BatchFeatures):
    """How close a sample is to the others of its batch, by several learned measures.

        o_b(i) = Σ_{j ≠ i} exp(−‖M_ib − M_jb‖₁),    M_i = f_i · T,  T of shape (num_features, kernels, dimensions)

    A batch of one has o = 0. It takes N² · kernels · dimensions numbers in memory.

    Args:
        num_features: width of the features, at least 1.
        kernels: number of measures b, hence of numbers appended, at least 1.
        dimensions: dimensions in which each measures, at least 1.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        Salimans et al., "Improved Techniques for Training GANs", NeurIPS 2016, arXiv 1606.03498.
    """

    def __init__(self, num_features: int, kernels: int = 16, dimensions: int = 5) -> None:
        super().__init__(num_features)
        self.extra = at_least("kernels", kernels, 1)
        self.dimensions = at_least("dimensions", dimensions, 1)
        self.project = nn.Linear(num_features, kernels * dimensions, bias=False)
        nn.init.normal_(self.project.weight, std=num_features**-0.5)  # columns of T start with a norm of about 1

    def describe(self, features: Tensor) -> Tensor:
        """Map features (N, num_features) to similarities (N, kernels)."""
        projected = self.project(features).unflatten(1, (self.extra, self.dimensions))
        projected = projected.to(torch.promote_types(projected.dtype, torch.float32))
        distances = (projected.unsqueeze(0) - projected.unsqueeze(1)).abs().sum(3)  # cdist has no double backward
        return torch.exp(-distances).sum(1) - 1  # but for itself, at a distance of 0


class AppendDeviation(BatchFeatures):
    """How much the batch varies: one number, the same for every sample.

        s = mean over features of the standard deviation over the batch (that of the population, /N)

    A batch of one, or of equal samples, has s = 0, with a gradient of 0.

    Args:
        num_features: width of the features, at least 1.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation", ICLR 2018,
        arXiv 1710.10196.
    """

    extra = 1

    def describe(self, features: Tensor) -> Tensor:
        """Map features (N, num_features) to the deviation (N, 1)."""
        features = features.to(torch.promote_types(features.dtype, torch.float32))
        variance = features.var(0, correction=0)
        varies = variance > 0
        deviation = torch.where(varies, torch.where(varies, variance, 1).sqrt(), 0)  # √0 has no slope
        return deviation.mean().expand(len(features), 1)


def append_to_features(head: nn.Module, layer: BatchFeatures) -> nn.Sequential:
    """Put a layer before a head, whose first Linear learns to read what is appended.

    Its new weights start at 0, the old ones stay: at first the logits are those without the layer.

    Raises:
        ValueError: if there is no such Linear, or it is parametrised.
    """
    before = [part for part in head.modules() if isinstance(part, BatchFeatures)]
    width = layer.num_features + sum(part.extra for part in before)
    linears = (part for part in head.modules() if isinstance(part, nn.Linear) and part.in_features == width)
    linear = next(linears, None)
    if linear is None:
        raise ValueError(f"{type(head).__name__} as a head has no Linear of {width} inputs that could be widened")
    if is_parametrized(linear, "weight"):
        raise ValueError(
            "the weights of the head are parametrised, as by SpectralNorm, and cannot be widened; let that come later"
        )
    old = linear.weight.detach()
    fresh = old.new_zeros(len(old), layer.extra)
    linear.weight = nn.Parameter(torch.cat([old[:, : layer.num_features], fresh, old[:, layer.num_features :]], dim=1))
    linear.in_features = width + layer.extra
    return nn.Sequential(layer.to(old), head)


class ReferenceNorm(nn.Module):
    """Normalisation by the statistics of a reference batch and the sample itself, in place of BatchNorm.

        y_i = weight · (x_i − μ_i) / √(σ²_i + eps) + bias
        μ_i = (n μ_ref + m_i) / (n + 1),    σ²_i = (n q_ref + q_i) / (n + 1) − μ_i²

    per channel, with m and q the means of x and x² over positions. The first n rows of a batch are the reference,
    which is normalised by its own μ_ref and σ²_ref; samples do not see each other. Statistics are in single precision
    or better. It does the same in training and in evaluation.

    Args:
        norm: the BatchNorm that it replaces; its weight, its bias and eps carry over.
        size: number n of rows of the reference, at least 1.

    Raises:
        ValueError: if an argument is out of its range; in use, for a batch without the reference.

    Reference:
        Salimans et al., "Improved Techniques for Training GANs", NeurIPS 2016, arXiv 1606.03498.
    """

    def __init__(self, norm: _BatchNorm, size: int) -> None:
        super().__init__()
        self.size = at_least("size", size, 1)
        self.num_features = norm.num_features
        self.eps = norm.eps
        self.weight = norm.weight
        self.bias = norm.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map x (size + N, C, …), reference first, to the same shape."""
        if len(x) < self.size:
            raise ValueError(f"a batch of {len(x)} rows cannot begin with a reference of {self.size}; put it in front")
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        positions = list(range(2, x.dim()))
        centre = wide[: self.size].mean([0, *positions], keepdim=True)
        wide = wide - centre  # statistics of what is left lose no digits to a large mean
        variance = wide[: self.size].square().mean([0, *positions], keepdim=True)
        own = wide[self.size :]
        mean, square = (y.mean(positions, keepdim=True) if positions else y for y in (own, own.square()))
        mean = mean / (self.size + 1)
        square = (self.size * variance + square) / (self.size + 1) - mean.square()
        reference = wide[: self.size] * torch.rsqrt(variance + self.eps)
        y = torch.cat([reference, (own - mean) * torch.rsqrt(square.clamp(min=0) + self.eps)])
        shape = (-1, *[1] * len(positions))
        if self.weight is not None:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(x.dtype)

    def extra_repr(self) -> str:
        """Arguments, for `print`."""
        return f"{self.num_features}, size={self.size}, eps={self.eps}"


class LastingDropout(nn.Module):
    """Dropout that acts in evaluation too: a source of noise in a generator.

    Args:
        p: probability of dropping an entry, in [0, 1); the others are scaled by 1 / (1 − p).

    Raises:
        ValueError: if `p` is out of its range.

    Reference:
        Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017, arXiv 1611.07004.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"p is {p!r}, expected a probability in [0, 1); 0.5 is usual")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Drop entries of x, of any shape."""
        return F.dropout(x, self.p, training=True)

    def extra_repr(self) -> str:
        """Arguments, for `print`."""
        return f"p={self.p}"
