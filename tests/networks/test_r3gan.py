"""The networks of R3GAN: the authors' architecture, resampling and initial weights."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_gans import GAN
from lightning_gans.networks import R3GANDiscriminator, R3GANGenerator
from lightning_gans.networks.r3gan import BottleneckBlock, Downsample, Upsample
from lightning_gans.stabilizers import OrthogonalInitialization, SpectralNorm, WeightNorm


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def of(network, kind):
    return [m for m in network.modules() if isinstance(m, kind)]


def block(width):
    return width * 2 * width + 2 * width + 2 * width * 16 * 9 + 2 * width + 2 * width * width


def test_the_networks_for_cifar10_are_the_authors():
    with torch.device("meta"):
        g, d = R3GANGenerator((3, 32, 32)), R3GANDiscriminator((3, 32, 32))
    assert count(g) == 768 * 4 * 4 + 64 * 768 + 4 * 2 * block(768) + 768 * 3
    assert count(d) == 3 * 768 + 4 * 2 * block(768) + 768 * 4 * 4 + 768 + 1, "the one more is the bias of the head"
    assert [len(of(one, BottleneckBlock)) for one in (g, d)] == [8, 8]
    assert {m.groups for m in of(g, nn.Conv2d) if m.kernel_size == (3, 3)} == {3 * 32}


def test_the_networks_for_256_pixels_are_the_authors():
    """Their widths are 768, 768, 768, 768, 384, 192, 96 from 4 × 4 to 256 × 256."""
    with torch.device("meta"):
        g = R3GANGenerator((3, 256, 256), width=96, max_width=768)
        d = R3GANDiscriminator((3, 256, 256), width=96, max_width=768)
    blocks = 2 * (4 * block(768) + block(384) + block(192) + block(96))
    between = 768 * 384 + 384 * 192 + 192 * 96
    assert count(g) == 768 * 16 + 64 * 768 + blocks + between + 96 * 3
    assert count(d) == 3 * 96 + blocks + between + 768 * 16 + 768 + 1
    assert d.num_features == 768


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (9, 13), (16, 16), (28, 28), (33, 20)])
def test_every_size_and_number_of_channels(size, channels):
    shape = (channels, *size)
    g, d = R3GANGenerator(shape, 3, 4, 8, 1), R3GANDiscriminator(shape, 4, 8, 1)
    x = g(torch.randn(2, 3))
    assert x.shape == (2, *shape) and x.abs().max() <= 1
    assert d(x).shape == (2,) and d.features(x).shape == (2, d.num_features)


def test_options_change_what_they_name():
    def generator(**options):
        return R3GANGenerator((1, 16, 16), **{"latents": 3, "width": 4, "blocks": 1, **options})

    def discriminator(**options):
        return R3GANDiscriminator((1, 16, 16), **{"width": 4, "blocks": 1, **options})

    assert generator(latents=5).latent_dim == 5
    assert [m.num_features for m in (discriminator(), discriminator(max_width=8), discriminator(width=6))] == [4, 8, 6]
    assert [generator(max_width=most).layers[0].weight.shape for most in (None, 8)] == [(4, 4, 4), (8, 4, 4)]
    assert generator(width=6).layers[-2].in_channels == 6
    assert [len(of(make(blocks=2), BottleneckBlock)) for make in (generator, discriminator)] == [6, 6]
    assert not of(generator(bounded=False), nn.Tanh) and of(generator(), nn.Tanh)
    assert generator(num_classes=3).layers[0].linear.in_features == 6 and discriminator(num_classes=3).num_classes == 3


# ---------------------------------------------------------------- blocks and weights


def test_a_block_is_its_formula():
    torch.manual_seed(0)
    one, x = BottleneckBlock(16, 1).double(), torch.randn(2, 16, 5, 4).double()
    first, second, third = of(one, nn.Conv2d)
    for bias in (first.bias, second.bias, third.weight):
        nn.init.normal_(bias)
    assert second.groups == 2 and second.weight.shape == (32, 16, 3, 3) and third.bias is None

    def activated(y):
        return torch.where(y > 0, y, 0.2 * y)

    y = activated(F.conv2d(x, first.weight, first.bias))
    halves = zip(y.chunk(2, 1), second.weight.chunk(2), second.bias.chunk(2), strict=True)
    y = activated(torch.cat([F.conv2d(part, weight, bias, padding=1) for part, weight, bias in halves], 1))
    torch.testing.assert_close(one(x), x + F.conv2d(y, third.weight))


@pytest.mark.parametrize("width, groups", [(4, 1), (8, 1), (12, 3), (24, 3), (5, 5)])
def test_groups_have_16_channels_or_a_common_divisor(width, groups):
    assert BottleneckBlock(width, 1).layers[2].groups == groups


def test_blocks_start_as_the_identity_so_the_networks_start_linear():
    torch.manual_seed(0)
    g, d = R3GANGenerator((1, 16, 16), 3, 8, 16, 1, bounded=False), R3GANDiscriminator((1, 16, 16), 8, 16, 1)
    z, w = torch.randn(2, 4, 3)
    torch.testing.assert_close(g(2 * z - 3 * w), 2 * g(z) - 3 * g(w))
    x, y = torch.randn(2, 4, 1, 16, 16)
    torch.testing.assert_close(d.features(2 * x - 3 * y), 2 * d.features(x) - 3 * d.features(y))
    assert d.features(x).abs().max() > 0.01


def test_the_other_convolutions_start_at_fixups_scale():
    torch.manual_seed(0)
    gain = math.sqrt(2 / 1.04)
    for total in (1, 16):
        first, second, third = of(BottleneckBlock(64, total), nn.Conv2d)
        assert first.weight.std().item() == pytest.approx(gain * total**-0.25 / 64**0.5, rel=0.05)
        assert second.weight.std().item() == pytest.approx(gain * total**-0.25 / (16 * 9) ** 0.5, rel=0.05)
        assert not third.weight.any() and not first.bias.any() and not second.bias.any()


def test_all_blocks_of_a_network_count():
    torch.manual_seed(0)
    g = R3GANGenerator((1, 16, 16), 3, width=64, blocks=2)
    first = of(of(g, BottleneckBlock)[0], nn.Conv2d)[0]
    assert first.weight.std().item() == pytest.approx(math.sqrt(2 / 1.04) * 6**-0.25 / 8, rel=0.05)


def test_the_ends_keep_the_scale():
    torch.manual_seed(0)
    g, d = R3GANGenerator((1, 16, 16), 64, 64, None, 1), R3GANDiscriminator((4, 16, 16), 64, None, 1)
    assert g.layers[0].weight.std().item() == pytest.approx(1, rel=0.1)
    assert g.layers[0].linear.weight.std().item() == pytest.approx(64**-0.5, rel=0.1)
    ends = [g.layers[-2], d.features[0], d.features[-2], d.head[0]]
    for layer, fan_in in zip(ends, (64, 4, 16, 64), strict=True):
        assert layer.weight.std().item() == pytest.approx(fan_in**-0.5, rel=0.25)
        assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("norm", [SpectralNorm, WeightNorm])
def test_norms_of_weights_that_start_at_zero_are_refused_before_they_make_nan(norm):
    gan = GAN(R3GANGenerator((1, 8, 8), 3, 4, blocks=1), R3GANDiscriminator((1, 8, 8), 4, blocks=1))
    with pytest.raises(
        ValueError, match=rf"{norm.__name__}.*discriminator.*starts at 0, .*; give Orthogonal"
    ) as raised:
        norm().apply_to(gan)
    assert "\n" not in str(raised.value)
    OrthogonalInitialization().apply_to(gan)
    norm().apply_to(gan)
    assert gan.discriminator(torch.randn(2, 1, 8, 8)).isfinite().all()


# ---------------------------------------------------------------- resampling


def taps(weights, rows, columns):
    """Return the matrix with the taps 1, 3, 3, 1 at 2j − 1 … 2j + 2 of row j."""
    matrix = torch.zeros(rows, columns)
    for j in range(rows):
        for k, weight in enumerate(weights):
            if 0 <= 2 * j - 1 + k < columns:
                matrix[j, 2 * j - 1 + k] = weight
    return matrix


def test_resampling_is_the_bilinear_filter_with_zeros_around():
    x = torch.randn(2, 3, 6, 5)
    high, wide = (taps([0.25, 0.75, 0.75, 0.25], side, 2 * side) for side in (6, 5))
    torch.testing.assert_close(Upsample()(x), high.T @ x @ wide)
    high, wide = (taps([0.125, 0.375, 0.375, 0.125], side // 2, side) for side in (6, 5))
    torch.testing.assert_close(Downsample()(x), high @ x @ wide.T)
    inside = F.interpolate(x, scale_factor=2, mode="bilinear")[..., 1:-1, 1:-1]
    torch.testing.assert_close(Upsample()(x)[..., 1:-1, 1:-1], inside)


def test_maps_of_mnist():
    g, d = R3GANGenerator((1, 28, 28), 3, 4, 16, 1), R3GANDiscriminator((1, 28, 28), 4, 16, 1)
    assert g.layers[0].weight.shape == (16, 7, 7) and d.features[-2].weight.shape == (16, 1, 7, 7)


def test_maps_are_cropped_to_sizes_that_are_no_doubles():
    g = R3GANGenerator((1, 9, 13), 3, 4, None, 1)
    sizes = [tuple(g.layers[:stop](torch.randn(2, 3)).shape[2:]) for stop in range(1, len(g.layers) + 1)]
    assert list(dict.fromkeys(sizes)) == [(5, 7), (10, 14), (9, 13)]


@pytest.mark.parametrize("make", [R3GANGenerator, R3GANDiscriminator])
@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"image_shape": (3, 7, 64)}, r"\(image_shape=\(3, 7, 64\)\): expected H and W of at least 8; resize the data"),
        ({"image_shape": (3, 16, 16), "width": 0}, r"\(width=0\): expected a whole number of at least 1"),
        ({"image_shape": (3, 16, 16), "width": 8, "max_width": 4}, r"\(max_width=4\): expected a whole number of at"),
        ({"image_shape": (3, 16, 16), "width": 8, "blocks": 0}, r"\(blocks=0\): expected a whole number of at least 1"),
    ],
)
def test_bad_values_are_named(make, arguments, words):
    with pytest.raises(ValueError, match=words) as raised:
        make(**arguments)
    assert "\n" not in str(raised.value)
