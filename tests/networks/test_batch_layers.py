"""Layers that use a whole batch, against plain loops."""

import math

import pytest
import torch
from torch import nn

from lightning_gans.networks import (
    AlwaysOnDropout,
    MinibatchSimilarity,
    MinibatchStdDevLayer,
    VirtualBatchNormLayer,
    append_to_features,
)


def similarities(layer, f):
    """o_b(i) by loops."""
    t = layer.project.weight.detach().view(layer.extra, layer.dimensions, -1)  # (B, C, A)
    m = torch.einsum("na,bca->nbc", f, t)
    rows = range(len(f))
    return torch.tensor(
        [
            [sum(math.exp(-(m[i, b] - m[j, b]).abs().sum()) for j in rows if j != i) for b in range(layer.extra)]
            for i in rows
        ]
    )


def test_similarities_equal_those_of_a_loop():
    layer, f = MinibatchSimilarity(4, kernels=3, dimensions=2), torch.randn(5, 4)
    out = layer(f)
    assert out.shape == (5, 7) and torch.equal(out[:, :4], f)
    torch.testing.assert_close(out[:, 4:].detach(), similarities(layer, f))


def test_equal_samples_are_as_similar_as_can_be_and_far_ones_not_at_all():
    layer = MinibatchSimilarity(4)
    torch.testing.assert_close(layer(torch.ones(6, 4))[:, 4:], torch.full((6, 16), 5.0))
    assert layer(torch.eye(4) * 1e4)[:, 4:].abs().max() < 1e-6


@pytest.mark.parametrize("layer", [MinibatchSimilarity, MinibatchStdDevLayer])
def test_a_batch_of_one_and_equal_samples_have_finite_derivatives_of_two_orders(layer):
    layer = layer(3)
    for x in (torch.randn(1, 3), torch.ones(4, 3)):
        x.requires_grad_()
        out = layer(x)
        if len(x) == 1:
            assert torch.equal(out[:, 3:], torch.zeros_like(out[:, 3:]))
        (slope,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(slope.square().sum(), x)
        assert slope.isfinite().all() and second.isfinite().all()


def test_the_deviation_equals_that_of_the_population():
    x = torch.randn(5, 3)
    expected = sum(math.sqrt(sum((v - sum(c) / 5) ** 2 for v in c) / 5) for c in x.T.tolist()) / 3
    out = MinibatchStdDevLayer(3)(x)
    assert out.shape == (5, 4) and torch.equal(out[:, :3], x)
    torch.testing.assert_close(out[:, 3], torch.full((5,), expected))


@pytest.mark.parametrize("layer", [MinibatchSimilarity(4), MinibatchStdDevLayer(4)])
def test_they_declare_that_they_mix_the_batch_and_read_the_features_only(layer):
    f, more = torch.randn(5, 4), torch.randn(5, 2)
    assert layer.mixes_batch is True
    torch.testing.assert_close(layer(torch.cat([f, more], 1))[:, 6:], layer(f)[:, 4:])
    moved = f.clone()
    moved[0] += 1
    assert not torch.equal(layer(moved)[1], layer(f)[1]), "another sample moved"


@pytest.mark.parametrize("layer", [MinibatchSimilarity(64), MinibatchStdDevLayer(64)])
def test_half_precision_is_summed_in_single(layer):
    f = torch.randn(64, 64)
    half = layer.to(torch.bfloat16)(f.bfloat16())
    single = layer.float()(f.bfloat16().float())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half[:, 64:].float(), single[:, 64:], rtol=0.03, atol=0.05)


def test_a_head_is_widened_in_place_and_computes_the_same_at_first():
    head = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1), nn.Flatten(0))
    f, first, last = torch.randn(5, 4), head[0], head[2]
    before = head(f)
    wide = append_to_features(append_to_features(head, MinibatchSimilarity(4, 3)), MinibatchStdDevLayer(4))
    torch.testing.assert_close(wide(f), before)
    assert (first.in_features, first.weight.shape, last.in_features) == (8, (4, 8), 4)
    wide(f).sum().backward()
    assert first.weight.grad[:, 4:].any() and isinstance(first.weight, nn.Parameter)


def test_a_head_that_cannot_be_widened_is_refused():
    with pytest.raises(ValueError, match="Identity as a head has no Linear of 4 inputs"):
        append_to_features(nn.Identity(), MinibatchStdDevLayer(4))
    with pytest.raises(
        ValueError, match="parametrised, as by SpectralNorm, and cannot be widened; let that come later"
    ):
        append_to_features(nn.utils.parametrizations.spectral_norm(nn.Linear(4, 1)), MinibatchStdDevLayer(4))


# ---------------------------------------------------------------- virtual batch normalisation


def normalised(norm, x, size):
    """Each example with the reference and itself, by a loop over examples and channels."""
    out = torch.empty_like(x)
    for i in range(len(x)):
        for c in range(x.shape[1]):
            rows = [x[j, c].flatten() for j in range(size)] + ([x[i, c].flatten()] if i >= size else [])
            values = torch.cat(rows)
            scaled = (x[i, c] - values.mean()) / (values.var(correction=0) + norm.eps).sqrt()
            out[i, c] = scaled * norm.weight[c] + norm.bias[c]
    return out


@pytest.mark.parametrize(
    ("kind", "shape"), [(nn.BatchNorm1d, ()), (nn.BatchNorm2d, (2, 3)), (nn.BatchNorm3d, (2, 1, 2))]
)
@pytest.mark.parametrize("training", [True, False])
def test_every_example_is_normalised_with_the_reference_and_itself(kind, shape, training):
    norm = kind(3, eps=1e-3).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(7, 3, *shape, dtype=torch.float64) * 2 + 5
    layer = VirtualBatchNormLayer(norm, 4).train(training)
    torch.testing.assert_close(layer(x), normalised(norm, x, 4))
    assert layer.weight is norm.weight and layer.bias is norm.bias


def test_examples_do_not_affect_each_other_or_the_reference():
    layer, x = VirtualBatchNormLayer(nn.BatchNorm2d(2), 3), torch.randn(6, 2, 4, 4)
    other = x.clone()
    other[4] = 100.0
    before, after = layer(x), layer(other)
    assert torch.equal(before[[0, 1, 2, 3, 5]], after[[0, 1, 2, 3, 5]]) and not torch.equal(before[4], after[4])


def test_a_large_mean_costs_no_digits():
    x = torch.randn(64, 2, 8, 8, dtype=torch.float64)
    layer = VirtualBatchNormLayer(nn.BatchNorm2d(2), 32)
    torch.testing.assert_close(layer((x + 1000).float()), layer(x.float()), atol=1e-3, rtol=0)


def test_a_norm_without_weights_and_a_batch_without_the_reference():
    layer = VirtualBatchNormLayer(nn.BatchNorm1d(3, affine=False), 4)
    assert not list(layer.parameters()) and layer(torch.randn(6, 3)).shape == (6, 3)
    assert layer(torch.randn(6, 3).bfloat16()).dtype == torch.bfloat16
    with pytest.raises(ValueError, match="a batch of 3 rows cannot begin with a reference of 4"):
        layer(torch.randn(3, 3))


# ---------------------------------------------------------------- dropout in evaluation too


def test_always_on_dropout_drops_in_evaluation():
    layer = AlwaysOnDropout(0.25).eval()
    out = layer(torch.ones(10_000))
    assert out.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert (out == 0).float().mean() == pytest.approx(0.25, abs=0.02)
    x = torch.randn(5)
    assert torch.equal(AlwaysOnDropout(0.0)(x), x)


@pytest.mark.parametrize("p", [-0.1, 1.0, math.nan])
def test_a_probability_out_of_range_is_refused(p):
    with pytest.raises(ValueError, match=rf"AlwaysOnDropout\(p={p}\): expected a number in \[0, 1\), such as 0.5"):
        AlwaysOnDropout(p)
