"""Routes of stochastic ensembles: what a route is, how routes are drawn, and what they change."""

import copy

import pytest
import torch

from lightning_gans.networks import StochasticEnsembleGenerator, StochasticEnsembleMLPGenerator, StochasticLayer


def image(shape=(1, 16, 16), **options):
    return StochasticEnsembleGenerator(shape, **{"width": 2, "groups": 3, **options})


def points(**options):
    return StochasticEnsembleMLPGenerator((2,), **{"latents": 4, "width": 8, "groups": 3, **options})


def stochastic(generator):
    return [m for m in generator.modules() if isinstance(m, StochasticLayer)]


every_generator = pytest.mark.parametrize("make", [lambda **o: image((1, 28, 28), **o), points])


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
    for route, each in (([4], [4] * 7), ([4, 0, 8], [4, 4, 4, 0, 0, 8, 8])):
        torch.testing.assert_close(g(z, route=torch.tensor(route)), g(z, route=torch.tensor(each)))
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


@pytest.mark.slow
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


Z = torch.zeros(4, 4)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: points()(Z, route=9), r"route is 9, expected 0 to 8; draw it with generator.draw_routes\(4\)"),
        (lambda: points()(Z, route=torch.tensor([0, 1, -1, 2])), "route is -1, expected 0 to 8"),
        (lambda: points()(Z, route=torch.zeros(4)), r"dtype torch.float32, expected torch.int64; .* route.long\(\)"),
        (lambda: points()(Z, route=torch.zeros(5).long()), r"shape \(5,\), expected \(4,\), \(1,\) or less than 4"),
        (lambda: points()(Z, route=torch.zeros(4, 1).long()), r"shape \(4, 1\)"),
        (lambda: points()(Z, route=torch.tensor(3)), r"shape \(\), expected"),
    ],
)
def test_bad_values_are_named(make, words):
    with pytest.raises(ValueError, match=words) as raised:
        make()
    assert "\n" not in str(raised.value)
