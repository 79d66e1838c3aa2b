"""Deep convolutional generator and discriminator (DCGAN), for images of any size from 8 × 8."""

import math
from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans import arguments
from lightning_gans.networks.base import Discriminator, Generator, as_shape, cancels_bias
from lightning_gans.networks.latents import Latents
from lightning_gans.networks.weights import redraw, weighted_layers


class TransposedConv(nn.ConvTranspose2d):
    """Fractionally strided convolution (kernel 4, stride 2, padding 1): doubles height and width."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=4, stride=2, padding=1)


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
    """Strided convolution (kernel 4, stride 2, padding 1): halves height and width, rounding down."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=4, stride=2, padding=1)


class PooledConv(nn.Conv2d):
    """3 × 3 convolution, then average pooling by 2: halves height and width, rounding down."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H // 2, W // 2)."""
        return F.avg_pool2d(super().forward(input), 2)


class DCGANGenerator(Generator):
    """Deep convolutional generator, Linear from z to a small map → n × doubling → tanh.

    The first map is ⌈H/2ⁿ⌉ × ⌈W/2ⁿ⌉, with the largest n that leaves 4 or more on its shorter side. After
    each doubling the map is cropped to ⌈H/2ᵏ⌉ × ⌈W/2ᵏ⌉, which for powers of two crops nothing. Every map but
    the last is normalised and activated. The map next to the image has `width` channels, and each smaller map
    twice as many, at most 8 · width: a 64 × 64 image with width 128 has the paper's 1024-512-256-128.

    Args:
        image_shape: (C, H, W), H and W at least 8.
        latents: distribution of z; an integer is the width of Gaussian latents.
        width: channels of the map next to the image.
        norm: makes the normalisation of a map from its channels; None is none.
        activation: makes the activation of a map.
        upsampling: makes the layer that doubles a map from its channels in and out, such as `TransposedConv`
            or `ResizeConv`.
        dropout: probability of dropping an entry of an activated map, in [0, 1].
        num_classes: number of labels; 0 is an unconditional generator.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative
        Adversarial Networks", ICLR 2016, arXiv 1511.06434.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latents: Latents | int = 100,
        width: int = 128,
        norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d,
        activation: Callable[[], nn.Module] = nn.ReLU,
        upsampling: Callable[[int, int], nn.Module] = TransposedConv,
        dropout: float = 0.0,
        num_classes: int = 0,
    ) -> None:
        arguments.whole(self, 1, width=width)
        arguments.fraction(self, include_one=False, dropout=dropout)
        channels, *size = as_image_shape(self, image_shape)
        super().__init__(image_shape, latents, num_classes)
        widths = stage_widths(min(size), width)[::-1]
        sizes = [tuple(-(-side >> k) for side in size) for k in range(len(widths), -1, -1)]
        first = (widths[0], *sizes[0])
        project: list[nn.Module] = [nn.Linear(self.input_dim, math.prod(first)), nn.Unflatten(1, first)]
        layers = hidden(project, widths[0], norm, activation, dropout)
        for k, (before, after) in enumerate(zip(widths, [*widths[1:], channels], strict=True)):
            double = [upsampling(before, after)]
            if sizes[k + 1] != tuple(2 * side for side in sizes[k]):
                double.append(Crop(*sizes[k + 1]))
            last = k == len(widths) - 1
            layers += [*double, nn.Tanh()] if last else hidden(double, after, norm, activation, dropout)
        self.layers = nn.Sequential(*layers)
        initialize(self)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map z (N, latent_dim) and labels (N,) to images (N, C, H, W) in [−1, 1]."""
        return self.layers(self.condition(z, labels))


class DCGANDiscriminator(Discriminator):
    """Deep convolutional discriminator, n × halving (rounding down) → flattened map → Linear.

    n and the channels are those of `DCGANGenerator`: `width` next to the image, twice as many after each halving, at
    most 8 · width. Every map is activated, and every map but the first is normalised.

    Args:
        image_shape: (C, H, W), H and W at least 8.
        width: channels of the map next to the image.
        norm: makes the normalisation of a map from its channels; None is none, as a gradient penalty requires.
        activation: makes the activation of a map.
        downsampling: makes the layer that halves a map, rounding down, from its channels in and out, such as
            `StridedConv` or `PooledConv`.
        dropout: probability of dropping an entry of an activated map, in [0, 1].
        num_classes: number of labels; 0 is an unconditional discriminator.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative
        Adversarial Networks", ICLR 2016, arXiv 1511.06434.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        width: int = 128,
        norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d,
        activation: Callable[[], nn.Module] = lambda: nn.LeakyReLU(negative_slope=0.2),
        downsampling: Callable[[int, int], nn.Module] = StridedConv,
        dropout: float = 0.0,
        num_classes: int = 0,
    ) -> None:
        arguments.whole(self, 1, width=width)
        arguments.fraction(self, include_one=False, dropout=dropout)
        channels, *size = as_image_shape(self, image_shape)
        widths = stage_widths(min(size), width)
        num_features = widths[-1] * math.prod(side >> len(widths) for side in size)
        super().__init__(image_shape, num_features, num_classes)
        layers: list[nn.Module] = []
        for k, (before, after) in enumerate(zip([channels, *widths], widths, strict=False)):
            layers += hidden([downsampling(before, after)], after, norm if k else None, activation, dropout)
        self.features = nn.Sequential(*layers, nn.Flatten())
        initialize(self)


def hidden(
    layers: list[nn.Module],
    channels: int,
    norm: Callable[[int], nn.Module] | None,
    activation: Callable[[], nn.Module],
    dropout: float,
) -> list[nn.Module]:
    """Return `layers`, then norm, activation and dropout; the first layer loses a bias that the norm would cancel."""
    normalisation = norm(channels) if norm else None
    if cancels_bias(normalisation) and isinstance(layers[0], nn.Linear | nn.modules.conv._ConvNd):
        layers[0].register_parameter("bias", None)
    dropouts = [nn.Dropout(dropout)] if dropout else []
    return [*layers, *([normalisation] if normalisation else []), activation(), *dropouts]


class Crop(nn.Module):
    """Keep the top left `height` × `width` of a map."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, height, width)."""
        return x[..., : self.height, : self.width]


def as_image_shape(owner: object, image_shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of an image that halves at least once, (C, H, W) with H and W of at least 8.

    Raises:
        ValueError: for another shape; `owner` is named in the message.
    """
    shape = as_shape(owner, image_shape, "image_shape")
    named = f"{type(owner).__name__}(image_shape={shape})"
    if len(shape) != 3:
        raise ValueError(f"{named}: expected (C, H, W); use MLPGenerator and MLPDiscriminator for other samples.")
    if min(shape[1:]) < 8:
        raise ValueError(
            f"{named}: expected H and W of at least 8; resize the data, or use MLPGenerator and MLPDiscriminator."
        )
    return shape


def stage_widths(side: int, width: int) -> list[int]:
    """Return the channels of every map, from the image inwards, for an image with a shorter side of `side` pixels."""
    stages = 0
    while -(-side >> stages + 1) >= 4:
        stages += 1
    return [width * min(2**k, 8) for k in range(stages)]


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
