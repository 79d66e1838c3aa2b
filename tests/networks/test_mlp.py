"""The fully connected networks and their layers."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from lightning_gans.networks import FourierFeatures, Maxout, MLPDiscriminator, MLPGenerator, Uniform


def kinds(network):
    return [type(m).__name__ for m in network.layers]


@pytest.mark.parametrize("shape", [(1,), (2,), (3, 5), (1, 8, 8), (4, 9, 13)])
def test_samples_of_any_shape(shape):
    g, d = MLPGenerator(shape, 3, width=8), MLPDiscriminator(shape, width=8)
    x = g(g.latents.sample(5))
    assert x.shape == (5, *shape) and d(x).shape == (5,) and d.features(x).shape == (5, 8)


def test_layers_of_the_generator():
    assert kinds(MLPGenerator((2,))) == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]
    assert kinds(MLPGenerator((2,), depth=0)) == ["Linear"]
    g = MLPGenerator((2,), Uniform(7), width=400, depth=4, activation=nn.Tanh, norm=nn.BatchNorm1d)
    assert kinds(g) == ["Linear", "BatchNorm1d", "Tanh"] * 4 + ["Linear"]
    assert [m.weight.shape for m in g.layers if isinstance(m, nn.Linear)] == [
        (400, 7), (400, 400), (400, 400), (400, 400), (2, 400)
    ]  # fmt: skip
    assert [m.bias is None for m in g.layers if isinstance(m, nn.Linear)] == [True] * 4 + [False]
    assert all(m.bias is not None for m in MLPGenerator((2,), norm=nn.LayerNorm).layers if hasattr(m, "bias"))


@pytest.mark.parametrize(
    "shape, bounded, expected",
    [
        ((1, 8, 8), None, True),
        ((2,), None, False),
        ((4, 4), None, False),
        ((1, 8, 8), False, False),
        ((2,), True, True),
    ],
)
def test_tanh_bounds_images_and_samples_on_request(shape, bounded, expected):
    g = MLPGenerator(shape, 3, bounded=bounded)
    assert isinstance(g.layers[-1], nn.Tanh) == expected
    with torch.no_grad():
        g.layers[4].weight.mul_(1e3)
    assert (g(torch.randn(20, 3)).abs().max() <= 1) == expected


def test_layers_of_the_discriminator():
    assert kinds(MLPDiscriminator((2,))) == ["Linear", "LeakyReLU"] * 2
    assert MLPDiscriminator((2,)).layers[1].negative_slope == 0.2
    d = MLPDiscriminator((2,), 16, 3, activation=nn.ELU, norm=nn.BatchNorm1d, dropout=0.3, input_dropout=0.1)
    assert kinds(d) == ["Dropout", *["Linear", "BatchNorm1d", "ELU", "Dropout"] * 3]
    assert [m.p for m in d.layers if isinstance(m, nn.Dropout)] == [0.1, 0.3, 0.3, 0.3]
    assert d.layers[1].weight.shape == (16, 2) and d.layers[1].bias is None and d.num_features == 16
    d = MLPDiscriminator((2,), 200, 3, maxout_pieces=5, norm=nn.LayerNorm, dropout=0.3)
    assert kinds(d) == ["Maxout", "LayerNorm", "Dropout"] * 3
    assert d.layers[0].linear.weight.shape == (1000, 2) and d.layers[0].pieces == 5


def test_no_hidden_layer_is_a_linear_discriminator():
    d = MLPDiscriminator((2, 3), depth=0)
    x = torch.randn(4, 2, 3)
    assert d.num_features == 6
    torch.testing.assert_close(d(x), x.flatten(1) @ d.head[0].weight[0] + d.head[0].bias)


@pytest.mark.parametrize("option", ["dropout", "input_dropout"])
def test_dropout_acts_in_training_only(option):
    d = MLPDiscriminator((8,), **{option: 0.5})
    x = torch.randn(4, 8)
    assert not torch.equal(d(x), d(x))
    d.eval()
    assert torch.equal(d(x), d(x))
    still = MLPDiscriminator((8,))
    assert torch.equal(still(x), still(x))


def test_maxout_is_the_maximum_of_its_pieces():
    layer = Maxout(3, 4, pieces=5)
    x = torch.randn(7, 3)
    weight, bias = layer.linear.weight.view(5, 4, 3), layer.linear.bias.view(5, 4)
    expected = torch.stack([torch.stack([x @ weight[j, i] + bias[j, i] for i in range(4)], 1) for j in range(5)])
    torch.testing.assert_close(layer(x), expected.max(0).values)


def test_fourier_features_are_the_formula():
    layer = FourierFeatures(3, max_frequency=100.0)
    x = np.random.default_rng(0).normal(size=(6, 2))
    columns = [x, *(np.sin(f * x) for f in (1, 10, 100)), *(np.cos(f * x) for f in (1, 10, 100))]
    actual = layer.double()(torch.from_numpy(x))
    np.testing.assert_allclose(actual.numpy(), np.concatenate(columns, 1), atol=1e-4)
    torch.testing.assert_close(FourierFeatures(1).frequencies, torch.ones(1))


@pytest.mark.parametrize("layer", [FourierFeatures(3, 10.0), Maxout(2, 4, 3)], ids=["fourier", "maxout"])
def test_gradients_are_exact(layer):
    x = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(layer.double(), x)
    assert torch.autograd.gradgradcheck(layer.double(), x)


def test_fourier_frequencies_follow_the_network_and_are_not_saved():
    layer = FourierFeatures(3)
    assert not layer.state_dict() and not list(layer.parameters())
    assert layer.to(torch.bfloat16).frequencies.dtype == torch.bfloat16
    assert layer.to("meta").frequencies.device.type == "meta"


def test_fourier_and_scale_act_on_the_input():
    torch.manual_seed(0)
    d = MLPDiscriminator((2,), 8, 1, fourier_frequencies=3, max_frequency=50.0, input_scale=0.25)
    x = 4 * torch.randn(5, 2)
    assert d.layers[1].weight.shape == (8, 2 * (1 + 2 * 3))
    expected = nn.LeakyReLU(0.2)(d.layers[1](FourierFeatures(3, 50.0)(x / 4)))
    torch.testing.assert_close(d.features(x), expected)
    d.layers[0].frequencies.mul_(1.5)
    assert not torch.allclose(d.features(x), expected)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: MLPGenerator((2,), width=0), r"\(width=0\): expected a whole number of at least"),
        (lambda: MLPGenerator((2,), depth=-1), r"\(depth=-1\): expected a whole number of at least"),
        (lambda: MLPGenerator((2,), orthogonal_gain=0.0), r"\(orthogonal_gain=0.0\): expected a finite number above 0"),
        (
            lambda: MLPDiscriminator((2,), orthogonal_gain=-1.0),
            r"\(orthogonal_gain=-1.0\): expected a finite number above 0",
        ),
        (lambda: MLPDiscriminator((2,), width=0), r"\(width=0\): expected a whole number of at least"),
        (lambda: MLPDiscriminator((2,), depth=-1), r"\(depth=-1\): expected a whole number of at least"),
        (lambda: MLPDiscriminator((2,), maxout_pieces=1), r"\(maxout_pieces=1\) makes the network linear"),
        (
            lambda: MLPDiscriminator((2,), maxout_pieces=-1),
            r"\(maxout_pieces=-1\): expected a whole number of at least",
        ),
        (
            lambda: MLPDiscriminator((2,), fourier_frequencies=-1),
            r"\(fourier_frequencies=-1\): expected a whole number of at least",
        ),
        (lambda: FourierFeatures(2, max_frequency=0.5), r"\(max_frequency=0.5\): expected a number of at least 1"),
        (lambda: MLPDiscriminator((2,), dropout=1.5), r"\(dropout=1.5\): expected a number in \[0, 1\), such as"),
        (lambda: MLPDiscriminator((2,), input_dropout=-0.1), r"\(input_dropout=-0.1\): expected a number in \[0, 1\)"),
    ],
)
def test_bad_values_are_named(make, words):
    with pytest.raises(ValueError, match=words) as raised:
        make()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("make", [partial(MLPGenerator, (2,), 200), partial(MLPDiscriminator, (200,))])
def test_initial_weights_are_he_s_or_orthogonal(make):
    for linear in (module for module in make(width=100).layers if isinstance(module, nn.Linear)):
        if linear.out_features == 100:
            assert linear.weight.std().item() == pytest.approx((2 / linear.in_features) ** 0.5, rel=0.03)
        assert not linear.bias.any()
    for linear in (module for module in make(width=100, orthogonal_gain=0.8).layers if isinstance(module, nn.Linear)):
        rows = linear.weight @ linear.weight.T
        torch.testing.assert_close(rows, 0.64 * torch.eye(len(rows)), atol=1e-5, rtol=0)
        assert not linear.bias.any()
