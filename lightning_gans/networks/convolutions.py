"""The layers of convolutional networks that double and halve maps, and their initial weights."""

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans import arguments
from lightning_gans.networks.base import cancels_bias
from lightning_gans.networks.weights import redraw, weighted_layers


class TransposedConv(nn.ConvTranspose2d):
    """Fractionally strided convolution (stride 2, padding 1): doubles height and width.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: 4, or 3, which makes checkerboard patterns (Odena et al., 2016) and has half the weights.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Literal[3, 4] = 4) -> None:
        arguments.one_of(self, (3, 4), kernel_size=kernel_size)
        super().__init__(in_channels, out_channels, kernel_size, stride=2, padding=1, output_padding=4 - kernel_size)


class ResizeConv(nn.Conv2d):
    """Nearest-neighbour doubling of height and width, then a 3 × 3 convolution: no checkerboard patterns.

    Reference:
        Odena, Dumoulin, Olah, "Deconvolution and Checkerboard Artifacts", Distill 2016.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, 2H, 2W)."""
        return super().forward(F.interpolate(input, scale_factor=2.0, mode="nearest"))


class StridedConv(nn.Conv2d):
    """Strided convolution (stride 2, padding 1): halves height and width.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: 4, which rounds an odd side down, or 3, which rounds it up.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Literal[3, 4] = 4) -> None:
        arguments.one_of(self, (3, 4), kernel_size=kernel_size)
        super().__init__(in_channels, out_channels, kernel_size, stride=2, padding=1)


class PooledConv(nn.Conv2d):
    """3 × 3 convolution, then average pooling by 2: halves height and width, rounding down."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H // 2, W // 2)."""
        return F.avg_pool2d(super().forward(input), 2)


class Crop(nn.Module):
    """Keep the top left `height` × `width` of a map."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, height, width)."""
        return x[..., : self.height, : self.width]


def hidden(
    layers: list[nn.Module],
    channels: int,
    norm: Callable[[int], nn.Module] | None,
    activation: Callable[[], nn.Module],
    dropout: float,
    redundant_bias: bool = False,
) -> list[nn.Module]:
    """Return `layers`, then norm, activation and dropout; the first layer loses a bias that the norm would cancel."""
    normalisation = norm(channels) if norm else None
    if (
        not redundant_bias
        and cancels_bias(normalisation)
        and isinstance(layers[0], nn.Linear | nn.modules.conv._ConvNd)
    ):
        layers[0].register_parameter("bias", None)
    dropouts = [nn.Dropout(dropout)] if dropout else []
    return [*layers, *([normalisation] if normalisation else []), activation(), *dropouts]


def initialize(module: nn.Module, std: float = 0.02, embeddings: bool = True) -> None:
    """Initialise all layers in `module` in place, as the DCGAN paper does.

    Weights of convolutions, linear layers and embeddings are drawn from N(0, std²), weights of norms from
    N(1, std²), and biases are 0; other modules keep their values.

    Args:
        module: network or part of one.
        std: standard deviation, at least 0.
        embeddings: whether embeddings are drawn too; those of a generator should keep the scale of its latents.
    """
    weighted = {part for _, part in weighted_layers(module, embeddings)}
    for part in module.modules():
        if part in weighted:
            redraw(part, lambda weight: nn.init.normal_(weight, 0.0, std))
        elif isinstance(part, nn.modules.batchnorm._NormBase | nn.GroupNorm | nn.LayerNorm):
            if part.weight is not None:
                nn.init.normal_(part.weight, 1.0, std)
            if isinstance(part.bias, Tensor):
                nn.init.zeros_(part.bias)
