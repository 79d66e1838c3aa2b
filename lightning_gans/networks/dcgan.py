"""Deep convolutional generator and discriminator (DCGAN), for images of any size from 8 × 8."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from lightning_gans import arguments
from lightning_gans.networks.base import Discriminator, Generator, as_shape
from lightning_gans.networks.convolutions import Crop, StridedConv, TransposedConv, hidden, initialize
from lightning_gans.networks.latents import Latents


class DCGANGenerator(Generator):
    """Deep convolutional generator, Linear from z to a small map → n × doubling → tanh.

    The first map is ⌈H/2ⁿ⌉ × ⌈W/2ⁿ⌉, with the largest n that leaves 4 or more on its shorter side. After
    each doubling the map is cropped to ⌈H/2ᵏ⌉ × ⌈W/2ᵏ⌉, which for powers of two crops nothing. Every map but
    the last is normalised and activated. The map next to the image has `width` channels, and each smaller map
    twice as many, at most 8 · width: a 64 × 64 image with width 128 has the paper's 1024-512-256-128. With
    `plain_last` the last doubling makes a map of `width` channels too, and a plain 3 × 3 convolution the image.

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
        plain_last: whether a convolution that keeps height and width comes last.
        redundant_biases: whether layers before a norm keep the bias that it cancels, as in some papers' networks.

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
        plain_last: bool = False,
        redundant_biases: bool = False,
    ) -> None:
        arguments.whole(self, 1, width=width)
        arguments.fraction(self, include_one=False, dropout=dropout)
        channels, *size = as_image_shape(self, image_shape)
        super().__init__(image_shape, latents, num_classes)
        widths = stage_widths(min(size), width)[::-1]
        doublings = len(widths)
        if plain_last:
            widths = [min(2 * widths[0], 8 * width), *widths]
        sizes = [tuple(-(-side >> k) for side in size) for k in range(doublings, -1, -1)]
        first = (widths[0], *sizes[0])
        rest = (norm, activation, dropout, redundant_biases)
        project: list[nn.Module] = [nn.Linear(self.input_dim, math.prod(first)), nn.Unflatten(1, first)]
        layers = hidden(project, widths[0], *rest)
        for k, (before, after) in enumerate(pairwise([*widths, channels][: doublings + 1])):
            double = [upsampling(before, after)]
            if sizes[k + 1] != tuple(2 * side for side in sizes[k]):
                double.append(Crop(*sizes[k + 1]))
            makes_image = k == doublings - 1 and not plain_last
            layers += double if makes_image else hidden(double, after, *rest)
        if plain_last:
            layers.append(nn.Conv2d(width, channels, 3, padding=1))
        layers.append(nn.Tanh())
        self.layers = nn.Sequential(*layers)
        initialize(self)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map z (N, latent_dim) and labels (N,) to images (N, C, H, W) in [−1, 1]."""
        return self.layers(self.condition(z, labels))


class DCGANDiscriminator(Discriminator):
    """Deep convolutional discriminator, n × halving → flattened map → Linear.

    n and the channels are those of `DCGANGenerator`: `width` next to the image, twice as many after each halving, at
    most 8 · width. Every map is activated, and every map but the first is normalised, or every one with `norm_first`.

    Args:
        image_shape: (C, H, W), H and W at least 8.
        width: channels of the map next to the image.
        norm: makes the normalisation of a map from its channels; None is none, as a gradient penalty requires.
        activation: makes the activation of a map.
        downsampling: makes the layer that makes a map smaller from its channels in and out, such as `StridedConv` or
            `PooledConv`.
        dropout: probability of dropping an entry of an activated map, in [0, 1].
        num_classes: number of labels; 0 is an unconditional discriminator.
        norm_first: whether the map next to the image is normalised too.
        redundant_biases: whether layers before a norm keep the bias that it cancels, as in some papers' networks.

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
        norm_first: bool = False,
        redundant_biases: bool = False,
    ) -> None:
        arguments.whole(self, 1, width=width)
        arguments.fraction(self, include_one=False, dropout=dropout)
        channels, *size = as_image_shape(self, image_shape)
        widths = stage_widths(min(size), width)

        def halvings() -> nn.Sequential:
            layers: list[nn.Module] = []
            for k, (before, after) in enumerate(pairwise([channels, *widths])):
                norm_here = norm if k or norm_first else None
                layers += hidden([downsampling(before, after)], after, norm_here, activation, dropout, redundant_biases)
            return nn.Sequential(*layers, nn.Flatten())

        with torch.device("meta"):  # a copy without numbers, to see what is left of an image
            num_features = halvings().eval()(torch.empty(1, channels, *size)).shape[1]
        super().__init__(image_shape, num_features, num_classes)
        self.features = halvings()
        initialize(self)


def as_image_shape(
    owner: object, image_shape: Sequence[int], least: int = 8, others: str = "MLPGenerator and MLPDiscriminator"
) -> tuple[int, ...]:
    """Return the shape of an image, (C, H, W) with H and W of at least `least`: 8 halves at least once, 13 twice.

    Raises:
        ValueError: for another shape; `owner` and the networks for `others` are named in the message.
    """
    shape = as_shape(owner, image_shape, "image_shape")
    named = f"{type(owner).__name__}(image_shape={shape})"
    if len(shape) != 3:
        raise ValueError(f"{named}: expected (C, H, W); use {others} for other samples.")
    if min(shape[1:]) < least:
        raise ValueError(f"{named}: expected H and W of at least {least}; resize the data, or use {others}.")
    return shape


def stage_widths(side: int, width: int) -> list[int]:
    """Return the channels of every map, from the image inwards, for an image with a shorter side of `side` pixels."""
    stages = 0
    while -(-side >> stages + 1) >= 4:
        stages += 1
    return [width * min(2**k, 8) for k in range(stages)]
