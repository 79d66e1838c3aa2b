"""The stochastic ensembles: banks of weights, routes through them, and the two generators."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_gans.networks import (
    Constant,
    Gaussian,
    StochasticConvTranspose2d,
    StochasticEnsembleGenerator,
    StochasticEnsembleMLPGenerator,
    StochasticLinear,
    Uniform,
)
from lightning_gans.networks.stochastic import StochasticLayer

R = 5
GROUPS = {
    "per sample": torch.tensor([3, 0, 3, 1, 0, 3, 3]),  # not sorted; 2 and 4 are not used
    "per sample, all alike": torch.full((7,), 2),
    "per batch": torch.tensor([3]),
    "chunks": torch.tensor([4, 1, 4]),  # of 3, 2 and 2 samples
}
every_form = pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def conv(groups=R, **options):
    # of such sizes that one or few samples have their output scaled, and the whole batch has the filters scaled
    return StochasticConvTranspose2d(9, 4, groups, **options), torch.randn(7, 9, 2, 3)


def linear(groups=R):
    return StochasticLinear(3, 4, groups), torch.randn(7, 3)


LAYERS = {
    "conv": conv,
    "conv, other sizes": lambda groups=R: conv(groups, kernel_size=5, stride=3, padding=0),
    "linear": linear,
}
every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def build(make, *arguments):
    """A layer in double precision whose parameters are all unlike their start, and a batch for it."""
    layer, x = make(*arguments)
    with torch.no_grad():
        layer.gain.uniform_(0.5, 2)
        layer.bias.normal_()
    return layer.double(), x.double().requires_grad_()


def weight_of(layer, r):
    """The effective weight of one group, by the formula."""
    v, g = layer.direction[r], layer.gain[r]
    if isinstance(layer, StochasticLinear):
        return torch.stack([g[o] * v[o] / v[o].square().sum().sqrt() for o in range(len(g))])
    return torch.stack([g[o] * v[:, o] / v[:, o].square().sum().sqrt() for o in range(len(g))], 1)


def ordinary(layer, x, r):
    if isinstance(layer, StochasticLinear):
        return F.linear(x, weight_of(layer, r), layer.bias)
    return F.conv_transpose2d(x, weight_of(layer, r), layer.bias, layer.stride, layer.padding)


def per_sample(group, n=7):
    """The group of every sample."""
    sizes = [len(part) for part in torch.arange(n).tensor_split(len(group))]
    return [r for r, size in zip(group.tolist(), sizes, strict=True) for _ in range(size)]


def by_loop(layer, x, group):
    return torch.cat([ordinary(layer, x[i : i + 1], r) for i, r in enumerate(per_sample(group, len(x)))])


def values_and_gradients(function, layer, x, group):
    y = function(x, group)
    loss = (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum()
    return [y, *torch.autograd.grad(loss, [x, layer.direction, layer.gain, layer.bias])]


def assert_is_the_loop(function, layer, x, group):
    expected = values_and_gradients(lambda x, group: by_loop(layer, x, group), layer, x, group)
    torch.testing.assert_close(values_and_gradients(function, layer, x, group), expected)


# ---------------------------------------------------------------- the layers


@every_layer
@every_form
def test_every_form_is_a_loop_over_the_samples(make, group):
    layer, x = build(make)
    assert_is_the_loop(layer, layer, x, group)


@every_layer
@pytest.mark.parametrize("form", ["per sample", "per sample, all alike"])
def test_the_method_of_compiled_graphs_and_other_devices_is_the_same_loop(make, form):
    layer, x = build(make)
    assert_is_the_loop(layer.each, layer, x, GROUPS[form])


@every_layer
@every_form
def test_compiles_to_one_graph(make, group):
    torch.compiler.reset()
    layer, x = build(make)
    assert_is_the_loop(torch.compile(layer, fullgraph=True, backend="aot_eager"), layer, x, group)


@every_layer
def test_direction_and_gain_are_apart(make):
    layer, x = build(make)
    y = layer(x, GROUPS["per sample"])
    with torch.no_grad():
        layer.direction.mul_(3.0)  # the length of the direction is without effect
        torch.testing.assert_close(layer(x, GROUPS["per sample"]), y)
        layer.gain.mul_(2.0)  # the gain is the scale, of all but the bias
    bias = layer.bias if y.dim() == 2 else layer.bias[:, None, None]
    torch.testing.assert_close(layer(x, GROUPS["per sample"]) - bias, 2 * (y - bias))


@every_layer
@every_form
def test_gradients_reach_the_groups_in_use_and_the_shared_bias(make, group):
    layer, x = build(make)
    layer(x, group).square().sum().backward()
    for bank in (layer.direction, layer.gain):
        reached = bank.grad.flatten(1).abs().sum(1) > 0
        assert reached.nonzero().flatten().tolist() == sorted(set(group.tolist()))
    assert layer.bias.shape == (4,) and (layer.bias.grad != 0).all()


@every_layer
def test_a_bank_of_one_is_an_ordinary_layer(make):
    layer, x = build(make, 1)
    for group in (torch.zeros(1, dtype=torch.int64), torch.zeros(7, dtype=torch.int64)):
        torch.testing.assert_close(layer(x, group), ordinary(layer, x, 0))


@pytest.mark.parametrize("make", [lambda: (conv()[0], torch.randn(3, 9, 1, 2)), linear])
def test_second_derivatives(make):
    layer, x = build(make)
    short, group = x[:3].detach().requires_grad_(), torch.tensor([1, 0, 1])
    assert torch.autograd.gradgradcheck(lambda x: layer(x, group).tanh(), short)


@every_layer
def test_groups_start_unlike_and_the_state_comes_back(make):
    layer, x = build(make)
    assert len({tuple(v.flatten().tolist()) for v in layer.direction}) == R
    other, _ = make()
    other = other.double()
    assert not torch.equal(other(x, GROUPS["per sample"]), layer(x, GROUPS["per sample"]))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x, GROUPS["per sample"]), layer(x, GROUPS["per sample"]))
    assert set(layer.state_dict()) == {"direction", "gain", "bias"}


@every_layer
@every_form
def test_bfloat16_autocast(make, group):
    layer, x = make()
    expected = layer(x, group)
    with torch.autocast("cpu", torch.bfloat16):
        y, static = layer(x, group), layer.each(x, torch.tensor(per_sample(group)))
    assert y.dtype == static.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), expected, atol=0.1, rtol=0.05)
    torch.testing.assert_close(static.float(), expected, atol=0.1, rtol=0.05)
    (y.float() + static.float()).sum().backward()
    assert layer.direction.grad.dtype == torch.float32 and layer.direction.grad.isfinite().all()


@pytest.mark.parametrize(
    "make, shape",
    [
        (lambda: StochasticLinear(256, 256, 4), (64, 256)),
        (lambda: StochasticConvTranspose2d(64, 64, 4), (8, 64, 16, 16)),
        (lambda: StochasticConvTranspose2d(64, 64, 4, kernel_size=6, stride=3), (8, 64, 16, 16)),
    ],
    ids=["linear", "conv", "conv of stride 3"],
)
def test_the_mean_square_is_kept_from_prelu_to_prelu(make, shape):
    layer, x = make(), F.leaky_relu(torch.randn(shape), 0.2)
    y = F.leaky_relu(layer(x, torch.arange(len(x)) % 4), 0.2)
    inner = y[..., 4:-4, 4:-4] if y.dim() == 4 else y
    assert (inner.square().mean() / x.square().mean()).item() == pytest.approx(1, rel=0.1)
    assert torch.equal(layer.gain, layer.gain[0, 0].expand_as(layer.gain)) and not layer.bias.any()


# ---------------------------------------------------------------- routes


def image(shape=(1, 16, 16), **options):
    return StochasticEnsembleGenerator(shape, **{"width": 2, "groups": 3, **options})


def points(**options):
    return StochasticEnsembleMLPGenerator((2,), **{"latents": 4, "width": 8, "groups": 3, **options})


every_generator = pytest.mark.parametrize("make", [lambda **o: image((1, 28, 28), **o), points])


def stochastic(generator):
    return [m for m in generator.modules() if isinstance(m, StochasticLayer)]


@every_generator
def test_a_route_is_a_network_of_its_own(make):
    g = make()
    z = g.latents.sample(1).expand(9, -1)
    assert g.num_routes == 9
    x = g(z, route=torch.arange(9))
    assert torch.equal(x, g(z, route=torch.arange(9)))
    distances = torch.cdist(x.flatten(1), x.flatten(1))
    assert (distances + torch.eye(9)).min() > 1e-3
    torch.testing.assert_close(g(z[:1], route=5), x[5:6])


@every_generator
def test_a_route_is_its_groups_as_digits_from_the_input_on(make):
    g = make()
    seen = []
    for layer in stochastic(g):
        layer.register_forward_hook(lambda m, i, o: seen.append(i[1].tolist()))
    g(g.latents.sample(3), route=torch.tensor([1, 3, 8]))
    assert seen[:2] == [[1, 0, 2], [0, 1, 2]] and not any(map(any, seen[2:]))


@every_generator
def test_one_route_chunks_and_routes_per_sample_agree(make):
    g = make()
    z = g.latents.sample(7)
    for route in (torch.tensor([4]), torch.tensor([4, 0, 8])):
        torch.testing.assert_close(g(z, route=route), g(z, route=torch.tensor(per_sample(route))))
    assert torch.equal(g(z, route=4), g(z, route=torch.tensor([4])))


@every_generator
@pytest.mark.parametrize("routes, size", [(None, 7), (1, 1), (3, 3), (100, 7)])
def test_routes_are_drawn_anew_from_the_global_random_numbers(make, routes, size):
    g = make(routes_per_batch=routes)
    z = g.latents.sample(7)
    assert g.draw_routes(7).shape == (size,) and g.draw_routes(7).dtype == torch.int64
    assert g.draw_routes(7, device="meta").device.type == "meta"
    torch.manual_seed(1)
    route = g.draw_routes(7)
    torch.manual_seed(1)
    x = g(z)
    assert torch.equal(x, g(z, route=route))
    assert any(not torch.equal(x, g(z)) for _ in range(20))
    state = torch.random.get_rng_state()
    draws = [g.draw_routes(50, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*draws) and torch.equal(state, torch.random.get_rng_state())


def test_routes_are_drawn_uniformly():
    g = image((1, 64, 64))
    n, k = 27 * 1000, g.num_routes
    counts = g.draw_routes(n, generator=torch.Generator().manual_seed(0)).bincount(minlength=k)
    chi_square = ((counts - n / k).square() / (n / k)).sum()
    assert k == len(counts) == 27 and 10 < chi_square < 50  # 26 on average, 7 off


def test_few_routes_are_all_met():
    g = points(groups=2, depth=3)
    assert set(g.draw_routes(400).tolist()) == set(range(8))


@every_generator
def test_one_group_is_an_ordinary_network(make):
    g = make(groups=1)
    z = g.latents.sample(5)
    assert g.num_routes == 1 and not g.draw_routes(5).any()
    assert torch.equal(g(z), g(z)) and torch.equal(g(z), g(z, route=0))


@every_generator
def test_generators_compile_to_one_graph(make):
    torch.compiler.reset()
    g = make(routes_per_batch=2)
    z, route = g.latents.sample(5), torch.tensor([8, 0, 3, 3, 1])
    compiled = torch.compile(g, fullgraph=True, backend="aot_eager")
    assert compiled(z).shape == (5, *g.sample_shape)
    torch.testing.assert_close(compiled(z, route=route), g(z, route=route))


@every_generator
def test_state_copy_and_gradients_of_generators(make):
    g = make(num_classes=3)
    other = make(num_classes=3)
    z, labels, route = g.latents.sample(6), torch.arange(6) % 3, torch.arange(6)
    other.load_state_dict(g.state_dict())
    x = g(z, labels, route)
    assert torch.equal(other(z, labels, route), x) and torch.equal(copy.deepcopy(g)(z, labels, route), x)
    with torch.autocast("cpu", torch.bfloat16):
        low = g(z, labels, route)
    torch.testing.assert_close(low.float(), x, atol=0.1, rtol=0.1)
    (x.sum() + low.float().sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in g.parameters())


@every_generator
def test_labels_change_the_samples(make):
    g = make(num_classes=3)
    z = g.latents.sample(1).expand(3, -1)
    x = g(z, torch.arange(3), 0)
    assert torch.pdist(x.flatten(1)).min() > 1e-3


# ---------------------------------------------------------------- the image generator


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


def test_options_of_the_image_generator():
    def layers(**options):
        return [(m.in_channels, m.out_channels, m.groups) for m in stochastic(image((1, 64, 64), **options))]

    assert layers() == [(1, 8, 3), (8, 4, 3), (4, 2, 3), (2, 1, 1)]
    assert layers(width=3)[0] == (1, 12, 3)
    assert layers(groups=2)[0] == (1, 8, 2)
    assert layers(stochastic_layers=1) == [(1, 8, 3), (8, 4, 1), (4, 2, 1), (2, 1, 1)]
    assert layers(doublings=3) == [(1, 4, 3), (4, 2, 3), (2, 1, 1)]
    assert layers(input_channels=5)[0] == (5, 8, 3) and image(input_channels=5).latent_dim == 5 * 16
    assert layers(input_channels=5, num_classes=2)[0] == (10, 8, 3)
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
    assert layers(num_classes=2, latents=Uniform(6))[0] == (12, 8, 3)
    assert StochasticEnsembleMLPGenerator((2,)).num_routes == 256
    assert StochasticEnsembleMLPGenerator((2,)).latents == Gaussian(16)

    def bounded(*arguments, **options):
        g = StochasticEnsembleMLPGenerator(*arguments, width=4, groups=2, **options)
        return any(isinstance(m, nn.Tanh) for m in g.layers)

    assert bounded((1, 8, 8)) and bounded((2,), bounded=True)
    assert not bounded((2,)) and not bounded((1, 8, 8), bounded=False)
    assert StochasticEnsembleMLPGenerator((1, 8, 8), 4, width=4)(torch.randn(3, 4)).shape == (3, 1, 8, 8)


# ---------------------------------------------------------------- errors

Z = torch.zeros(4, 4)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: image(groups=0), "groups is 0, expected an integer; set it to 1 or more"),
        (lambda: image(routes_per_batch=0), "routes_per_batch is 0"),
        (lambda: image((1, 64, 64), stochastic_layers=0), "stochastic_layers is 0"),
        (lambda: image((1, 28, 28), stochastic_layers=3), "stochastic_layers is 3 .* 3 doublings, expected at most 2"),
        (lambda: image((1, 12, 64)), r"\(1, 12, 64\), expected H and W of at least 13; .* use StochasticEnsembleMLP"),
        (lambda: image(doublings=3), "doublings is 3 for 16 × 16 images, expected 2 to 2; lower it"),
        (lambda: image(doublings=1), "doublings is 1"),
        (lambda: image(width=0), "width is 0"),
        (lambda: image(input_channels=0), "input_channels is 0"),
        (lambda: image(latents=Constant(5)), r"width 5, expected 16 for a map of 1 × 4 × 4; use Uniform\(16\)"),
        (lambda: points(depth=0), "depth is 0"),
        (lambda: points(width=0), "width is 0"),
        (lambda: points(groups=0), "groups is 0"),
        (lambda: points(stochastic_layers=3), "stochastic_layers is 3, expected at most depth 2"),
        (
            lambda: points(groups=64, depth=12),
            r"64 groups in 12 layers are \d+ routes, expected at most 2\*\*62; lower",
        ),
        (lambda: points()(Z, route=9), r"route is 9, expected 0 to 8; draw it with generator.draw_routes\(4\)"),
        (lambda: points()(Z, route=torch.tensor([0, 1, -1, 2])), "route is -1, expected 0 to 8"),
        (lambda: points()(Z, route=torch.zeros(4)), r"dtype torch.float32, expected torch.int64; .* route.long\(\)"),
        (lambda: points()(Z, route=torch.zeros(5).long()), r"shape \(5,\), expected \(4,\), \(1,\) or less than 4"),
        (lambda: points()(Z, route=torch.zeros(4, 1).long()), r"shape \(4, 1\)"),
        (lambda: points()(Z, route=torch.tensor(3)), r"shape \(\), expected"),
        (lambda: linear()[0](torch.zeros(2, 3), torch.zeros(3).long()), r"shape \(3,\) for 2 samples, expected \(M,\)"),
        (lambda: conv(kernel_size=0), "kernel_size is 0"),
        (lambda: conv(stride=0), "stride is 0"),
        (lambda: conv(padding=-1), "padding is -1"),
        (lambda: StochasticLinear(0, 3), "in_features is 0"),
        (lambda: StochasticLinear(3, 0), "out_features is 0"),
        (lambda: StochasticConvTranspose2d(0, 3), "in_channels is 0"),
        (lambda: StochasticConvTranspose2d(3, 0), "out_channels is 0"),
    ],
)
def test_bad_values_are_named(make, words):
    with pytest.raises(ValueError, match=words) as raised:
        make()
    assert "\n" not in str(raised.value)


def test_the_most_routes():
    assert points(groups=4, depth=31, width=1).num_routes == 2**62
    assert points(groups=4, depth=31, width=1).draw_routes(1000).min() >= 0


def test_the_last_group_is_that_of_the_last_layer_with_a_choice():
    image = StochasticEnsembleGenerator((1, 28, 28), width=2, groups=5)  # its upper layer is shared
    points = StochasticEnsembleMLPGenerator((2,), 3, width=4, depth=3, groups=5, stochastic_layers=2)
    route = torch.tensor([0, 4, 5, 13, 24])
    for network in (image, points):
        assert network.last_group(route, 5).tolist() == [0, 0, 1, 2, 4]
        assert network.last_group(torch.tensor([13]), 3).tolist() == [2, 2, 2]
        assert network.last_group(torch.tensor([13, 24]), 5).tolist() == [2, 2, 2, 4, 4], "as the batch is cut"
    assert StochasticEnsembleMLPGenerator((2,), 3, width=4, groups=1).last_group(torch.zeros(2).long(), 2).tolist() == [
        0,
        0,
    ]
