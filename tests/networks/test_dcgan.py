"""The deep convolutional networks: the paper's architecture, at any image size."""

from functools import partial

import pytest
import torch
from torch import nn

from lightning_gans.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    Gaussian,
    PooledConv,
    ResizeConv,
    StridedConv,
    TransposedConv,
    initialize,
)

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def of(network, kind):
    return [m for m in network.modules() if isinstance(m, kind)]


def maps(network, x):
    """Shapes of what the convolutions make and of the crops behind them, in order."""
    shapes = []
    kinds = (nn.Unflatten, *CONVOLUTIONS)
    for module in network.modules():
        if isinstance(module, kinds) or type(module).__name__ == "Crop":
            module.register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape[1:])))
    network(x)
    return shapes


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(8, 8), (9, 9), (13, 13), (28, 28), (32, 32), (64, 64), (8, 20), (33, 17)])
@pytest.mark.parametrize("up, down", [(TransposedConv, StridedConv), (ResizeConv, PooledConv)])
def test_every_size_and_number_of_channels(size, channels, up, down):
    shape = (channels, *size)
    g = DCGANGenerator(shape, 3, width=2, upsampling=up)
    d = DCGANDiscriminator(shape, width=2, downsampling=down)
    x = g(torch.randn(2, 3))
    assert x.shape == (2, *shape) and x.abs().max() <= 1 and x.is_contiguous()
    assert d(x).shape == (2,) and d.features(x).shape == (2, d.num_features)


def test_sizes_and_channels_of_the_paper():
    g, d = DCGANGenerator((3, 64, 64)), DCGANDiscriminator((3, 64, 64))
    assert maps(g, torch.randn(2, 100)) == [
        (1024, 4, 4), (512, 8, 8), (256, 16, 16), (128, 32, 32), (3, 64, 64)
    ]  # fmt: skip
    assert maps(d, torch.randn(2, 3, 64, 64)) == [(128, 32, 32), (256, 16, 16), (512, 8, 8), (1024, 4, 4)]
    assert d.num_features == 1024 * 4 * 4 and g.latents == Gaussian(100)


def test_maps_of_other_sizes():
    assert maps(DCGANGenerator((1, 28, 28), 3, width=2), torch.randn(2, 3)) == [
        (8, 4, 4), (4, 8, 8), (4, 7, 7), (2, 14, 14), (1, 28, 28)
    ]  # fmt: skip
    d = DCGANDiscriminator((1, 28, 28), width=2)
    assert maps(d, torch.randn(2, 1, 28, 28)) == [(2, 14, 14), (4, 7, 7), (8, 3, 3)]
    assert maps(DCGANGenerator((1, 8, 20), 3, width=2), torch.randn(2, 3)) == [(2, 4, 10), (1, 8, 20)]
    widths = [s[0] for s in maps(DCGANDiscriminator((1, 256, 256), width=2), torch.randn(2, 1, 256, 256))]
    assert widths == [2, 4, 8, 16, 16, 16]


@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_powers_of_two_crop_nothing(size):
    g = DCGANGenerator((3, size, size), 3, width=2)
    assert not [m for m in g.modules() if type(m).__name__ == "Crop"]


def test_guidelines_of_the_paper():
    g, d = DCGANGenerator((3, 32, 32), width=4), DCGANDiscriminator((3, 32, 32), width=4)
    # 1. Strided and fractionally strided convolutions in place of pooling.
    assert {type(m) for m in of(g, CONVOLUTIONS)} == {TransposedConv}
    assert {type(m) for m in of(d, CONVOLUTIONS)} == {StridedConv}
    assert {m.stride for m in of(g, CONVOLUTIONS) + of(d, CONVOLUTIONS)} == {(2, 2)}
    assert not of(g, nn.Upsample) and not of(d, (nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d))
    # 2. Batch normalisation everywhere but in G's output layer and D's input layer.
    assert [type(m).__name__ for m in g.layers] == [
        "Linear", "Unflatten", "BatchNorm2d", "ReLU", *["TransposedConv", "BatchNorm2d", "ReLU"] * 2,
        "TransposedConv", "Tanh",
    ]  # fmt: skip
    assert [type(m).__name__ for m in d.features] == [
        "StridedConv", "LeakyReLU", *["StridedConv", "BatchNorm2d", "LeakyReLU"] * 2, "Flatten"
    ]  # fmt: skip
    # 3. No fully connected layer but the projection of z and the logit.
    assert len(of(g, nn.Linear)) == 1 and len(of(d, nn.Linear)) == 1 and d.head[0].out_features == 1
    # 4. ReLU in G with tanh at the output; 5. LeakyReLU with slope 0.2 in D: listed above.
    assert {m.negative_slope for m in of(d, nn.LeakyReLU)} == {0.2}


def test_bias_is_left_out_only_where_a_norm_cancels_it():
    g, d = DCGANGenerator((3, 16, 16), width=4), DCGANDiscriminator((3, 16, 16), width=4)
    assert [m.bias is None for m in of(g, (nn.Linear, *CONVOLUTIONS))] == [True, True, False]
    assert [m.bias is None for m in of(d.features, CONVOLUTIONS)] == [False, True]
    for norm in (None, lambda channels: nn.GroupNorm(1, channels)):
        g, d = DCGANGenerator((3, 16, 16), norm=norm), DCGANDiscriminator((3, 16, 16), norm=norm)
        assert all(m.bias is not None for m in of(g, CONVOLUTIONS) + of(d, CONVOLUTIONS))


def test_weights_start_as_in_the_paper():
    torch.manual_seed(0)
    g, d = DCGANGenerator((3, 32, 32), width=32), DCGANDiscriminator((3, 32, 32), width=32, num_classes=10)
    for m in of(g, (nn.Linear, *CONVOLUTIONS)) + of(d, (nn.Linear, nn.Embedding, *CONVOLUTIONS)):
        weight = m.weight.detach()
        assert weight.std() == pytest.approx(0.02, rel=0.15) and abs(weight.mean()) < 2e-3
        assert getattr(m, "bias", None) is None or not m.bias.any()
    norms = of(g, nn.BatchNorm2d) + of(d, nn.BatchNorm2d)
    weights = torch.cat([m.weight for m in norms]).detach()
    assert weights.mean() == pytest.approx(1, abs=0.01) and weights.std() == pytest.approx(0.02, rel=0.15)
    assert not any(m.bias.any() for m in norms)


def test_initialize_draws_every_kind_of_layer_and_leaves_the_others():
    net = nn.Sequential(
        nn.Embedding(50, 50), nn.Conv1d(20, 20, 3), nn.GroupNorm(1, 500), nn.LayerNorm(500),
        nn.PReLU(init=0.2), nn.BatchNorm1d(3, affine=False),
    )  # fmt: skip
    initialize(net, std=0.1)
    assert all(m.weight.detach().std() == pytest.approx(0.1, rel=0.15) for m in net[:4])
    assert net[2].weight.detach().mean() == pytest.approx(1, abs=0.02) and not net[1].bias.any()
    assert net[4].weight.item() == pytest.approx(0.2)


def test_options_of_the_generator():
    def make(**options):
        return DCGANGenerator((3, 16, 16), **{"width": 4, **options})

    assert of(make(width=6), TransposedConv)[0].out_channels == 6
    assert len(of(make(norm=nn.InstanceNorm2d), nn.InstanceNorm2d)) == 2
    assert not of(make(norm=None), nn.BatchNorm2d)
    assert len(of(make(activation=nn.ELU), nn.ELU)) == 2 and not of(make(activation=nn.ELU), nn.ReLU)
    assert len(of(make(upsampling=ResizeConv), ResizeConv)) == 2 and not of(make(upsampling=ResizeConv), TransposedConv)
    assert make(latents=9).layers[0].in_features == 9


def test_options_of_the_discriminator():
    def make(**options):
        return DCGANDiscriminator((3, 16, 16), **{"width": 4, **options})

    assert of(make(width=6), StridedConv)[0].out_channels == 6
    assert len(of(make(norm=nn.InstanceNorm2d), nn.InstanceNorm2d)) == 1
    assert not of(make(norm=None), nn.BatchNorm2d)
    assert len(of(make(activation=nn.ELU), nn.ELU)) == 2 and not of(make(activation=nn.ELU), nn.LeakyReLU)
    assert len(of(make(downsampling=PooledConv), PooledConv)) == 2


def test_dropout_acts_in_training_only():
    g = DCGANGenerator((3, 16, 16), 5, width=4, norm=None, dropout=0.5)
    d = DCGANDiscriminator((3, 16, 16), width=4, norm=None, dropout=0.5)
    for network, x in ((g, torch.randn(4, 5)), (d, torch.randn(4, 3, 16, 16))):
        assert len(of(network, nn.Dropout)) == 2
        assert not torch.equal(network(x), network(x))
        network.eval()
        assert torch.equal(network(x), network(x))


def test_resize_conv_shows_no_checkerboard():
    x = torch.ones(1, 1, 6, 6)
    spread = {}
    for kind in (ResizeConv, TransposedConv):
        torch.manual_seed(0)
        spread[kind] = kind(1, 1)(x)[0, 0, 3:-3, 3:-3].std()
    assert spread[ResizeConv] < 1e-6 < spread[TransposedConv]


@pytest.mark.parametrize("kind, size", [(TransposedConv, 14), (ResizeConv, 14), (StridedConv, 3), (PooledConv, 3)])
def test_layers_double_and_halve(kind, size):
    assert kind(2, 5)(torch.randn(1, 2, 7, 7)).shape == (1, 5, size, size)


def test_resize_and_pooled_conv_are_their_formulae():
    x = torch.randn(2, 3, 6, 6)
    up, down = ResizeConv(3, 4), PooledConv(3, 4)
    twice = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(up(x), nn.functional.conv2d(twice, up.weight, up.bias, padding=1))
    full = nn.functional.conv2d(x, down.weight, down.bias, padding=1)
    torch.testing.assert_close(down(x), full.unflatten(3, (3, 2)).unflatten(2, (3, 2)).mean((3, 5)))


@pytest.mark.parametrize("size", [16, 9])
def test_channels_last_gives_the_same_numbers(size):
    torch.manual_seed(0)
    g, d = DCGANGenerator((3, size, size), 5, width=4), DCGANDiscriminator((3, size, size), width=4)
    z = torch.randn(4, 5)
    x = g(z).detach()
    logits = d(x)
    g, d = g.to(memory_format=torch.channels_last), d.to(memory_format=torch.channels_last)
    torch.testing.assert_close(g(z), x, atol=1e-5, rtol=1e-4)
    assert g(z).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(d(x.to(memory_format=torch.channels_last)), logits, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("make", [DCGANGenerator, DCGANDiscriminator])
@pytest.mark.parametrize(
    "arguments, words",
    [
        (
            {"image_shape": (3, 7, 64)},
            r"\(image_shape=\(3, 7, 64\)\): expected H and W of at least 8; resize the data, or use MLP",
        ),
        ({"image_shape": (64, 64)}, r"\(image_shape=\(64, 64\)\): expected \(C, H, W\)"),
        ({"image_shape": (0, 64, 64)}, r"\(image_shape\[0\]=0\): expected a whole number of at least 1"),
        ({"image_shape": (3, 16, 16), "width": 0}, r"\(width=0\): expected a whole number of at least"),
        ({"image_shape": (3, 16, 16), "width": 4, "dropout": 2.0}, r"\(dropout=2.0\): expected a number in \[0, 1\)"),
    ],
)
def test_bad_values_are_named(make, arguments, words):
    with pytest.raises(ValueError, match=words) as raised:
        make(**arguments)
    assert "\n" not in str(raised.value)


# ---------------------------------------------------------------- networks of published protocols


def metz_generator():
    """Return the generator of the constrained stacked MNIST of Metz et al. (2017)."""
    thin = partial(TransposedConv, kernel_size=3)
    return DCGANGenerator((3, 28, 28), 256, width=8, upsampling=thin, plain_last=True, redundant_biases=True)


def metz_discriminator(width):
    thin = partial(StridedConv, kernel_size=3)
    return DCGANDiscriminator(
        (3, 28, 28), width, nn.BatchNorm2d, downsampling=thin, norm_first=True, redundant_biases=True
    )


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_networks_of_constrained_stacked_mnist_have_the_published_numbers_of_parameters():
    assert count(metz_generator()) == 287_875
    assert [count(metz_discriminator(width)) for width in (2, 4)] == [585, 1889]


def test_a_plain_convolution_comes_last_on_the_map_of_the_image():
    g = metz_generator()
    maps = [g.layers[:stop](torch.randn(2, 256)).shape[1:] for stop in range(2, len(g.layers))]
    sizes = list(dict.fromkeys(tuple(shape) for shape in maps))
    crop = (32, 8, 8)
    assert sizes == [(64, 4, 4), crop, (32, 7, 7), (16, 14, 14), (8, 28, 28), (3, 28, 28)]
    last = g.layers[-2]
    assert type(last) is nn.Conv2d and last.kernel_size == (3, 3) and last.stride == (1, 1)


@pytest.mark.parametrize("size", [(28, 28), (9, 17), (30, 50)])
@pytest.mark.parametrize("kernel_size", [3, 4])
def test_a_discriminator_takes_the_map_that_its_layers_leave(size, kernel_size):
    d = DCGANDiscriminator((1, *size), 2, downsampling=partial(StridedConv, kernel_size=kernel_size))
    assert d(torch.randn(3, 1, *size)).shape == (3,)
    assert d.num_features == d.features(torch.randn(3, 1, *size)).shape[1]
    rounds = -(-size[0] // 2) if kernel_size == 3 else size[0] // 2
    assert d.features[0](torch.randn(3, 1, *size)).shape[2] == rounds


def weighted(module):
    return isinstance(module, nn.Conv2d)


def test_normed_layers_keep_their_biases_and_the_first_its_norm_where_asked():
    plain, asked = DCGANDiscriminator((1, 16, 16), 2), DCGANDiscriminator((1, 16, 16), 2, norm_first=True)
    norms = [sum(isinstance(m, nn.BatchNorm2d) for m in d.features) for d in (plain, asked)]
    assert norms == [1, 2]
    kept = [
        [m.bias is not None for m in DCGANDiscriminator((1, 16, 16), 2, redundant_biases=asked).features if weighted(m)]
        for asked in (False, True)
    ]
    assert kept == [[True, False], [True, True]]


@pytest.mark.parametrize("layer", [StridedConv, TransposedConv])
def test_another_kernel_is_refused(layer):
    with pytest.raises(ValueError, match=rf"{layer.__name__}\(kernel_size=5\)"):
        layer(1, 1, kernel_size=5)
