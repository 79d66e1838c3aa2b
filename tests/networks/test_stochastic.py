"""The two stochastic ensembles: architecture and arguments."""

import pytest
import torch
from torch import nn

from lightning_gans.networks import (
    Constant,
    Gaussian,
    StochasticEnsembleGenerator,
    StochasticEnsembleMLPGenerator,
    StochasticLayer,
    Uniform,
)


def image(shape=(1, 16, 16), **options):
    return StochasticEnsembleGenerator(shape, **{"width": 2, "groups": 3, **options})


def points(**options):
    return StochasticEnsembleMLPGenerator((2,), **{"latents": 4, "width": 8, "groups": 3, **options})


def stochastic(generator):
    return [m for m in generator.modules() if isinstance(m, StochasticLayer)]


def test_sizes_and_routes_of_the_paper():
    g = StochasticEnsembleGenerator((3, 128, 128), width=144, groups=1)
    shapes = [(m.in_channels, m.out_channels) for m in stochastic(g)]
    assert shapes == [(1, 576), (576, 288), (288, 144), (144, 3)]
    assert g.layers[0].unflattened_size == (1, 8, 8) and g.latents == Uniform(64)
    g = StochasticEnsembleGenerator((3, 128, 128), width=2)
    assert g.num_routes == 4096 and [m.groups for m in stochastic(g)] == [16, 16, 16, 1]
    kinds = ["Unflatten", *["StochasticConvTranspose2d", "PReLU"] * 3, "StochasticConvTranspose2d", "Tanh"]
    assert [type(m).__name__ for m in g.layers] == kinds
    assert all(m.weight.item() == pytest.approx(0.2) for m in g.layers if isinstance(m, nn.PReLU))
    assert {(m.kernel_size, m.stride, m.padding) for m in stochastic(g)} == {(4, 2, 1)}


@pytest.mark.parametrize(
    "shape, routes, first",
    [
        ((1, 28, 28), 9, (4, 4)),
        ((3, 64, 64), 27, (4, 4)),
        ((2, 30, 21), 3, (8, 6)),
        ((1, 13, 13), 3, (4, 4)),
        ((1, 256, 130), 27, (16, 9)),
    ],
)
def test_every_size(shape, routes, first):
    g = image(shape)
    x = g(g.latents.sample(2))
    assert x.shape == (2, *shape) and x.abs().max() <= 1 and g.num_routes == routes
    assert g.layers[0].unflattened_size == (1, *first) and g.latent_dim == first[0] * first[1]


def test_a_learned_map_gives_the_ensemble_a_sense_of_place():
    g = image((1, 28, 28), latents=Constant(16), learned_channels=5)
    learned = g.layers[1].map
    assert learned.shape == (5, 4, 4) and stochastic(g)[0].in_channels == 6
    z = g.latents.sample(2)
    assert torch.equal(*g(z, route=0))
    before = g(z, route=0)[0]
    with torch.no_grad():
        learned[:, 0, 0] += 1.0  # the corner
    moved = (g(z, route=0)[0] - before).abs()[0]
    assert moved[:8, :8].max() > 0 and moved[24:, 24:].max() == 0
    g(z).square().sum().backward()
    assert learned.grad.abs().max() > 0


def test_the_map_of_a_class_has_the_norm_asked_for():
    for norm in (1.0, 7.0):
        g = image((1, 28, 28), num_classes=3, class_norm=norm)
        z, labels = torch.zeros(3, g.latent_dim), torch.arange(3)
        maps = g.condition(z, labels)[:, g.latent_dim :].view(3, 3, -1)
        assert torch.allclose(maps.norm(dim=2), norm * torch.eye(3))
    with pytest.raises(
        ValueError, match=r"StochasticEnsembleGenerator\(class_norm=0\): expected a finite number above 0"
    ):
        image((1, 28, 28), num_classes=3, class_norm=0)


def test_a_plain_convolution_may_come_last_and_every_doubling_be_stochastic():
    g = image((2, 30, 21), plain_last=True, doublings=2, stochastic_layers=2, width=6)
    assert [m.out_channels for m in stochastic(g)] == [12, 6] and [m.groups for m in stochastic(g)] == [3, 3]
    last = g.layers[-2]
    assert (last.in_channels, last.out_channels, last.kernel_size) == (6, 2, (3, 3))
    x = g(g.latents.sample(4))
    assert x.shape == (4, 2, 30, 21) and x.abs().max() < 1
    with pytest.raises(ValueError, match=r"expected at most 2 for image_shape \(2, 30, 21\) and 2 doublings; lower it"):
        image((2, 30, 21), plain_last=True, doublings=2, stochastic_layers=3)


def test_options_of_the_image_generator():
    def layers(**options):
        return [(m.in_channels, m.out_channels, m.groups) for m in stochastic(image((1, 64, 64), **options))]

    assert layers() == [(1, 8, 3), (8, 4, 3), (4, 2, 3), (2, 1, 1)]
    assert layers(width=3)[0] == (1, 12, 3)
    assert layers(groups=2)[0] == (1, 8, 2)
    assert layers(stochastic_layers=1) == [(1, 8, 3), (8, 4, 1), (4, 2, 1), (2, 1, 1)]
    assert layers(doublings=3) == [(1, 4, 3), (4, 2, 3), (2, 1, 1)]
    assert layers(input_channels=5)[0] == (5, 8, 3) and image(input_channels=5).latent_dim == 5 * 16
    assert layers(input_channels=5, num_classes=2)[0] == (7, 8, 3)
    g = image(latents=Constant(16), routes_per_batch=2)
    assert g.latents == Constant(16) and len(g.draw_routes(9)) == 2
    assert torch.equal(*g(g.latents.sample(2), route=1))
    g = image((1, 256, 256), doublings=6)
    assert g.layers[0].unflattened_size == (1, 4, 4) and stochastic(g)[0].out_channels == 16  # at most 8 · width


def test_options_of_the_mlp_generator():
    def layers(**options):
        return [(m.in_features, m.out_features, m.groups) for m in stochastic(points(**options))]

    assert layers() == [(4, 8, 3), (8, 8, 3)]
    assert layers(width=5, groups=2) == [(4, 5, 2), (5, 5, 2)]
    assert layers(depth=3, stochastic_layers=1) == [(4, 8, 3), (8, 8, 1), (8, 8, 1)]
    assert layers(num_classes=2, latents=Uniform(6))[0] == (8, 8, 3)
    assert StochasticEnsembleMLPGenerator((2,)).num_routes == 256
    assert StochasticEnsembleMLPGenerator((2,)).latents == Gaussian(16)

    def bounded(*arguments, **options):
        g = StochasticEnsembleMLPGenerator(*arguments, width=4, groups=2, **options)
        return any(isinstance(m, nn.Tanh) for m in g.layers)

    assert bounded((1, 8, 8)) and bounded((2,), bounded=True)
    assert not bounded((2,)) and not bounded((1, 8, 8), bounded=False)
    assert StochasticEnsembleMLPGenerator((1, 8, 8), 4, width=4)(torch.randn(3, 4)).shape == (3, 1, 8, 8)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: image(groups=0), r"\(groups=0\): expected a whole number of at least 1"),
        (lambda: image(routes_per_batch=0), r"\(routes_per_batch=0\): expected a whole number of at least"),
        (
            lambda: image((1, 64, 64), stochastic_layers=0),
            r"\(stochastic_layers=0\): expected a whole number of at least",
        ),
        (
            lambda: image((1, 28, 28), stochastic_layers=3),
            r"\(stochastic_layers=3\): expected at most 2 .* 3 doublings",
        ),
        (
            lambda: image((1, 12, 64)),
            r"\(image_shape=\(1, 12, 64\)\): expected H and W of at least 13; .* use StochasticEnsembleMLP",
        ),
        (lambda: image(doublings=3), r"\(doublings=3\): expected 2 to 2 for image_shape \(1, 16, 16\); lower it"),
        (lambda: image(doublings=1), r"\(doublings=1\): expected a whole number of at least"),
        (lambda: image(width=0), r"\(width=0\): expected a whole number of at least"),
        (lambda: image(input_channels=0), r"\(input_channels=0\): expected a whole number of at least"),
        (
            lambda: image(latents=Constant(5)),
            r"\(latents=Constant\(dim=5\)\): expected width 16, for a map of 1 × 4 × 4; use Uniform\(16\)",
        ),
        (lambda: points(depth=0), r"\(depth=0\): expected a whole number of at least"),
        (lambda: points(width=0), r"\(width=0\): expected a whole number of at least"),
        (lambda: points(groups=0), r"\(groups=0\): expected a whole number of at least"),
        (lambda: points(stochastic_layers=3), r"\(stochastic_layers=3\): expected at most the depth, 2"),
        (
            lambda: points(groups=64, depth=12),
            r"64 groups in 12 layers are \d+ routes, expected at most 2\*\*62; lower",
        ),
    ],
)
def test_bad_values_are_named(make, words):
    with pytest.raises(ValueError, match=words) as raised:
        make()
    assert "\n" not in str(raised.value)
