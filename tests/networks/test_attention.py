"""Self-attention: the paper's equations, and its place in the residual networks."""

import pytest
import torch
from torch import nn

from lightning_gans.networks import ResNetDiscriminator, ResNetGenerator, SelfAttention


def with_gamma(channels, gamma):
    torch.manual_seed(0)
    layer = SelfAttention(channels).double()
    nn.init.constant_(layer.gamma, gamma)
    return layer


def test_it_is_the_equations_of_the_paper():
    layer, x = with_gamma(16, 0.7), torch.randn(2, 16, 3, 4, dtype=torch.float64)
    f, g, h, v = (one.weight[:, :, 0, 0] for one in (layer.f, layer.g, layer.h, layer.v))
    assert f.shape == g.shape == h.shape == (2, 16) and v.shape == (16, 2)
    expected = torch.empty_like(x).flatten(2)
    for n, points in enumerate(x.flatten(2)):
        for j in range(12):
            s = torch.stack([(f @ points[:, i]) @ (g @ points[:, j]) for i in range(12)])
            beta = s.exp() / s.exp().sum()
            o = v @ sum(beta[i] * (h @ points[:, i]) for i in range(12))
            expected[n, :, j] = 0.7 * o + points[:, j]
    torch.testing.assert_close(layer(x), expected.view_as(x))


def test_it_starts_as_the_identity_and_learns_to_leave_it():
    layer, x = with_gamma(8, 0.0), torch.randn(2, 8, 4, 4, dtype=torch.float64)
    assert torch.equal(SelfAttention(8)(x.float()), x.float())
    (gradient,) = torch.autograd.grad(layer(x).square().sum(), layer.gamma)
    assert gradient.abs() > 1e-3


def test_it_has_a_double_backward():
    layer, x = with_gamma(4, 1.0), torch.randn(1, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(layer, x)


def test_it_stands_behind_the_map_of_its_side():
    def seen(network, x):
        sides = []
        for module in network.modules():
            if isinstance(module, SelfAttention):
                module.register_forward_hook(lambda _, inputs, y: sides.append(tuple(inputs[0].shape[1:])))
        network(x)
        return sides

    make = {"width": 4, "max_width": 8}
    for side, channels in ((8, 8), (16, 8), (32, 4)):
        assert seen(ResNetGenerator((3, 32, 32), 5, attention=side, **make), torch.randn(2, 5)) == [
            (channels, side, side)
        ]
    for side, channels in ((16, 4), (8, 8)):
        d = ResNetDiscriminator((3, 32, 32), attention=side, **make)
        assert seen(d, torch.randn(2, 3, 32, 32)) == [(channels, side, side)]
    assert not seen(ResNetGenerator((3, 32, 32), 5, **make), torch.randn(2, 5))


def test_at_its_start_a_network_makes_what_it_makes_without_it():
    with_it, without = (ResNetGenerator((1, 16, 16), 5, width=4, attention=side) for side in (8, None))
    attention = {name for name in with_it.state_dict() if name.startswith("blocks.1.")}
    state = {name: value for name, value in with_it.state_dict().items() if name not in attention}
    state = {name.replace("blocks.2.", "blocks.1."): value for name, value in state.items()}
    assert len(attention) == 5
    without.load_state_dict(state)
    z = torch.randn(3, 5)
    assert torch.equal(with_it(z), without(z))


@pytest.mark.parametrize("make", [ResNetGenerator, ResNetDiscriminator])
def test_a_side_that_no_map_has_is_refused(make):
    with pytest.raises(ValueError, match=rf"{make.__name__}\(attention=10\): expected one of None, .*16") as raised:
        make((3, 32, 32), width=4, attention=10)
    assert "\n" not in str(raised.value)


def test_channels_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"SelfAttention\(channels=0\): expected a whole number of at least 1"):
        SelfAttention(0)
