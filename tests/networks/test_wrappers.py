"""Networks that process a fixed reference batch together with every batch."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call

from lightning_gans.networks import (
    DCGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
    ReferencedDiscriminator,
    ReferencedGenerator,
    StochasticEnsembleMLPGenerator,
    VirtualBatchNormLayer,
)


def referenced(size=3, **kwargs):
    network = MLPDiscriminator((2,), width=4, depth=1, **kwargs)
    network.layers.insert(1, VirtualBatchNormLayer(nn.BatchNorm1d(4), size))
    return ReferencedDiscriminator(network, size)


def test_the_reference_is_the_first_samples_in_training_and_never_changes():
    network, x = referenced(), torch.randn(5, 2)
    network(x)
    assert torch.equal(network.reference, x[:3]) and network.filled
    network(torch.randn(5, 2))
    assert torch.equal(network.reference, x[:3])
    expected = network.head(network.inner.features(torch.cat([x[:3], x]))[3:])
    torch.testing.assert_close(network(x), expected)
    torch.testing.assert_close(network(x)[1:2], network(x[1:2]))
    assert torch.equal(network.eval()(x), network.train()(x)), "evaluation equals training"


def test_before_there_is_a_reference_the_samples_themselves_replace_it():
    network, x = referenced().eval(), torch.randn(2, 2)
    wanted = network.head(network.inner.features(torch.cat([x[[0, 1, 0]], x]))[3:])
    torch.testing.assert_close(network(x), wanted)
    assert not network.filled and not network.reference.any()
    network.train()(torch.randn(4, 2).requires_grad_() * 1)
    assert not network.filled, "fakes with grad are not a reference"
    functional_call(network, {n: p * 1 for n, p in network.named_parameters()}, (torch.randn(4, 2),))
    assert not network.filled, "neither is a batch for other weights"
    network(torch.randn(4, 2))
    assert network.filled


def test_a_first_batch_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match=r"VirtualBatchNorm\(size=3\): the first batch has 2 samples .*lower size"):
        referenced()(torch.randn(2, 2))


def test_several_processes_use_the_reference_of_the_first(monkeypatch):
    network, of_the_first = referenced(), torch.ones(3, 2)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "broadcast", lambda own, src: own.copy_(of_the_first * (src == 0)))
    network(torch.randn(4, 2))
    network(torch.randn(4, 2))
    assert torch.equal(network.reference, of_the_first)


def test_the_reference_is_part_of_the_state():
    network, other, x = referenced(), referenced(), torch.randn(5, 2)
    network(x)
    other.load_state_dict(network.state_dict())
    y = torch.randn(5, 2)
    assert torch.equal(other(y), network(y)) and torch.equal(other.reference, x[:3])
    twin = copy.deepcopy(network)
    assert torch.equal(twin(y), network(y))
    other.load_state_dict(referenced().state_dict())
    other(y)
    assert torch.equal(other.reference, y[:3]), "an empty reference is filled again"


def test_labels_are_projected_as_before():
    network, x, labels = referenced(num_classes=2), torch.randn(4, 2), torch.tensor([0, 1, 1, 0])
    logits = network(x, labels)
    f = network.features(x)
    torch.testing.assert_close(logits, network.head(f) + (network.embedding(labels) * f).sum(1))
    assert sum("embedding" in name for name in network.state_dict()) == 1, "the wrapped one has none"


@pytest.mark.parametrize("num_classes", [0, 2])
def test_a_generator_makes_its_reference_with_every_batch(num_classes):
    inner = MLPGenerator(
        (2,), 3, width=4, norm=lambda width: VirtualBatchNormLayer(nn.BatchNorm1d(width), 5), num_classes=num_classes
    )
    network = ReferencedGenerator(inner, 5)
    z, labels = torch.randn(4, 3), torch.tensor([1, 0, 1, 0]) if num_classes else None
    out = network(z, labels)
    reference = torch.arange(5) % 2
    both = torch.cat([reference, labels]) if num_classes else None
    torch.testing.assert_close(out, inner(torch.cat([network.reference, z]), both)[5:])
    torch.testing.assert_close(network(z[1:2], None if labels is None else labels[1:2]), out[1:2])
    assert network.latents == inner.latents and network.num_classes == num_classes
    with pytest.raises(ValueError, match=r"z has shape \(4, 2\)"):
        network(torch.randn(4, 2), labels)
    with pytest.raises(ValueError, match="labels"):
        network(z, None if num_classes else torch.zeros(4, dtype=torch.long))


def test_a_generator_with_routes_is_refused():
    with pytest.raises(ValueError, match="StochasticEnsembleMLPGenerator has routes"):
        ReferencedGenerator(StochasticEnsembleMLPGenerator((2,), width=4), 4)


def test_a_convolutional_generator_can_be_wrapped():
    network = ReferencedGenerator(DCGANGenerator((1, 8, 8), 3, width=2), 4)
    assert network(torch.randn(2, 3)).shape == (2, 1, 8, 8)
