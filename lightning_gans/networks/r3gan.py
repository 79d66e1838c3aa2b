"""Generator and discriminator of R3GAN: residual, without normalisation, for images of any size from 8 × 8."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans import arguments
from lightning_gans.networks.base import Discriminator, Generator
from lightning_gans.networks.convolutions import Crop
from lightning_gans.networks.dcgan import as_image_shape
from lightning_gans.networks.latents import Latents
from lightning_gans.networks.residual_blocks import halvings, stage_channels

SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))  # with which a LeakyReLU keeps the scale
EXPANSION = 2
CHANNELS_OF_GROUP = 16


class R3GANGenerator(Generator):
    """Generator of R3GAN, a learned map scaled by z → blocks → n × [doubling → blocks] → 1 × 1 conv (→ tanh).

    The first map is ⌈H/2ⁿ⌉ × ⌈W/2ⁿ⌉, with the largest n for which H/2ⁿ and W/2ⁿ are at least 4: channels of learned
    numbers, each times a linear function of z. Maps are doubled by the filter [1, 3, 3, 1]. Every map has
    `width` channels, as the authors' 768 for CIFAR-10, or twice as many at each halving up to `max_width`: with width
    96 and max_width 768 they are the authors' for 256 × 256. Labels are joined to z. Its objective is `Relativistic`,
    beside `R1Penalty` and `R2Penalty`.

    Args:
        image_shape: (C, H, W), H and W at least 8.
        latents: distribution of z; an integer is the width of Gaussian latents.
        width: channels of the map next to the image.
        max_width: channels at which doubling stops, at least `width`; None keeps `width` everywhere.
        blocks: `BottleneckBlock`s at each of the n + 1 sizes, at least 1.
        bounded: whether a tanh bounds the images to (−1, 1); the authors' have none.
        num_classes: number of labels; 0 is an unconditional generator.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        Huang, Gokaslan, Kuleshov, Tompkin, "The GAN is dead; long live the GAN! A Modern Baseline GAN", NeurIPS 2024,
        arXiv 2501.05441.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latents: Latents | int = 64,
        width: int = 768,
        max_width: int | None = None,
        blocks: int = 2,
        bounded: bool = True,
        num_classes: int = 0,
    ) -> None:
        channels, *size = as_image_shape(self, image_shape)
        _check(self, width, max_width, blocks)
        super().__init__(image_shape, latents, num_classes)
        stages = halvings(min(size), 4)
        sizes = [tuple(-(-side >> k) for side in size) for k in range(stages, -1, -1)]
        widths = stage_channels(stages + 1, width, max_width)[::-1]
        total = blocks * len(widths)
        layers: list[nn.Module] = [ScaledMap(self.input_dim, (widths[0], *sizes[0]))]
        layers += [BottleneckBlock(widths[0], total) for _ in range(blocks)]
        for (before, after), (small, large) in zip(pairwise(widths), pairwise(sizes), strict=True):
            layers += [plain_conv(before, after)] if before != after else []
            layers.append(Upsample())
            layers += [Crop(*large)] if large != tuple(2 * side for side in small) else []
            layers += [BottleneckBlock(after, total) for _ in range(blocks)]
        layers += [plain_conv(width, channels), *([nn.Tanh()] if bounded else [])]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map z (N, latent_dim) and labels (N,) to images (N, C, H, W)."""
        return self.layers(self.condition(z, labels))


class R3GANDiscriminator(Discriminator):
    """Discriminator of R3GAN, 1 × 1 conv → n × [blocks → halving] → blocks → a learned map per channel → Linear.

    n and the channels are those of `R3GANGenerator`; odd sides are halved rounding down. Maps are halved by the filter
    [1, 3, 3, 1]; of the last one each channel is weighted by a learned map and added up. Labels are projected on the
    features; the authors' conditional logit is the projection alone.

    Args:
        image_shape: (C, H, W), H and W at least 8.
        width: channels of the map next to the image.
        max_width: channels at which doubling stops, at least `width`; None keeps `width` everywhere.
        blocks: `BottleneckBlock`s at each of the n + 1 sizes, at least 1.
        num_classes: number of labels; 0 is an unconditional discriminator.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        Huang, Gokaslan, Kuleshov, Tompkin, "The GAN is dead; long live the GAN! A Modern Baseline GAN", NeurIPS 2024,
        arXiv 2501.05441.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        width: int = 768,
        max_width: int | None = None,
        blocks: int = 2,
        num_classes: int = 0,
    ) -> None:
        channels, *size = as_image_shape(self, image_shape)
        _check(self, width, max_width, blocks)
        stages = halvings(min(size), 4)
        widths = stage_channels(stages + 1, width, max_width)
        total = blocks * len(widths)
        super().__init__(image_shape, widths[-1], num_classes)
        layers: list[nn.Module] = [plain_conv(channels, width)]
        for before, after in pairwise(widths):
            layers += [BottleneckBlock(before, total) for _ in range(blocks)]
            layers += [Downsample(), *([plain_conv(before, after)] if before != after else [])]
        layers += [BottleneckBlock(widths[-1], total) for _ in range(blocks)]
        height, breadth = (side >> stages for side in size)
        weighted = nn.Conv2d(widths[-1], widths[-1], (height, breadth), groups=widths[-1], bias=False)
        layers.append(scaled(weighted))
        self.features = nn.Sequential(*layers, nn.Flatten())
        scaled(self.head[0])  # type: ignore[index]


class BottleneckBlock(nn.Module):
    """Residual block of three convolutions, 1 × 1 → 3 × 3 in groups → 1 × 1, with twice the channels between them.

        y = x + W₃ act(W₂ act(W₁ x + b₁) + b₂),    act = LeakyReLU(0.2)

    There is no normalisation; instead the last convolution starts at 0, at which the block returns its input, and the
    others at He's scale times L^(−1/4) for L blocks, as Fixup does for m = 3 convolutions: L^(−1/(2m − 2)). A group has
    16 channels, or the greatest common divisor where the channels are no multiple.

    Args:
        channels: channels of the map.
        total: number L of blocks in the network.

    Reference:
        Huang et al., "The GAN is dead; long live the GAN! A Modern Baseline GAN", NeurIPS 2024, arXiv 2501.05441;
        Zhang, Dauphin, Ma, "Fixup Initialization: Residual Learning Without Normalization", ICLR 2019, arXiv
        1901.09321.
    """

    def __init__(self, channels: int, total: int) -> None:
        super().__init__()
        inner = EXPANSION * channels
        groups = inner // math.gcd(inner, CHANNELS_OF_GROUP)
        gain = GAIN * total**-0.25
        self.layers = nn.Sequential(
            scaled(nn.Conv2d(channels, inner, 1), gain),
            nn.LeakyReLU(SLOPE),
            scaled(nn.Conv2d(inner, inner, 3, padding=1, groups=groups), gain),
            nn.LeakyReLU(SLOPE),
            scaled(nn.Conv2d(inner, channels, 1, bias=False), 0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        return x + self.layers(x)


class ScaledMap(nn.Module):
    """A learned map (C, H, W), each channel of which is scaled by a linear function of the input.

    Args:
        in_features: width of the input.
        shape: shape of the map, which starts at N(0, 1).
    """

    def __init__(self, in_features: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape))
        self.linear = scaled(nn.Linear(in_features, shape[0], bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_features) to (N, C, H, W)."""
        return self.weight * self.linear(x)[:, :, None, None]


class Resample(nn.Module):
    """The separable filter [1, 3, 3, 1] / 8, bilinear, with zeros around the map."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", torch.outer(line, line), persistent=False)

    def filters(self, x: Tensor) -> Tensor:
        """Return the filter of each channel of x (N, C, H, W), in its dtype."""
        return self.kernel.to(x.dtype).expand(x.shape[1], 1, 4, 4)


class Upsample(Resample):
    """Double height and width by the filter [1, 3, 3, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, 2H, 2W)."""
        return F.conv_transpose2d(x, 4 * self.filters(x), stride=2, padding=1, groups=x.shape[1])


class Downsample(Resample):
    """Halve height and width, rounding down, by the filter [1, 3, 3, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H // 2, W // 2)."""
        return F.conv2d(x, self.filters(x), stride=2, padding=1, groups=x.shape[1])


def plain_conv(before: int, after: int) -> nn.Conv2d:
    """Make a 1 × 1 convolution without bias that keeps the scale."""
    return scaled(nn.Conv2d(before, after, 1, bias=False))


def scaled(layer, gain: float = 1.0):  # type: ignore[no-untyped-def]
    """Draw a layer's weight from N(0, gain²/fan_in), set its bias to 0, and return it."""
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _check(network: nn.Module, width: int, max_width: int | None, blocks: int) -> None:
    arguments.whole(network, 1, width=width, blocks=blocks)
    arguments.whole(network, width, max_width=max_width)
