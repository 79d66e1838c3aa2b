"""Instance normalisation in the place of BatchNorm."""

import pytest
import torch
from torch import nn

from lightning_gans import GAN
from lightning_gans.networks import ClassNorm, ResNetDiscriminator, ResNetGenerator
from lightning_gans.stabilizers import GradientPenalty, InstanceNorm


def norms(network, kind):
    return [module for module in network.modules() if isinstance(module, kind)]


def test_every_norm_is_replaced_and_its_weights_carry_over(make_image_gan):
    gan = make_image_gan(size=16)
    old = norms(gan.discriminator, nn.BatchNorm2d)
    InstanceNorm().apply_to(gan)
    new = norms(gan.discriminator, nn.InstanceNorm2d)
    assert [norm.num_features for norm in new] == [norm.num_features for norm in old] and old
    assert all(one.weight is two.weight and one.bias is two.bias for one, two in zip(new, old, strict=True))
    assert not norms(gan.discriminator, nn.BatchNorm2d) and norms(gan.generator, nn.BatchNorm2d)
    assert gan.discriminator.features[3] is new[0], "in its place"


def test_each_image_is_normalised_by_its_own_maps(make_image_gan):
    gan = make_image_gan(size=16)
    nn.init.ones_(gan.discriminator.features[3].weight)
    InstanceNorm().apply_to(gan)
    x = torch.randn(4, 4, 4, 4) * 3 + 2
    y = gan.discriminator.features[3](x)
    expected = torch.stack([(m - m.mean()) / (m.var(correction=0) + 1e-5).sqrt() for m in x.flatten(0, 1)])
    torch.testing.assert_close(y.flatten(0, 1), expected)


def test_images_do_not_see_each_other_and_evaluation_equals_training(make_image_gan):
    gan, x = make_image_gan(size=16), torch.randn(4, 1, 16, 16)
    InstanceNorm().apply_to(gan)
    torch.testing.assert_close(gan.discriminator(x)[1:2], gan.discriminator(x[1:2]))
    torch.testing.assert_close(gan.discriminator.eval()(x), gan.discriminator.train()(x))


def test_each_argument_counts(make_image_gan):
    gan = make_image_gan(size=16)
    InstanceNorm(discriminator=False, generator=True, affine=False).apply_to(gan)
    assert norms(gan.discriminator, nn.BatchNorm2d) and not norms(gan.generator, nn.BatchNorm2d)
    assert not any(True for norm in norms(gan.generator, nn.InstanceNorm2d) for _ in norm.parameters())


@pytest.mark.parametrize("chosen", [{}, {"discriminator": False, "generator": True}], ids=str)
def test_networks_without_the_norm_are_refused(make_gan, chosen):
    with pytest.raises(ValueError, match=r"InstanceNorm\(.*\): no BatchNorm2d in what it is to change; build"):
        InstanceNorm(**chosen).apply_to(make_gan())


def test_a_gradient_penalty_does_not_warn_after_it(make_image_gan, fit, recwarn):
    fit(make_image_gan(size=16), callbacks=[InstanceNorm(), GradientPenalty()])
    assert not [w for w in recwarn if "BatchNorm in the discriminator" in str(w.message)]


def test_maps_of_one_position_are_refused_by_torch(make_image_gan):
    gan = make_image_gan(size=16)
    InstanceNorm().apply_to(gan)
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        gan.discriminator.features[3](torch.randn(4, 4, 1, 1))


def test_the_weights_of_classes_take_the_place_of_its_own():
    gan = GAN(ResNetGenerator((1, 8, 8), 3, 4, num_classes=2), ResNetDiscriminator((1, 8, 8), 4, num_classes=2))
    InstanceNorm(discriminator=False, generator=True).apply_to(gan)
    norms = [one for one in gan.generator.modules() if isinstance(one, nn.InstanceNorm2d)]
    own = {one for norm in gan.generator.modules() if isinstance(norm, ClassNorm) for one in norm.modules()}
    assert {norm.weight is None for norm in norms if norm in own} == {True}
    assert {norm.weight is None for norm in norms if norm not in own} == {False}
