"""Networks around others: packs and references."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call

from lightning_gans.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    Discriminator,
    MLPDiscriminator,
    MLPGenerator,
    PackedDiscriminator,
    ReferencedDiscriminator,
    ReferencedGenerator,
    ReferenceNorm,
    StochasticEnsembleMLPGenerator,
)

# ---------------------------------------------------------------- packs


@pytest.mark.parametrize(
    "inner",
    [
        MLPDiscriminator((2,), width=4),
        MLPDiscriminator((2,), width=4, maxout_pieces=2),
        MLPDiscriminator((2,), width=4, fourier_frequencies=3),
        MLPDiscriminator((1, 4, 4), width=4),
        DCGANDiscriminator((3, 16, 16), width=2),
    ],
    ids=["points", "maxout", "fourier", "flattened", "convolutions"],
)
@pytest.mark.parametrize("samples", [2, 3])
def test_a_pack_has_one_logit_and_all_its_samples_count(inner, samples):
    shape = inner.sample_shape
    packed = PackedDiscriminator(copy.deepcopy(inner), samples).eval()
    x = torch.randn(4 * samples, *shape)
    logits = packed(x)
    assert logits.shape == (4,) and packed.sample_shape == shape
    for place in range(samples):
        moved = x.clone()
        moved[samples + place] += 1
        assert ((packed(moved) != logits) == torch.tensor([False, True, False, False])).all()


def test_packs_are_of_consecutive_samples_side_by_side_in_the_channels():
    packed = PackedDiscriminator(DCGANDiscriminator((3, 8, 8), width=2), 2)
    x = torch.randn(4, 3, 8, 8)
    packs = torch.stack([torch.cat([x[0], x[1]]), torch.cat([x[2], x[3]])])
    torch.testing.assert_close(packed.features(x), packed.inner.features(packs))
    assert packed.inner.sample_shape == (6, 8, 8)


def test_the_first_sample_is_seen_as_before_and_the_new_weights_are_the_old_ones_permuted():
    inner = DCGANDiscriminator((1, 8, 8), width=2)
    old = inner.features[0].weight.detach().clone()
    PackedDiscriminator(inner, 3)
    conv = inner.features[0]
    assert conv.in_channels == 3 and torch.equal(conv.weight[:, :1], old)
    for block in conv.weight.detach()[:, 1:].split(1, dim=1):
        assert torch.equal(block.flatten().sort().values, old.flatten().sort().values) and not torch.equal(block, old)


def test_every_layer_that_reads_the_input_is_widened():
    class Residual(Discriminator):
        def __init__(self):
            super().__init__((2, 4, 4), 3)
            self.main, self.short = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 3, 1)
            self.later = nn.Conv2d(3, 3, 1)

        def features(self, x):
            return self.later(self.main(x) + self.short(x)).mean((2, 3))

    packed = PackedDiscriminator(Residual(), 2)
    assert [conv.in_channels for conv in (packed.inner.main, packed.inner.short, packed.inner.later)] == [4, 4, 3]
    assert packed(torch.randn(6, 2, 4, 4)).shape == (3,)


def test_the_label_of_a_pack_is_the_mean_of_its_embeddings():
    packed = PackedDiscriminator(MLPDiscriminator((2,), width=4, num_classes=3), 2)
    x, labels = torch.randn(4, 2), torch.tensor([0, 1, 2, 2])
    table, f = packed.embedding.embedding.weight, packed.features(x)
    wanted = torch.stack([(table[0] + table[1]) / 2, table[2]])
    torch.testing.assert_close(packed(x, labels), packed.head(f) + (wanted * f).sum(1))


def test_what_does_not_divide_is_refused_in_training_and_dropped_in_evaluation():
    packed = PackedDiscriminator(MLPDiscriminator((2,), width=4, num_classes=2), 3)
    x, labels = torch.randn(7, 2), torch.arange(7) % 2
    with pytest.raises(ValueError, match=r"Packing\(samples=3\): a batch of 7 does not divide into packs of 3; use a"):
        packed(x, labels)
    packed.eval()
    assert torch.equal(packed(x, labels), packed(x[:6], labels[:6]))
    assert packed(x[:2], labels[:2]).isfinite().all() and len(packed(x[:2], labels[:2])) == 1, "one pack at least"


def test_widening_leaves_modes_and_statistics_alone():
    inner = DCGANDiscriminator((1, 16, 16), width=2)
    norm = inner.features[3]
    PackedDiscriminator(inner.train(), 2)
    assert inner.training and norm.training and norm.num_batches_tracked == 0


def test_a_discriminator_that_cannot_be_packed_is_refused():
    class Own(MLPDiscriminator):
        def forward(self, x, labels=None):
            return x.sum(1)

    class Summed(Discriminator):
        def __init__(self):
            super().__init__((4,), 4)
            self.features = nn.Identity()

    with pytest.raises(ValueError, match="Own is no Discriminator of features and head, or has a forward of its own"):
        PackedDiscriminator(Own((2,), width=4))
    with pytest.raises(ValueError, match="Summed has no linear layer or convolution"):
        PackedDiscriminator(Summed())
    with pytest.raises(ValueError, match="are in groups, and cannot be widened"):
        grouped = MLPDiscriminator((2, 4, 4), width=4)
        grouped.layers = nn.Sequential(nn.Unflatten(1, (-1, 4, 4)), nn.Conv2d(2, 2, 4, groups=2), nn.Flatten())
        PackedDiscriminator(grouped)
    with pytest.raises(ValueError, match=r"cannot be widened: (addmm: )?mat1 and mat2"):
        PackedDiscriminator(fixed())


def fixed():
    """It cuts its input to a size of its own behind the layer that is widened."""
    discriminator = MLPDiscriminator((2,), width=4)
    discriminator.layers = nn.Sequential(nn.Linear(2, 4), nn.Unflatten(1, (2, 2)), nn.Flatten(0, 1), nn.Linear(3, 4))
    return discriminator


# ---------------------------------------------------------------- references


def referenced(size=3, **kwargs):
    network = MLPDiscriminator((2,), width=4, depth=1, **kwargs)
    network.layers.insert(1, ReferenceNorm(nn.BatchNorm1d(4), size))
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


def test_before_there_is_a_reference_the_samples_themselves_stand_in():
    network, x = referenced().eval(), torch.randn(2, 2)
    wanted = network.head(network.inner.features(torch.cat([x[[0, 1, 0]], x]))[3:])
    torch.testing.assert_close(network(x), wanted)
    assert not network.filled and not network.reference.any()
    network.train()(torch.randn(4, 2).requires_grad_() * 1)
    assert not network.filled, "fakes with a graph are no reference"
    functional_call(network, {n: p * 1 for n, p in network.named_parameters()}, (torch.randn(4, 2),))
    assert not network.filled, "nor is what other weights are shown"
    network(torch.randn(4, 2))
    assert network.filled


def test_a_first_batch_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match=r"VirtualBatchNorm\(size=3\): the first batch has 2 samples .*lower size"):
        referenced()(torch.randn(2, 2))


def test_several_processes_take_the_reference_of_the_first(monkeypatch):
    network, of_the_first = referenced(), torch.ones(3, 2)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "broadcast", lambda own, src: own.copy_(of_the_first * (src == 0)))
    network(torch.randn(4, 2))
    network(torch.randn(4, 2))
    assert torch.equal(network.reference, of_the_first)


def test_the_reference_travels_with_the_state():
    network, other, x = referenced(), referenced(), torch.randn(5, 2)
    network(x)
    other.load_state_dict(network.state_dict())
    y = torch.randn(5, 2)
    assert torch.equal(other(y), network(y)) and torch.equal(other.reference, x[:3])
    twin = copy.deepcopy(network)
    assert torch.equal(twin(y), network(y))
    other.load_state_dict(referenced().state_dict())
    other(y)
    assert torch.equal(other.reference, y[:3]), "an empty reference is filled anew"


def test_labels_are_projected_as_before():
    network, x, labels = referenced(num_classes=2), torch.randn(4, 2), torch.tensor([0, 1, 1, 0])
    logits = network(x, labels)
    f = network.features(x)
    torch.testing.assert_close(logits, network.head(f) + (network.embedding(labels) * f).sum(1))
    assert sum("embedding" in name for name in network.state_dict()) == 1, "the inner one gave it away"


@pytest.mark.parametrize("num_classes", [0, 2])
def test_a_generator_makes_its_reference_with_every_batch(num_classes):
    inner = MLPGenerator(
        (2,), 3, width=4, norm=lambda width: ReferenceNorm(nn.BatchNorm1d(width), 5), num_classes=num_classes
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


def test_a_generator_that_is_deep_convolutional_needs_no_other():
    network = ReferencedGenerator(DCGANGenerator((1, 8, 8), 3, width=2), 4)
    assert network(torch.randn(2, 3)).shape == (2, 1, 8, 8)
