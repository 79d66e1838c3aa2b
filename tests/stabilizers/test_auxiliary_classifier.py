"""The auxiliary classifier: its two terms, whom they train, and what is refused."""

import copy
import math

import pytest
import torch
from torch import nn

from lightning_gans import GAN, UnrolledGAN
from lightning_gans.networks import Discriminator, MLPDiscriminator, MLPGenerator
from lightning_gans.objectives import ZeroSum
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers import AuxiliaryClassifier, Packing, SpectralNorm, VirtualBatchNorm

CLASSES = 3


def acgan(*stabilizers, kind=GAN, discriminator=None, **kwargs):
    """As in the paper: labels for the generator alone."""
    torch.manual_seed(0)
    discriminator = MLPDiscriminator((2,), width=8) if discriminator is None else discriminator
    gan = kind(MLPGenerator((2,), 3, width=8, num_classes=CLASSES), discriminator, **kwargs)
    gan.stabilizers += stabilizers
    for stabilizer in stabilizers:
        stabilizer.apply_to(gan)
    return gan


def batch(size=6):
    labels = torch.arange(size) % CLASSES
    return torch.eye(CLASSES)[labels][:, :2] + 0.1 * torch.randn(size, 2), labels


def cross_entropy(gan, x, labels, features=None):
    """The mean of −log p(label), from the weights of the layer."""
    layer = gan.discriminator.auxiliary_classifier
    features = gan.discriminator.features(x) if features is None else features
    scores = (features[:, None] * layer.weight).sum(2) + layer.bias
    right = scores[torch.arange(len(x)), labels]
    return (scores.exp().sum(1).log() - right).mean()


def test_the_terms_are_weighted_cross_entropies_of_real_samples_and_fakes():
    gan, (x, labels) = acgan(AuxiliaryClassifier(weight=0.3, generator_weight=0.7)), batch()
    fake = gan.generate(len(x), labels)
    of_real, of_fake = cross_entropy(gan, x, labels), cross_entropy(gan, fake, labels)
    step = gan.discriminator_step((x, labels), fake)
    plain = gan.objective.discriminator_loss(gan.discriminator(x), gan.discriminator(fake))
    torch.testing.assert_close(step.terms, {"auxiliary_classifier": (0.3 * (of_real + of_fake)).detach()})
    torch.testing.assert_close(step.loss, plain + 0.3 * (of_real + of_fake))
    step = gan.generator_step((x, labels), fake)
    torch.testing.assert_close(step.terms, {"generator_auxiliary_classifier": (0.7 * of_fake).detach()})
    torch.testing.assert_close(step.loss, gan.objective.generator_loss(gan.discriminator(fake)) + 0.7 * of_fake)


def test_the_classifier_may_be_trained_on_real_samples_alone():
    gan, (x, labels) = acgan(AuxiliaryClassifier(fakes=False)), batch()
    step = gan.discriminator_step((x, labels))
    torch.testing.assert_close(step.terms["auxiliary_classifier"], cross_entropy(gan, x, labels).detach())


def test_a_layer_that_knows_nothing_costs_ln_k_and_one_that_is_right_nothing():
    gan, (x, labels) = acgan(AuxiliaryClassifier(fakes=False)), batch()
    layer = gan.discriminator.auxiliary_classifier
    nn.init.zeros_(layer.weight), nn.init.zeros_(layer.bias)
    assert gan.discriminator_step((x, labels)).terms["auxiliary_classifier"] == pytest.approx(math.log(CLASSES))
    with torch.no_grad():
        layer.bias[1] = 50.0
    labels = torch.ones_like(labels)
    assert gan.discriminator_step((x, labels)).terms["auxiliary_classifier"] == pytest.approx(0, abs=1e-6)


def test_features_that_are_maps_are_averaged_over_positions():
    class Patches(Discriminator):
        def __init__(self):
            super().__init__((1, 8, 8), num_features=4)
            self.features = nn.Conv2d(1, 4, 4, 2, 1)
            self.head = nn.Conv2d(4, 1, 1)

    torch.manual_seed(0)
    gan = GAN(MLPGenerator((1, 8, 8), 3, width=8, num_classes=CLASSES), Patches())
    gan.stabilizers.append(AuxiliaryClassifier(fakes=False))
    gan.stabilizers[0].apply_to(gan)
    x, labels = torch.rand(6, 1, 8, 8) * 2 - 1, torch.arange(6) % CLASSES
    pooled = gan.discriminator.features(x).mean((2, 3))
    expected = cross_entropy(gan, x, labels, pooled).detach()
    torch.testing.assert_close(gan.discriminator_step((x, labels)).terms["auxiliary_classifier"], expected)


def test_the_generator_learns_its_labels_from_it_alone():
    """The loss of the GAN is switched off: D gets no labels and G no logits."""

    class Nothing(ZeroSum):
        def discriminator_loss(self, real, fake, *targets):
            return 0 * real.mean()

        def generator_loss(self, fake, real=None):
            return 0 * fake.mean()

    gan = acgan(AuxiliaryClassifier(), objective=Nothing())
    torch.manual_seed(0)
    players = [torch.optim.Adam(one.parameters(), lr=0.01) for one in (gan.generator, gan.discriminator)]
    x, labels = batch(60)
    for _ in range(60):
        gan.train_batch((x, labels), *players)
    scores = gan.discriminator.auxiliary_classifier(gan.discriminator.features(gan.generate(60, labels)))
    assert (scores.argmax(1) == labels).float().mean() > 0.95
    scores = gan.discriminator.auxiliary_classifier(gan.discriminator.features(x))
    assert (scores.argmax(1) == labels).float().mean() > 0.95


def test_the_layer_is_trained_by_the_discriminators_optimizer_alone():
    gan, (x, labels) = acgan(AuxiliaryClassifier()), batch()
    layer = gan.discriminator.auxiliary_classifier
    assert {id(one) for one in layer.parameters()} < {id(one) for one in gan.discriminator.parameters()}
    gan.generator_step((x, labels)).loss.backward()
    assert layer.weight.grad is None and gan.generator.layers[0].weight.grad.abs().sum() > 0
    gan.discriminator_step((x, labels)).loss.backward()
    assert layer.weight.grad.abs().sum() > 0


def test_each_weight_may_follow_a_schedule():
    gan = acgan(AuxiliaryClassifier(Linear(1.0, 0.0, updates=4), Linear(0.0, 2.0, updates=4)))
    (x, labels), terms = batch(), []
    fake = gan.generate(len(x), labels)
    for gan.generator_updates in (0, 1, 9):
        of_d, of_g = gan.discriminator_step((x, labels), fake).terms, gan.generator_step((x, labels), fake).terms
        terms.append((of_d["auxiliary_classifier"].item(), of_g["generator_auxiliary_classifier"].item()))
    assert terms[1][0] == pytest.approx(0.75 * terms[0][0]) and terms[2][0] == 0 < terms[0][0]
    assert terms[1][1] == pytest.approx(0.25 * terms[2][1]) and terms[0][1] == 0 < terms[2][1]


def test_it_teaches_labels_where_both_players_have_it(fit):
    assert AuxiliaryClassifier().teaches_labels
    assert not AuxiliaryClassifier(weight=0.0).teaches_labels
    assert not AuxiliaryClassifier(generator_weight=0.0).teaches_labels
    fit(acgan(AuxiliaryClassifier()))
    with pytest.raises(ValueError, match="nothing teaches the generator its labels"):
        fit(acgan(AuxiliaryClassifier(generator_weight=0.0)))


def test_at_weight_0_there_is_no_layer():
    off = AuxiliaryClassifier(0.0, 0.0)
    gan = acgan(off)
    assert gan.network_changes == [] and off.loss_terms == [] and not hasattr(gan.discriminator, "auxiliary_classifier")
    assert not gan.discriminator_step(batch()).terms and not gan.generator_step(batch()).terms


def test_two_share_a_layer_and_a_checkpoint_does_not_depend_on_the_weights(fit, weights, tmp_path):
    gan = acgan(AuxiliaryClassifier(), AuxiliaryClassifier(0.5))
    assert len(gan.network_changes) == 1 and gan.network_changes[0]["init_args"] == {}
    fit(acgan(), callbacks=[AuxiliaryClassifier()]).save_checkpoint(tmp_path / "run.ckpt")
    again = acgan()
    fit(again, max_epochs=2, callbacks=[AuxiliaryClassifier(weight=0.5)], ckpt_path=tmp_path / "run.ckpt")
    assert hasattr(again.discriminator, "auxiliary_classifier") and weights(again).isfinite().all()


@pytest.mark.parametrize("other", [SpectralNorm(), VirtualBatchNorm(size=4)], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("first", [True, False])
def test_wrappers_and_norms_may_come_before_or_after_it(other, first):
    def with_norm():
        return MLPDiscriminator((2,), width=8, norm=nn.BatchNorm1d)

    own = AuxiliaryClassifier()
    gan = acgan(*((own, other) if first else (other, own)), discriminator=with_norm())
    players = [torch.optim.SGD(one.parameters(), lr=0.01) for one in (gan.generator, gan.discriminator)]
    steps = gan.train_batch(batch(), *players)
    assert all(step.loss.isfinite() for step in steps.values())
    assert own.layer(gan).weight.shape == (CLASSES, 8)


def test_the_lookahead_of_an_unrolled_gan_trains_the_layer_too(weights):
    gan = acgan(AuxiliaryClassifier(), kind=UnrolledGAN, unroll_steps=2)
    before, (x, labels) = weights(gan), batch()
    gan.generator_step((x, labels), gan.generate(6, labels)).loss.backward()
    assert gan.generator.layers[0].weight.grad.isfinite().all() and torch.equal(weights(gan), before)


@pytest.mark.parametrize("first", [True, False])
def test_packs_are_refused_before_training_in_either_order(fit, first):
    both = [AuxiliaryClassifier(), Packing(2)]
    with pytest.raises(ValueError, match="predicts something of each sample, and the discriminator sees packs of 2"):
        fit(acgan(), callbacks=both if first else both[::-1])


def test_a_generator_without_labels_and_a_discriminator_without_features_are_refused(make_gan):
    with pytest.raises(ValueError, match="needs a conditional generator, and this one has no labels; give it num_cl"):
        AuxiliaryClassifier().apply_to(make_gan())
    gan = acgan(discriminator=nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)))
    with pytest.raises(ValueError, match="needs a discriminator with `features` that are trained, and PlainDiscrimin"):
        AuxiliaryClassifier().apply_to(gan)


@pytest.mark.parametrize("name", ["weight", "generator_weight"])
def test_a_weight_out_of_range_is_refused(name):
    with pytest.raises(ValueError, match=rf"AuxiliaryClassifier\({name}=-0.1\): expected a number of at least 0"):
        AuxiliaryClassifier(**{name: -0.1})


def test_a_past_discriminator_has_the_layer_of_its_time():
    gan, (x, _) = acgan(AuxiliaryClassifier()), batch()
    past = copy.deepcopy(gan.discriminator)
    with torch.no_grad():
        past.auxiliary_classifier.weight += 1
    (own,) = gan.stabilizers
    expected = past.auxiliary_classifier(past.features(x))
    torch.testing.assert_close(own.predict(gan, past, x), expected)
    assert not torch.equal(own.predict(gan, gan.discriminator, x), expected)
