"""Minibatch discrimination in training; its formula is tested with its layer."""

import math

import pytest
import torch
from torch import nn

from lightning_gans.networks import MinibatchSimilarity
from lightning_gans.stabilizers import MinibatchDiscrimination, MinibatchStdDev


def test_it_sits_between_features_and_head_which_compute_the_same_at_first(make_gan, batches):
    gan, (x, labels) = make_gan(num_classes=2), batches(1, num_classes=2)[0]
    before, features = gan.discriminator(x, labels), gan.discriminator.features(x)
    MinibatchDiscrimination(kernels=3, dimensions=2).apply_to(gan)
    layer, (linear, _) = gan.discriminator.head
    assert isinstance(layer, MinibatchSimilarity) and (layer.extra, layer.dimensions) == (3, 2)
    torch.testing.assert_close(gan.discriminator(x, labels), before)
    assert torch.equal(gan.discriminator.features(x), features), "which feature matching and the projection read"
    with torch.no_grad():
        linear.weight[:, 8:] = 1.0
    added = layer.describe(features).sum(1)
    torch.testing.assert_close(gan.discriminator(x, labels), before + added)


def test_a_collapsed_batch_is_told_from_a_varied_one(make_gan):
    gan = make_gan()
    MinibatchDiscrimination().apply_to(gan)
    with torch.no_grad():
        gan.discriminator.head[1][0].weight[:, 8:] = -1.0
    x = torch.randn(16, 2)
    same = x[:1].expand(16, 2)
    assert (gan.discriminator(same)[0] < gan.discriminator(x)[0] - 16).item()


def test_real_and_fake_do_not_mix(make_gan, batches):
    gan, x = make_gan(), batches(1)[0]
    MinibatchDiscrimination().apply_to(gan)
    nn.init.normal_(gan.discriminator.head[1][0].weight)
    one, other = (gan.discriminator_step(x, fake) for fake in (torch.zeros(8, 2), torch.rand(8, 2)))
    assert torch.equal(one.real_logits, other.real_logits) and not torch.equal(one.fake_logits, other.fake_logits)


def test_both_layers_before_one_head(make_gan, batches):
    for order in ([MinibatchDiscrimination(3), MinibatchStdDev()], [MinibatchStdDev(), MinibatchDiscrimination(3)]):
        gan, x = make_gan(), batches(1)[0]
        before = gan.discriminator(x)
        for stabilizer in order:
            stabilizer.apply_to(gan)
        torch.testing.assert_close(gan.discriminator(x), before)
        widths = [m.in_features for m in gan.discriminator.head.modules() if isinstance(m, nn.Linear)]
        assert sorted(widths) == [8, 12]


@pytest.mark.parametrize("name", ["kernels", "dimensions"])
@pytest.mark.parametrize("value", [0, -1, 1.5, math.nan])
def test_numbers_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"MinibatchDiscrimination\({name}={value}\): expected a whole number"):
        MinibatchDiscrimination(**{name: value})


def test_a_head_without_a_linear_is_refused(make_gan):
    gan = make_gan()
    gan.discriminator.head = nn.Flatten(0)
    with pytest.raises(ValueError, match=r"MinibatchDiscrimination\(.*\): Flatten as a head has no Linear of 8 inputs"):
        MinibatchDiscrimination().apply_to(gan)
    gan.discriminator = nn.Identity()
    with pytest.raises(ValueError, match=r"MinibatchDiscrimination.*Identity has no features and head"):
        MinibatchDiscrimination().apply_to(gan)
