"""The residual blocks of convolutional networks that double and halve maps."""

import math
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from lightning_gans.networks.class_norm import ClassNorm

Norm = Callable[[int], nn.Module] | None


class UpBlock(nn.Module):
    """Residual block that enlarges a map, by nearest neighbours, to a given size.

        y = conv(act(norm(conv(up(act(norm(x))))))) + up(conv₁ₓ₁(x))

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        size: height and width of the output.
        norm: makes the normalisation of a map from its channels; None is none.
        activation: makes the activation of a map.
        num_classes: number of classes that have their own weight and bias behind a norm; 0 is an ordinary norm.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: tuple[int, ...],
        norm: Norm,
        activation: Callable[[], nn.Module],
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        self.size = size
        self.norm1, self.activation1 = normalisation(norm, in_channels, num_classes), activation()
        self.conv1 = glorot(nn.Conv2d(in_channels, out_channels, 3, padding=1), math.sqrt(2))
        self.norm2, self.activation2 = normalisation(norm, out_channels, num_classes), activation()
        self.shortcut = glorot(nn.Conv2d(in_channels, out_channels, 1))
        self.conv2 = glorot(nn.Conv2d(out_channels, out_channels, 3, padding=1), math.sqrt(2))

    def forward(self, x: Tensor, classes: Tensor | None = None) -> Tensor:
        """Map (N, in_channels, H, W), and the weights of the classes, to (N, out_channels, *size)."""
        y = self.conv1(self._enlarged(self.activation1(_normalised(self.norm1, x, classes))))
        y = self.conv2(self.activation2(_normalised(self.norm2, y, classes)))
        return y + self._enlarged(self.shortcut(x))  # a 1 × 1 convolution does the same before as after

    def _enlarged(self, x: Tensor) -> Tensor:
        return F.interpolate(x, size=self.size, mode="nearest")

    @override
    def extra_repr(self) -> str:
        return f"size={self.size}"


class DownBlock(nn.Module):
    """Residual block that halves a map by average pooling, rounding down, or keeps its size.

        y = pool(conv(act(norm(conv(act(norm(x))))))) + conv₁ₓ₁(pool(x))

    Without pooling and with the same channels the shortcut is x itself. The first block of a network, which sees
    samples, has no norm and no activation before its first convolution.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        norm: makes the normalisation of a map from its channels; None is none.
        activation: makes the activation of a map.
        pool: whether the map is halved.
        first: whether it is the first block of the network.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        norm: Norm,
        activation: Callable[[], nn.Module],
        pool: bool = True,
        first: bool = False,
    ) -> None:
        super().__init__()
        inner = out_channels if first else in_channels
        self.pool = nn.AvgPool2d(2) if pool else nn.Identity()
        self.norm1 = nn.Identity() if first else normalisation(norm, in_channels)
        self.activation1 = nn.Identity() if first else activation()
        self.conv1 = glorot(nn.Conv2d(in_channels, inner, 3, padding=1), math.sqrt(2))
        self.norm2, self.activation2 = normalisation(norm, inner), activation()
        self.conv2 = glorot(nn.Conv2d(inner, out_channels, 3, padding=1), math.sqrt(2))
        learned = pool or in_channels != out_channels
        self.shortcut = glorot(nn.Conv2d(in_channels, out_channels, 1)) if learned else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H // 2, W // 2), or H and W without pooling."""
        y = self.conv1(self.activation1(self.norm1(x)))
        y = self.conv2(self.activation2(self.norm2(y)))
        return self.pool(y) + self.shortcut(self.pool(x))


def normalisation(norm: Norm, channels: int, num_classes: int = 0) -> nn.Module:
    """Make the normalisation of a map, with a weight and bias for each class where there are classes."""
    if norm is None:
        return nn.Identity()
    return ClassNorm(norm(channels), channels, num_classes) if num_classes else norm(channels)


def _normalised(norm: nn.Module, x: Tensor, classes: Tensor | None) -> Tensor:
    return norm(x, classes) if isinstance(norm, ClassNorm) else norm(x)


def glorot(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> nn.Conv2d | nn.Linear:
    """Draw a layer's weight from U(−a, a), a = gain · √(6 / (fan_in + fan_out)), set its bias to 0, and return it."""
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def halvings(side: int, least: int) -> int:
    """Return how often a side can be halved, rounding down, so that `least` or more is left."""
    return max(side // least, 1).bit_length() - 1


def stage_channels(stages: int, width: int, max_width: int | None) -> list[int]:
    """Return the channels of the maps from the image inwards: `width`, doubled at each halving up to `max_width`."""
    return [min(width * 2**k, max_width or width) for k in range(stages)]
