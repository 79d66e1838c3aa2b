"""The discriminator on frozen features: its logits, what stays as it is, and what is refused."""

import copy

import pytest
import torch
from torch import nn

from lightning_gans import GAN
from lightning_gans.networks import (
    ClassifierFeatures,
    DCGANGenerator,
    DigitClassifier,
    DigitFeatures,
    FeatureDiscriminator,
    FrozenClassifier,
    LayerFeatures,
)
from lightning_gans.stabilizers import AuxiliaryClassifier, Packing, R1Penalty, SpectralNorm

SHAPE = (1, 8, 8)


class Scales(nn.Module):
    """A map, a smaller one after a BatchNorm, and a vector."""

    def __init__(self, kinds=(0, 1, 2)):
        super().__init__()
        self.kinds = kinds
        self.first = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Softplus())
        self.second = nn.Sequential(nn.Conv2d(3, 5, 4, 2, 1), nn.BatchNorm2d(5), nn.Dropout(0.5), nn.Softplus())

    def forward(self, x):
        one = self.first(x)
        two = self.second(one)
        found = [one, two, two.mean((2, 3))]
        return found[self.kinds] if isinstance(self.kinds, int) else tuple(found[kind] for kind in self.kinds)


def discriminator(network=None, **kwargs):
    torch.manual_seed(0)
    return FeatureDiscriminator(Scales() if network is None else network, SHAPE, width=4, **kwargs)


def gan_of(network=None, num_classes=0, **kwargs):
    torch.manual_seed(0)
    generator = DCGANGenerator(SHAPE, 3, width=2, norm=None, num_classes=num_classes)
    return GAN(generator, discriminator(network, num_classes=num_classes), **kwargs)


@pytest.mark.parametrize(
    ("kinds", "logits", "features"),
    [(0, (6,), 4), (1, (6,), 4), (2, (6,), 4), ((1, 2), (6, 2), 8), ((0, 1, 2), (6, 3), 12)],
)
def test_a_sample_has_one_logit_of_each_kind_of_features(kinds, logits, features):
    found, x = discriminator(Scales(kinds)), torch.rand(6, *SHAPE)
    assert found(x).shape == logits and found.num_features == features and found.features(x).shape == (6, features)


def test_the_logits_are_the_heads_of_the_branches_of_the_frozen_features():
    found, x = discriminator(), torch.rand(6, *SHAPE)
    for scale, features in enumerate(found.network(x)):
        hidden = features
        if features.dim() == 4:
            while hidden.shape[2] > 4:
                conv = found.branches[scale][0]
                hidden = nn.functional.leaky_relu(
                    nn.functional.conv2d(hidden, conv.weight, conv.bias, stride=2, padding=1), 0.2
                )
        linear, head = found.branches[scale][-2], found.head.linears[scale]
        hidden = nn.functional.leaky_relu(hidden.flatten(1) @ linear.weight.T + linear.bias, 0.2)
        torch.testing.assert_close(found(x)[:, scale], hidden @ head.weight[0] + head.bias)


def test_labels_are_projected_on_the_features_of_all_branches():
    found, x, labels = discriminator(num_classes=3), torch.rand(6, *SHAPE), torch.arange(6) % 3
    features = found.features(x)
    added = torch.stack([features[i] @ found.embedding.weight[labels[i]] for i in range(6)])
    torch.testing.assert_close(found(x, labels), found.head(features) + added[:, None])


@pytest.mark.parametrize("num_classes", [0, 2])
def test_training_changes_the_heads_alone_and_gradients_reach_the_generator(fit, weights, num_classes):
    gan = gan_of(num_classes=num_classes)
    frozen, before = weights(gan.discriminator.network), weights(gan.generator)
    heads = weights(gan.discriminator)
    fit(gan, 3, callbacks=[SpectralNorm(), R1Penalty(0.1)])
    assert torch.equal(weights(gan.discriminator.network), frozen), "BatchNorm's statistics too"
    assert not torch.equal(weights(gan.generator), before) and not torch.equal(
        weights(gan.discriminator)[:5], heads[:5]
    )
    assert not gan.discriminator.network.training and not any(
        one.training for one in gan.discriminator.network.modules()
    )
    x = torch.rand(2, *SHAPE, requires_grad=True)
    (slope,) = torch.autograd.grad(gan.discriminator(x, *([torch.zeros(2).long()] if num_classes else [])).sum(), x)
    assert slope.abs().sum() > 0


def test_the_frozen_network_is_neither_trained_nor_saved(fit, tmp_path, weights):
    gan, frozen = gan_of(), {id(one) for one in Scales().parameters()}
    frozen = {id(one) for one in gan.discriminator.network.parameters()}
    optimizers, _ = gan.configure_optimizers()
    trained = {id(one) for optimizer in optimizers for group in optimizer.param_groups for one in group["params"]}
    assert not frozen & trained and not any(one.requires_grad for one in gan.discriminator.network.parameters())
    assert not any("second" in name or "network" in name for name in gan.state_dict())
    fit(gan).save_checkpoint(tmp_path / "run.ckpt")
    fresh = gan_of()
    again = GAN.load_from_checkpoint(
        tmp_path / "run.ckpt", generator=fresh.generator, discriminator=fresh.discriminator
    )
    assert torch.equal(weights(again), weights(gan))
    copied, x = copy.deepcopy(gan.discriminator), torch.rand(2, *SHAPE)
    assert (
        torch.equal(copied.eval()(x), gan.discriminator.eval()(x)) and copied.network is not gan.discriminator.network
    )


def test_it_follows_the_module_to_another_precision():
    found = discriminator().double()
    assert found(torch.rand(2, *SHAPE).double()).dtype == torch.float64


def test_an_auxiliary_classifier_reads_its_features(fit):
    gan = gan_of(num_classes=2)
    fit(gan, callbacks=[AuxiliaryClassifier()])
    assert gan.discriminator.auxiliary_classifier.in_features == gan.discriminator.num_features


def test_the_digit_classifiers_features_and_layers_are_taken():
    for network in (DigitFeatures(), ClassifierFeatures(DigitClassifier())):
        assert FeatureDiscriminator(network, (1, 32, 32), 4)(torch.zeros(2, 1, 32, 32)).shape == (2,)
    layers = LayerFeatures(DigitClassifier(), ["layers.2", "layers.14"])
    assert FeatureDiscriminator(layers, (3, 32, 32), 4)(torch.zeros(2, 3, 32, 32)).shape == (2, 2)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            lambda: nn.Linear(3, 2),
            r"Linear does not take images of shape \(1, 8, 8\) \(.*\); give a network that does, ",
        ),
        (lambda: nn.Flatten(0), r"Flatten returns shape \(128,\) for two images, expected features \(2, K\), a map"),
        (lambda: Scales(()), r"Scales returns a list for two images, expected features"),
        (lambda: nn.Flatten(2), r"Flatten returns shape \(2, 1, 64\) for two images"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_at_construction(network, message):
    with pytest.raises(ValueError, match=f"^FeatureDiscriminator: {message}") as refused:
        discriminator(network())
    assert "\n" not in str(refused.value)


def test_packs_and_other_arguments_are_refused():
    with pytest.raises(ValueError, match="Packing"):
        Packing(2).apply_to(gan_of())
    with pytest.raises(ValueError, match=r"FeatureDiscriminator\(width=0\): expected a whole number of at least 1"):
        FeatureDiscriminator(Scales(), SHAPE, width=0)
    with pytest.raises(ValueError, match=r"FeatureDiscriminator\(image_shape=\(2,\)\): expected \(C, H, W\)"):
        FeatureDiscriminator(Scales(), (2,))


# ---------------------------------------------------------------- layers of a classifier


def small_classifier():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(192, 4))
    network.input_shape = SHAPE
    return network


def test_the_layers_are_those_of_the_frozen_classifier_in_the_order_that_is_asked_for():
    network, x = small_classifier(), torch.rand(2, *SHAPE, requires_grad=True)
    logits, edges = LayerFeatures(network, ["3", "1"])(x)
    torch.testing.assert_close(edges, network[:2](x))
    torch.testing.assert_close(logits, network(x))
    assert torch.autograd.grad(edges.sum(), x)[0].abs().sum() > 0
    assert not list(LayerFeatures(network, ["1"]).parameters()) and not network[0]._forward_hooks
    frozen = FrozenClassifier(network)
    assert LayerFeatures(frozen, ["1"]).network is network


def test_images_of_another_size_are_resized():
    assert LayerFeatures(small_classifier(), ["1"])(torch.rand(2, 3, 16, 16))[0].shape == (2, 3, 8, 8)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["9"], r"layers=\['9'\]\): Sequential has no layer '9'; give names such as '3'"),
        ([], r"layers=\[\]\): Sequential has no layer ''; give names such as '3'"),
    ],
)
def test_layers_that_are_not_there_are_refused(layers, message):
    with pytest.raises(ValueError, match=rf"^LayerFeatures\({message}"):
        LayerFeatures(small_classifier(), layers)


def test_a_layer_that_takes_no_part_is_refused():
    class Spare(nn.Module):
        input_shape = SHAPE

        def __init__(self):
            super().__init__()
            self.used, self.spare = nn.Sequential(nn.Flatten(), nn.Linear(64, 4)), nn.Linear(2, 2)

        def forward(self, x):
            return self.used(x)

    with pytest.raises(ValueError, match="'spare' takes no part in the forward of Spare; leave it out"):
        LayerFeatures(Spare(), ["used", "spare"])(torch.zeros(2, *SHAPE))


def test_a_layer_that_works_in_place_does_not_change_the_one_before():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(72, 3))
    x = torch.randn(2, *SHAPE)
    expected = network[0](x)
    (found,) = LayerFeatures(FrozenClassifier(network, mean=(0.5,), std=(0.5,), input_shape=SHAPE), ["0"])(x)
    torch.testing.assert_close(found, expected)
    assert (found < 0).any()
