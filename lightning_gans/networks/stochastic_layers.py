"""Layers with a bank of weights: every sample uses one group of it."""

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from lightning_gans import arguments

SLOPE = 0.2  # of the PReLUs at the start, as in the paper
HE_GAIN = math.sqrt(2 / (1 + SLOPE**2))  # keeps the mean square through such a PReLU


class StochasticLayer(nn.Module, ABC):
    """Layer with a bank of R weights: every sample uses one of them; the bias is shared.

        y = W_r x + b,    W_r = g_r · V_r / ‖V_r‖,    r = group of the sample

    The norm is taken per output. Every group starts with its own random weight: groups that start equal stay similar.
    A subclass registers `direction` V (R, …), `gain` g (R, out) and `bias` b (out,), and defines `one` and `each`.

    The gradient of a bank is dense, R times as large as that of the ordinary layer, however few groups are used;
    an optimizer with momentum changes the unused groups too.

    Args:
        groups: number R of weights in the bank, at least 1; 1 is an ordinary layer.

    Raises:
        ValueError: if an argument is out of its range; in use, if `group` does not fit the batch.

    Reference:
        Salimans, Kingma, "Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep
        Neural Networks", NeurIPS 2016, arXiv 1602.07868.
    """

    direction: Tensor
    gain: Tensor
    bias: Tensor

    def __init__(self, groups: int = 16) -> None:
        super().__init__()
        arguments.whole(self, 1, groups=groups)
        self.groups = groups

    def forward(self, x: Tensor, group: Tensor) -> Tensor:
        """Map a batch, each sample by the weight of its group.

        Args:
            x: input of the layer, N samples.
            group: int64 (M,), values in [0, R). M = N is one group per sample, M = 1 one for all; otherwise the
                batch is cut into M consecutive chunks as by `torch.tensor_split`, one group each.
        """
        if group.dim() != 1 or not 1 <= len(group) <= len(x):
            raise ValueError(
                f"group has shape {tuple(group.shape)} for {len(x)} samples, expected (M,) with M from 1 to "
                f"{len(x)}; pass one group per sample, per chunk or for all"
            )
        return apply_bank(self, x, group)

    @abstractmethod
    def one(self, x: Tensor, direction: Tensor, gain: Tensor) -> Tensor:
        """Map all of x by one group, given as its V_r and g_r."""

    @abstractmethod
    def each(self, x: Tensor, group: Tensor) -> Tensor:
        """Map every sample of x by its own group (N,), with no tensor whose size depends on the values of `group`."""


def apply_bank(layer: StochasticLayer, x: Tensor, group: Tensor) -> Tensor:
    """Apply the bank of `layer` by the fastest exact method for the device and the shape of `group`.

    For one group per sample on a CPU the batch is sorted by group and each group mapped at once, which
    `benchmarks/stochastic_layers.py` measures; a loop over the samples, a grouped convolution and one matrix
    product per sample all took longer. It needs the group sizes, for which the CPU would wait for a GPU and which
    break a compiled graph, so there `each` is used. On a GPU that choice is not measured; compiled for a CPU, `each`
    is slower than the uncompiled code.
    """
    direction, gain = layer.direction, layer.gain
    if layer.groups == 1:
        return layer.one(x, direction.squeeze(0), gain.squeeze(0))
    if len(group) == len(x) > 1:
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return layer.each(x, group)
        order, counts = group.argsort(), group.bincount(minlength=layer.groups).tolist()
        parts = zip(x.index_select(0, order).split(counts), direction.unbind(), gain.unbind(), strict=True)
        y = torch.cat([layer.one(*part) for part in parts if len(part[0])])
        return y.index_select(0, order.argsort())
    used = direction.index_select(0, group), gain.index_select(0, group)
    if len(group) == 1:
        return layer.one(x, used[0].squeeze(0), used[1].squeeze(0))
    chunks = zip(x.tensor_split(len(group)), used[0].unbind(), used[1].unbind(), strict=True)
    return torch.cat([layer.one(*chunk) for chunk in chunks])


class StochasticConvTranspose2d(StochasticLayer):
    """Transposed convolution that draws one of several groups of filters for every sample.

    The gains start so that the mean square is kept from one PReLU of slope 0.2 to the next.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        groups: number of filter groups in the bank; 1 is an ordinary weight-normalised layer.
        kernel_size: side of the filters.
        stride: factor by which height and width grow.
        padding: as in `nn.ConvTranspose2d`.

    Raises:
        ValueError: if an argument is out of its range; in use, if `group` does not fit the batch.

    Reference:
        Chaplygin, Chacksfield, "Stochastic Deconvolutional Neural Network Ensemble Training on Generative
        Pseudo-Adversarial Networks", 2018, arXiv 1802.02436.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        groups: int = 16,
        kernel_size: int = 4,
        stride: int = 2,
        padding: int = 1,
    ) -> None:
        super().__init__(groups)
        arguments.whole(self, 1, in_channels=in_channels, out_channels=out_channels)
        arguments.whole(self, 1, kernel_size=kernel_size, stride=stride)
        arguments.whole(self, 0, padding=padding)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        gain = HE_GAIN * stride  # an output pixel uses in · k² / stride² of the in · k² entries of its filter
        bank = torch.randn(groups, in_channels, out_channels, kernel_size, kernel_size)
        self.direction = nn.Parameter(bank * gain / math.sqrt(in_channels * kernel_size**2))
        self.gain = nn.Parameter(torch.full((groups, out_channels), gain))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def one(self, x: Tensor, direction: Tensor, gain: Tensor) -> Tensor:
        """Map x (N, in_channels, H, W) by V_r (in_channels, out_channels, k, k) and g_r (out_channels,)."""
        scale = (gain / self.norm(direction))[:, None, None]
        if x.shape[0] * x.shape[2] * x.shape[3] * self.stride**2 > direction[:, 0].numel():
            return F.conv_transpose2d(x, direction * scale, self.bias, self.stride, self.padding)
        y = F.conv_transpose2d(x, direction, None, self.stride, self.padding)  # smaller than the filters, so scale it
        return affine(y, scale, self.bias[:, None, None])

    def each(self, x: Tensor, group: Tensor) -> Tensor:
        """Map x (N, in_channels, H, W) by one matrix product per sample, and add up its columns by `F.fold`."""
        size = tuple((side - 1) * self.stride - 2 * self.padding + self.kernel_size for side in x.shape[2:])
        filters = self.direction.index_select(0, group).flatten(2).transpose(1, 2)
        y = F.fold(torch.bmm(filters, x.flatten(2)), size, self.kernel_size, padding=self.padding, stride=self.stride)
        scale = (self.gain / self.norm(self.direction)).index_select(0, group)
        return affine(y, scale[..., None, None], self.bias[:, None, None])

    @staticmethod
    def norm(direction: Tensor) -> Tensor:
        """Return the norms (…, out_channels) of filters (…, in_channels, out_channels, k, k)."""
        # in two steps: several times as fast as one step over dimensions that are not adjacent
        return torch.linalg.vector_norm(torch.linalg.vector_norm(direction.flatten(-2), dim=-1), dim=-2)

    @override
    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, groups={self.groups}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, padding={self.padding}"
        )


class StochasticLinear(StochasticLayer):
    """Linear layer that draws one of several weights for every sample.

    The paper has convolutions only. The gains start as those of `StochasticConvTranspose2d`.

    Args:
        in_features: width of the input.
        out_features: width of the output.
        groups: number of weights in the bank; 1 is an ordinary weight-normalised layer.

    Raises:
        ValueError: if an argument is out of its range; in use, if `group` does not fit the batch.
    """

    def __init__(self, in_features: int, out_features: int, groups: int = 16) -> None:
        super().__init__(groups)
        arguments.whole(self, 1, in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        bank = torch.randn(groups, out_features, in_features)
        self.direction = nn.Parameter(bank * HE_GAIN / math.sqrt(in_features))
        self.gain = nn.Parameter(torch.full((groups, out_features), HE_GAIN))
        self.bias = nn.Parameter(torch.zeros(out_features))

    def one(self, x: Tensor, direction: Tensor, gain: Tensor) -> Tensor:
        """Map x (N, in_features) by V_r (out_features, in_features) and g_r (out_features,)."""
        return affine(F.linear(x, direction), gain / torch.linalg.vector_norm(direction, dim=-1), self.bias)

    def each(self, x: Tensor, group: Tensor) -> Tensor:
        """Map x (N, in_features) by every group and keep one result; gathering weights per sample costs more."""
        scale = self.gain / torch.linalg.vector_norm(self.direction, dim=-1)
        y = F.linear(x, (self.direction * scale.unsqueeze(2)).flatten(0, 1)).unflatten(1, (self.groups, -1))
        return y.gather(1, group[:, None, None].expand(-1, 1, self.out_features)).squeeze(1) + self.bias.to(y.dtype)

    @override
    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, groups={self.groups}"


def affine(y: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Return scale · y + bias in the dtype of y; scaling the output is the same as scaling the weight."""
    return torch.addcmul(bias.to(y.dtype), y, scale.to(y.dtype))
