"""Layers with a bank of weights, against a loop over the samples."""

import pytest
import torch
import torch.nn.functional as F

from lightning_gans.networks import StochasticConvTranspose2d, StochasticLinear

R = 5
GROUPS = {
    "per sample": torch.tensor([3, 0, 3, 1, 0, 3, 3]),  # not sorted; 2 and 4 are not used
    "per sample, all the same": torch.full((7,), 2),
    "per batch": torch.tensor([3]),
    "chunks": torch.tensor([4, 1, 4]),  # of 3, 2 and 2 samples
}
every_form = pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)


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
COMPILED = {("per sample", "conv"), ("per batch", "linear")}  # those of the default suite
every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def build(make, *arguments):
    """A layer in double precision whose parameters all differ from their start, and a batch for it."""
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


@every_layer
@every_form
def test_every_form_is_a_loop_over_the_samples(make, group):
    layer, x = build(make)
    assert_is_the_loop(layer, layer, x, group)


@every_layer
@pytest.mark.parametrize("form", ["per sample", "per sample, all the same"])
def test_the_method_of_compiled_graphs_and_other_devices_is_the_same_loop(make, form):
    layer, x = build(make)
    assert_is_the_loop(layer.each, layer, x, GROUPS[form])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "group"),
    [
        pytest.param(make, group, id=f"{form}-{layer}", marks=() if (form, layer) in COMPILED else pytest.mark.slow)
        for layer, make in LAYERS.items()
        for form, group in GROUPS.items()
    ],
)
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
def test_groups_start_different_and_the_state_is_restored(make):
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


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: linear()[0](torch.zeros(2, 3), torch.zeros(3).long()), r"shape \(3,\) for 2 samples, expected \(M,\)"),
        (lambda: conv(kernel_size=0), r"\(kernel_size=0\): expected a whole number of at least"),
        (lambda: conv(stride=0), r"\(stride=0\): expected a whole number of at least"),
        (lambda: conv(padding=-1), r"\(padding=-1\): expected a whole number of at least"),
        (lambda: StochasticLinear(0, 3), r"\(in_features=0\): expected a whole number of at least"),
        (lambda: StochasticLinear(3, 0), r"\(out_features=0\): expected a whole number of at least"),
        (lambda: StochasticConvTranspose2d(0, 3), r"\(in_channels=0\): expected a whole number of at least"),
        (lambda: StochasticConvTranspose2d(3, 0), r"\(out_channels=0\): expected a whole number of at least"),
    ],
)
def test_bad_values_are_named(make, words):
    with pytest.raises(ValueError, match=words) as raised:
        make()
    assert "\n" not in str(raised.value)
