"""Residual generator and discriminator (WGAN-GP, SNGAN), for images of any size from 8 × 8."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from lightning_gans import arguments
from lightning_gans.networks.attention import SelfAttention
from lightning_gans.networks.base import Discriminator, Generator
from lightning_gans.networks.dcgan import as_image_shape
from lightning_gans.networks.latents import Latents
from lightning_gans.networks.residual_blocks import DownBlock, UpBlock, glorot, halvings, normalisation, stage_channels


class ResNetGenerator(Generator):
    """Residual generator, Linear from z to a small map → n × doubling block → norm → activation → 3 × 3 conv → tanh.

    The first map is ⌈H/2ⁿ⌉ × ⌈W/2ⁿ⌉, with the largest n for which H/2ⁿ and W/2ⁿ are at least 4: 4 × 4 for 32 × 32,
    7 × 7 for 28 × 28. Every map has `width` channels, as in the papers' networks for 32 × 32 images, or twice as many
    at each halving up to `max_width`: with width 64 and max_width 1024 those of a 64 × 64 image are SNGAN's
    1024-512-256-128-64. Labels choose weight and bias of the norms in the blocks, see `ClassNorm`, and without norms
    are joined to z.

    Args:
        image_shape: (C, H, W), H and W at least 8.
        latents: distribution of z; an integer is the width of Gaussian latents.
        width: channels of the map next to the image; 128 in WGAN-GP.
        max_width: channels at which doubling stops, at least `width`; None keeps `width` everywhere.
        norm: makes the normalisation of a map from its channels; None is none.
        activation: makes the activation of a map.
        attention: shorter side of the map that gets a `SelfAttention`, such as 16; None is none.
        num_classes: number of labels; 0 is an unconditional generator.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017, arXiv 1704.00028; Miyato et al.,
        "Spectral Normalization for Generative Adversarial Networks", ICLR 2018, arXiv 1802.05957, appendix B.4.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latents: Latents | int = 128,
        width: int = 256,
        max_width: int | None = None,
        norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d,
        activation: Callable[[], nn.Module] = nn.ReLU,
        attention: int | None = None,
        num_classes: int = 0,
    ) -> None:
        channels, *size = as_image_shape(self, image_shape)
        _check_widths(self, width, max_width)
        super().__init__(image_shape, latents, num_classes)
        stages = halvings(min(size), 4)
        sizes = [tuple(-(-side >> k) for side in size) for k in range(stages, -1, -1)]
        widths = stage_channels(stages + 1, width, max_width)[::-1]
        sides = [min(one) for one in sizes[1:]]
        arguments.one_of(self, (None, *sides), attention=attention)
        self.in_norms = num_classes if norm else 0
        first = (widths[0], *sizes[0])
        inputs = self.latent_dim if self.in_norms else self.input_dim
        self.project = nn.Sequential(glorot(nn.Linear(inputs, math.prod(first))), nn.Unflatten(1, first))
        self.blocks = nn.ModuleList()
        for (before, after), enlarged in zip(pairwise(widths), sizes[1:], strict=True):
            self.blocks.append(UpBlock(before, after, enlarged, norm, activation, self.in_norms))
            if min(enlarged) == attention:
                self.blocks.append(SelfAttention(after))
        last = glorot(nn.Conv2d(width, channels, 3, padding=1))
        self.last = nn.Sequential(normalisation(norm, width), activation(), last, nn.Tanh())

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map z (N, latent_dim) and labels (N,) to images (N, C, H, W) in [−1, 1]."""
        joined = self.condition(z, labels)
        classes = joined[:, self.latent_dim :] if self.in_norms else None
        x = self.project(z if self.in_norms else joined)
        for block in self.blocks:
            x = block(x, classes) if isinstance(block, UpBlock) else block(x)
        return self.last(x)


class ResNetDiscriminator(Discriminator):
    """Residual discriminator, n × halving block → 2 × block → activation → sum over positions → Linear.

    n is the largest number of halvings that leaves 7 or more on the map's shorter side, at least 1: a 32 × 32 image has
    maps of 16 × 16 and 8 × 8, one of 28 × 28 such of 14 × 14 and 7 × 7. Every map has `width` channels, or twice as
    many at each halving up to `max_width`. There is no norm by default, as `SpectralNorm` and gradient penalties
    require.

    Args:
        image_shape: (C, H, W), H and W at least 8.
        width: channels of the map next to the image.
        max_width: channels at which doubling stops, at least `width`; None keeps `width` everywhere.
        norm: makes the normalisation of a map from its channels, before every activation but in the first block before
            the second alone; None is none.
        activation: makes the activation of a map.
        attention: shorter side of the map that gets a `SelfAttention`, such as 16; None is none.
        num_classes: number of labels, projected on the features; 0 is an unconditional discriminator.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017, arXiv 1704.00028, with the mean over
        positions in place of the sum; Miyato et al., "Spectral Normalization for Generative Adversarial Networks",
        ICLR 2018, arXiv 1802.05957, appendix B.4.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        width: int = 128,
        max_width: int | None = None,
        norm: Callable[[int], nn.Module] | None = None,
        activation: Callable[[], nn.Module] = nn.ReLU,
        attention: int | None = None,
        num_classes: int = 0,
    ) -> None:
        channels, *size = as_image_shape(self, image_shape)
        _check_widths(self, width, max_width)
        stages = max(halvings(min(size), 7), 1)
        widths = stage_channels(stages, width, max_width)
        super().__init__(image_shape, widths[-1], num_classes)
        sides = [min(size) >> k for k in range(1, stages + 1)]
        arguments.one_of(self, (None, *sides), attention=attention)
        blocks: list[nn.Module] = []
        for before, after, side in zip([channels, *widths[:-1]], widths, sides, strict=True):
            blocks.append(DownBlock(before, after, norm, activation, first=not blocks))
            if side == attention:
                blocks.append(SelfAttention(after))
        blocks += [DownBlock(widths[-1], widths[-1], norm, activation, pool=False) for _ in range(2)]
        self.features = nn.Sequential(*blocks, normalisation(norm, widths[-1]), activation(), SumOverPositions())
        glorot(self.head[0])  # type: ignore[index]


class SumOverPositions(nn.Module):
    """Add up a map over its positions."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C)."""
        return x.sum((2, 3))


def _check_widths(network: nn.Module, width: int, max_width: int | None) -> None:
    arguments.whole(network, 1, width=width)
    arguments.whole(network, width, max_width=max_width)
