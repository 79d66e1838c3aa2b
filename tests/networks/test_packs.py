"""A discriminator of packs."""

import copy

import pytest
import torch
from torch import nn

from lightning_gans.networks import DCGANDiscriminator, Discriminator, MLPDiscriminator, PackedDiscriminator


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


@pytest.mark.parametrize(("samples", "parts"), [(2, [(0, 1, 2), (3, 4)]), (3, [(0, 1), (2, 3), (4,)])])
def test_each_place_in_a_pack_has_its_own_features_for_its_label(samples, parts):
    packed = PackedDiscriminator(MLPDiscriminator((2,), width=5, num_classes=3), samples)
    x, labels = torch.randn(2 * samples, 2), torch.randint(3, (2 * samples,))
    table, f = packed.embedding.embedding.weight, packed.features(x)
    logits = packed(x, labels)
    for pack in range(2):
        projected = sum(
            table[labels[pack * samples + place], k] * f[pack, k] for place, part in enumerate(parts) for k in part
        )
        torch.testing.assert_close(logits[pack], packed.head(f)[pack] + projected)


def test_equal_labels_of_a_pack_have_the_embedding_of_one():
    inner = MLPDiscriminator((2,), width=5, num_classes=3)
    table = inner.embedding.weight
    packed = PackedDiscriminator(inner, 2)
    assert torch.equal(packed.embedding(torch.tensor([1, 1, 2, 2])), table[1:])


def test_fewer_features_than_places_are_refused_with_labels_alone():
    PackedDiscriminator(MLPDiscriminator((2,), width=2), 3)
    with pytest.raises(ValueError, match=r"Packing\(samples=3\): MLPDiscriminator has 2 features, too few for as many"):
        PackedDiscriminator(MLPDiscriminator((2,), width=2, num_classes=3), 3)


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

    with pytest.raises(ValueError, match="Own is not a Discriminator of features and head, or overrides forward"):
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
