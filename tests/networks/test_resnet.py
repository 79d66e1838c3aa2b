"""The residual networks of WGAN-GP and SNGAN: the published architecture, at any image size."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_gans.networks import ClassNorm, ResNetDiscriminator, ResNetGenerator
from lightning_gans.networks.residual_blocks import DownBlock, UpBlock


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def of(network, kind):
    return [m for m in network.modules() if isinstance(m, kind)]


def conv(before, after, side):
    return before * after * side**2 + after


def shapes(network, x):
    found = []
    for block in of(network, (UpBlock, DownBlock)):
        block.register_forward_hook(lambda _, inputs, y: found.append(tuple(y.shape[1:])))
    network(x)
    return found


def test_the_generator_for_cifar10_is_the_published_one():
    with torch.device("meta"):
        g, conditional = ResNetGenerator((3, 32, 32)), ResNetGenerator((3, 32, 32), num_classes=10)
    dense = 128 * (4 * 4 * 256) + 4 * 4 * 256
    block = 2 * 256 + conv(256, 256, 3) + 2 * 256 + conv(256, 256, 3) + conv(256, 256, 1)
    assert count(g) == dense + 3 * block + 2 * 256 + conv(256, 3, 3) == 4_276_739
    assert count(conditional) == count(g) + 6 * (10 - 1) * 2 * 256, "six norms have a weight and bias for each class"
    assert shapes(g, torch.empty(2, 128, device="meta")) == [(256, 8, 8), (256, 16, 16), (256, 32, 32)]


def test_the_discriminator_for_cifar10_is_the_published_one():
    with torch.device("meta"):
        d, conditional = ResNetDiscriminator((3, 32, 32)), ResNetDiscriminator((3, 32, 32), num_classes=10)
    first = conv(3, 128, 3) + conv(128, 128, 3) + conv(3, 128, 1)
    second = 2 * conv(128, 128, 3) + conv(128, 128, 1)
    plain = 2 * conv(128, 128, 3)
    assert count(d) == first + second + 2 * plain + 128 + 1 == 1_053_825
    assert count(conditional) == count(d) + 10 * 128
    maps = shapes(d, torch.empty(2, 3, 32, 32, device="meta"))
    assert maps == [(128, 16, 16), (128, 8, 8), (128, 8, 8), (128, 8, 8)]


def test_channels_double_towards_small_maps_up_to_a_width():
    with torch.device("meta"):
        g = ResNetGenerator((3, 64, 64), width=64, max_width=1024)
        d = ResNetDiscriminator((3, 64, 64), width=64, max_width=128)
        maps = shapes(g, torch.empty(2, 128, device="meta"))
        assert shapes(d, torch.empty(2, 3, 64, 64)) == [(64, 32, 32), (128, 16, 16), *[(128, 8, 8)] * 3]
    assert g.project[0].out_features == 1024 * 4 * 4
    assert maps == [(512, 8, 8), (256, 16, 16), (128, 32, 32), (64, 64, 64)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (9, 13), (16, 16), (28, 28), (48, 48), (33, 20)])
def test_every_size_and_number_of_channels(size, channels):
    shape = (channels, *size)
    g, d = ResNetGenerator(shape, 3, width=2, max_width=4), ResNetDiscriminator(shape, width=2, max_width=4)
    x = g(torch.randn(2, 3))
    assert x.shape == (2, *shape) and x.abs().max() <= 1
    assert d(x).shape == (2,) and d.features(x).shape == (2, d.num_features)


def test_maps_of_mnist():
    g, d = ResNetGenerator((1, 28, 28), 3, width=2), ResNetDiscriminator((1, 28, 28), width=2)
    assert g.project[1].unflattened_size == (2, 7, 7)
    assert shapes(g, torch.randn(2, 3)) == [(2, 14, 14), (2, 28, 28)]
    assert shapes(d, torch.randn(2, 1, 28, 28)) == [(2, 14, 14), (2, 7, 7), (2, 7, 7), (2, 7, 7)]


# ---------------------------------------------------------------- the blocks


def applied(layer, x):
    return F.conv2d(x, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2)


def normed(x):
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


def doubled(x):
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def halved(x):
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4


def test_a_doubling_block_is_its_formula():
    torch.manual_seed(0)
    block, x = UpBlock(3, 5, (8, 12), nn.BatchNorm2d, nn.ReLU).double(), torch.randn(4, 3, 4, 6).double()
    y = applied(block.conv1, doubled(normed(x).relu()))
    y = applied(block.conv2, normed(y).relu()) + applied(block.shortcut, doubled(x))
    torch.testing.assert_close(block(x), y)


@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
def test_a_halving_block_is_its_formula(norm):
    torch.manual_seed(0)
    block, x = DownBlock(3, 5, norm, nn.ReLU).double(), torch.randn(4, 3, 6, 4).double()
    change = normed if norm else lambda y: y
    y = applied(block.conv1, change(x).relu())
    y = applied(block.conv2, change(y).relu())
    torch.testing.assert_close(block(x), halved(y) + halved(applied(block.shortcut, x)))


def test_the_first_block_sees_the_samples_themselves():
    torch.manual_seed(0)
    block, x = DownBlock(3, 5, nn.BatchNorm2d, nn.ReLU, first=True).double(), torch.randn(4, 3, 6, 4).double()
    y = halved(applied(block.conv2, normed(applied(block.conv1, x)).relu())) + applied(block.shortcut, halved(x))
    torch.testing.assert_close(block(x), y)
    assert block.conv1.out_channels == 5 and DownBlock(3, 5, None, nn.ReLU).conv1.out_channels == 3


def test_a_block_that_keeps_the_size_has_the_input_as_its_shortcut():
    torch.manual_seed(0)
    block, x = DownBlock(3, 3, None, nn.ReLU, pool=False).double(), torch.randn(4, 3, 5, 4).double()
    torch.testing.assert_close(block(x), x + applied(block.conv2, applied(block.conv1, x.relu()).relu()))
    assert not [name for name, _ in block.named_parameters() if "shortcut" in name]
    assert DownBlock(3, 4, None, nn.ReLU, pool=False)(x.float()).shape == (4, 4, 5, 4)


def test_features_are_sums_over_positions_of_the_activated_map():
    d, x = ResNetDiscriminator((1, 16, 16), width=4), torch.randn(3, 1, 16, 16)
    last = d.features[:-2](x)
    assert last.shape == (3, 4, 8, 8)
    torch.testing.assert_close(d.features(x), last.clamp(min=0).flatten(2).sum(2))


def test_weights_start_as_in_the_authors_code():
    torch.manual_seed(0)
    g, d = ResNetGenerator((3, 16, 16), width=32), ResNetDiscriminator((3, 16, 16), width=32)
    layers = of(g, (nn.Linear, nn.Conv2d)) + of(d, (nn.Linear, nn.Conv2d))
    for layer in layers:
        inside = isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3) and layer.out_channels > 3
        taps = layer.weight[0, 0].numel()
        bound = (2 if inside else 1) ** 0.5 * (6 / (taps * sum(layer.weight.shape[:2]))) ** 0.5
        assert 0.9 * bound < layer.weight.abs().max() <= bound and not layer.bias.any()
    assert len(layers) == (1 + 2 * 3 + 1) + (3 + 2 * 2 + 1)


# ---------------------------------------------------------------- options and labels


def test_options_of_the_networks():
    def generator(**options):
        return ResNetGenerator((3, 16, 16), **{"width": 4, **options})

    def discriminator(**options):
        return ResNetDiscriminator((3, 16, 16), **{"width": 4, **options})

    assert generator(latents=9).project[0].in_features == 9 and generator(width=6).last[2].in_channels == 6
    assert len(of(generator(), nn.BatchNorm2d)) == 5 and not of(generator(norm=None), nn.BatchNorm2d)
    assert len(of(generator(activation=nn.ELU), nn.ELU)) == 5 and not of(generator(activation=nn.ELU), nn.ReLU)
    assert discriminator(width=6).num_features == 6 and not of(discriminator(), nn.BatchNorm2d)
    assert len(of(discriminator(norm=nn.BatchNorm2d), nn.BatchNorm2d)) == 6
    assert len(of(discriminator(activation=nn.ELU), nn.ELU)) == 6


def test_labels_choose_weight_and_bias_of_the_norms_in_the_blocks():
    torch.manual_seed(0)
    g = ResNetGenerator((1, 16, 16), 5, width=4, num_classes=3).eval()
    assert len(of(g, ClassNorm)) == 4 and g.project[0].in_features == 5
    z, labels = torch.randn(3, 5), torch.tensor([0, 2, 1])
    one_by_one = torch.cat([g(z[i : i + 1], labels[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(g(z, labels), one_by_one)
    for norm in of(g, ClassNorm):
        norm.weight.data[:], norm.bias.data[:] = norm.weight.data[:1], norm.bias.data[:1]
    torch.testing.assert_close(g(z, labels), g(z, labels * 0))


def test_without_norms_labels_are_joined_to_z():
    g = ResNetGenerator((1, 16, 16), 5, width=4, norm=None, num_classes=3)
    assert g.project[0].in_features == 8 and not of(g, ClassNorm)
    z = torch.randn(1, 5).expand(2, -1)
    first, second = g(z, torch.tensor([0, 1]))
    assert (first - second).abs().max() > 1e-3


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(3), nn.GroupNorm(3, 3), nn.InstanceNorm2d(3, affine=True)])
def test_a_class_norm_is_its_formula_and_has_no_other_weights(norm):
    torch.manual_seed(0)
    plain = {nn.BatchNorm2d: (0, 2, 3)}.get(type(norm), (2, 3))
    layer, x = ClassNorm(norm, 3, 4).double(), torch.randn(5, 3, 4, 4).double()
    assert {name for name, _ in layer.named_parameters()} == {"weight", "bias"}
    assert layer.weight.shape == (4, 3) and not layer.bias.any()
    nn.init.normal_(layer.bias)
    classes = torch.tensor([0, 3, 1, 1, 2])
    y = (x - x.mean(plain, keepdim=True)) / (x.var(plain, unbiased=False, keepdim=True) + 1e-5).sqrt()
    expected = layer.weight[classes, :, None, None] * y + layer.bias[classes, :, None, None]
    torch.testing.assert_close(layer(x, torch.eye(4).double()[classes]), expected)


def test_weights_of_a_class_norm_start_near_one_and_a_mixture_averages_them():
    torch.manual_seed(0)
    layer, x = ClassNorm(nn.GroupNorm(1, 200), 200, 20), torch.randn(1, 200, 2, 2)
    assert layer.weight.mean().item() == pytest.approx(1, abs=0.01)
    assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
    half = (torch.eye(20)[:1] + torch.eye(20)[1:2]) / 2
    torch.testing.assert_close(layer(x, half), (layer(x, torch.eye(20)[:1]) + layer(x, torch.eye(20)[1:2])) / 2)


@pytest.mark.parametrize("make", [ResNetGenerator, ResNetDiscriminator])
@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"image_shape": (3, 7, 64)}, r"\(image_shape=\(3, 7, 64\)\): expected H and W of at least 8; resize the data"),
        ({"image_shape": (3, 16, 16), "width": 0}, r"\(width=0\): expected a whole number of at least 1"),
        ({"image_shape": (3, 16, 16), "width": 8, "max_width": 4}, r"\(max_width=4\): expected a whole number of at"),
    ],
)
def test_bad_values_are_named(make, arguments, words):
    with pytest.raises(ValueError, match=words) as raised:
        make(**arguments)
    assert "\n" not in str(raised.value)
