"""Layers that use more than one sample, from the batch or from a reference batch; and dropout for evaluation too."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrize import is_parametrized
from typing_extensions import override

from lightning_gans import arguments


class BatchFeatures(nn.Module, ABC):
    """Layer before a head that appends statistics of the batch to every sample's features.

        (N, num_features + …) → (N, num_features + … + extra)

    Only the first `num_features` are read, so several of these layers stack in any order. The statistics are those of
    the batch of one process. A subclass sets `extra`, the number of features to append, and defines `describe`.

    Args:
        num_features: width of the features without what such layers append, at least 1.

    Raises:
        ValueError: if an argument is out of its range.
    """

    mixes_batch = True
    """A sample's output and gradient depend on the other samples, which a penalty per sample does not expect."""

    extra: int

    def __init__(self, num_features: int) -> None:
        super().__init__()
        arguments.whole(self, 1, num_features=num_features)
        self.num_features = num_features

    @abstractmethod
    def describe(self, features: Tensor) -> Tensor:
        """Map features (N, num_features) to what is appended, (N, extra)."""

    def forward(self, x: Tensor) -> Tensor:
        """Append the statistics to x (N, num_features or more)."""
        return torch.cat([x, self.describe(x[:, : self.num_features]).to(x.dtype)], dim=1)


class MinibatchSimilarity(BatchFeatures):
    """Append how similar a sample is to the others of its batch, by several learned measures.

        o_b(i) = Σ_{j ≠ i} exp(−‖M_ib − M_jb‖₁),    M_i = f_i · T,  T of shape (num_features, kernels, dimensions)

    A batch of one has o = 0. The layer keeps N² · kernels · dimensions numbers in memory.

    Args:
        num_features: width of the features, at least 1.
        kernels: number of measures b, which is the number of features appended, at least 1.
        dimensions: dimensions of each measure, at least 1.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        Salimans et al., "Improved Techniques for Training GANs", NeurIPS 2016, arXiv 1606.03498.
    """

    def __init__(self, num_features: int, kernels: int = 16, dimensions: int = 5) -> None:
        super().__init__(num_features)
        arguments.whole(self, 1, kernels=kernels, dimensions=dimensions)
        self.extra = kernels
        self.dimensions = dimensions
        self.project = nn.Linear(num_features, kernels * dimensions, bias=False)
        nn.init.normal_(self.project.weight, std=num_features**-0.5)  # columns of T start with a norm of about 1

    @override
    def describe(self, features: Tensor) -> Tensor:
        projected = self.project(features).unflatten(1, (self.extra, self.dimensions))
        projected = projected.to(torch.promote_types(projected.dtype, torch.float32))
        distances = (projected.unsqueeze(0) - projected.unsqueeze(1)).abs().sum(3)  # cdist has no double backward
        return torch.exp(-distances).sum(1) - 1  # without the sample itself, at distance 0


class MinibatchStdDevLayer(BatchFeatures):
    """Append how much the batch varies: one number, the same for every sample.

        s = mean over features of the population standard deviation (divided by N) over the batch

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

    @override
    def describe(self, features: Tensor) -> Tensor:
        features = features.to(torch.promote_types(features.dtype, torch.float32))
        variance = features.var(0, correction=0)
        varies = variance > 0
        deviation = torch.where(varies, torch.where(varies, variance, 1).sqrt(), 0)  # √ has no derivative at 0
        return deviation.mean().expand(len(features), 1)


def append_to_features(head: nn.Module, layer: BatchFeatures) -> nn.Sequential:
    """Put a layer before a head, and widen the head's first Linear by the appended features.

    Its new weights start at 0 and the others stay, so the logits do not change at first.

    Raises:
        ValueError: if there is no such Linear, or it is parametrised.
    """
    before = [part for part in head.modules() if isinstance(part, BatchFeatures)]
    width = layer.num_features + sum(part.extra for part in before)
    linears = (part for part in head.modules() if isinstance(part, nn.Linear) and part.in_features == width)
    linear = next(linears, None)
    if linear is None:
        raise ValueError(f"{type(head).__name__} as a head has no Linear of {width} inputs that could be widened.")
    if is_parametrized(linear, "weight"):
        raise ValueError(
            "the weights of the head are parametrised, as by SpectralNorm, and cannot be widened; let that come later."
        )
    old = linear.weight.detach()
    fresh = old.new_zeros(len(old), layer.extra)
    linear.weight = nn.Parameter(torch.cat([old[:, : layer.num_features], fresh, old[:, layer.num_features :]], dim=1))
    linear.in_features = width + layer.extra
    return nn.Sequential(layer.to(old), head)


class VirtualBatchNormLayer(nn.Module):
    """Normalise by the statistics of a reference batch and of the sample itself, in place of BatchNorm.

        y_i = weight · (x_i − μ_i) / √(σ²_i + eps) + bias
        μ_i = (n μ_ref + m_i) / (n + 1),    σ²_i = (n q_ref + q_i) / (n + 1) − μ_i²

    per channel, with m and q the means of x and x² over positions. The first n rows of a batch are the reference,
    which is normalised by its own μ_ref and σ²_ref; samples do not affect each other. Statistics are in single
    precision or better. Training and evaluation are the same.

    Args:
        norm: the BatchNorm to replace; its weight, bias and eps are kept.
        size: number n of rows of the reference, at least 1.

    Raises:
        ValueError: if an argument is out of its range; in use, for a batch without the reference.

    Reference:
        Salimans et al., "Improved Techniques for Training GANs", NeurIPS 2016, arXiv 1606.03498.
    """

    def __init__(self, norm: _BatchNorm, size: int) -> None:
        super().__init__()
        arguments.whole(self, 1, size=size)
        self.size = size
        self.num_features = norm.num_features
        self.eps = norm.eps
        self.weight = norm.weight
        self.bias = norm.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map x (size + N, C, …), reference first, to the same shape."""
        if len(x) < self.size:
            raise ValueError(f"a batch of {len(x)} rows cannot begin with a reference of {self.size}; put it in front.")
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        positions = list(range(2, x.dim()))
        centre = wide[: self.size].mean([0, *positions], keepdim=True)
        wide = wide - centre  # so that the statistics lose no digits to a large mean
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

    @override
    def extra_repr(self) -> str:
        return f"{self.num_features}, size={self.size}, eps={self.eps}"


class AlwaysOnDropout(nn.Module):
    """Dropout in training and evaluation: a source of noise in a generator.

    Args:
        p: probability of dropping an entry, in [0, 1); the others are scaled by 1 / (1 − p).

    Raises:
        ValueError: if `p` is out of its range.

    Reference:
        Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017, arXiv 1611.07004.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        arguments.fraction(self, include_one=False, p=p)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Drop entries of x, of any shape."""
        return F.dropout(x, self.p, training=True)

    @override
    def extra_repr(self) -> str:
        return f"p={self.p}"
