"""Orthogonal and normal initial weights, drawn before training only."""

import math

import pytest
import torch
from torch import nn

from lightning_gans.networks import weighted_layers
from lightning_gans.stabilizers import NormalInitialization, OrthogonalInitialization, SpectralNorm

both = pytest.mark.parametrize("kind", [NormalInitialization, OrthogonalInitialization])


@pytest.mark.parametrize("gain", [1.0, 0.5])
def test_orthogonal_weights_rotate_and_scale(make_gan, make_image_gan, gain):
    for gan in (make_gan(), make_image_gan(size=16)):
        OrthogonalInitialization(gain).apply_to(gan)
        for _, layer in weighted_layers(gan):
            singular = torch.linalg.svdvals(layer.weight.detach().flatten(1))
            torch.testing.assert_close(singular, torch.full_like(singular, gain))
            assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("std", [0.02, 0.5])
def test_normal_weights_have_their_deviation(make_gan, std):
    gan = make_gan()
    for _, layer in weighted_layers(gan):
        layer.bias.data.fill_(1.0)
    NormalInitialization(std).apply_to(gan)
    drawn = torch.cat([layer.weight.detach().flatten() for _, layer in weighted_layers(gan)])
    assert drawn.std() == pytest.approx(std, rel=0.2) and drawn.mean().abs() < std / 2
    assert not any(layer.bias.any() for _, layer in weighted_layers(gan))


def test_normal_norms_are_drawn_around_one(make_image_gan):
    gan = make_image_gan(size=16)
    norms = [module for module in gan.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.weight.data.fill_(5.0)
    NormalInitialization().apply_to(gan)
    assert all((norm.weight - 1).abs().max() < 0.1 for norm in norms)


def test_embeddings_of_labels(make_gan):
    gan = make_gan(num_classes=3)
    gan.generator.embedding = nn.Embedding(3, 4)
    before = {who: getattr(gan, who).embedding.weight.clone() for who in ("discriminator", "generator")}

    def kept(who):
        return torch.equal(getattr(gan, who).embedding.weight, before[who])

    OrthogonalInitialization().apply_to(gan)
    assert kept("discriminator") and kept("generator")
    NormalInitialization().apply_to(gan)
    assert not kept("discriminator") and kept("generator")


@both
@pytest.mark.parametrize("who", ["discriminator", "generator"])
def test_each_argument_chooses_a_network(make_gan, weights, kind, who):
    gan = make_gan()
    before = {name: weights(getattr(gan, name)) for name in ("discriminator", "generator")}
    kind(**{"discriminator": False, "generator": False, who: True}).apply_to(gan)
    for name, old in before.items():
        assert torch.equal(weights(getattr(gan, name)), old) is (name != who)


@both
def test_a_gan_in_training_is_left_unchanged(make_gan, fit, weights, kind):
    gan = make_gan()
    fit(gan)
    before = weights(gan)
    kind().apply_to(gan)
    assert torch.equal(weights(gan), before)


@both
def test_a_second_run_does_not_start_anew(make_gan, fit, weights, kind):
    gan, stabilizer = make_gan(), kind()
    fit(gan, callbacks=[stabilizer])
    before = weights(gan)
    stabilizer.apply_to(gan)
    assert torch.equal(weights(gan), before)


@both
@pytest.mark.parametrize("first", [True, False])
def test_with_a_spectral_norm_in_either_order(make_gan, kind, first):
    gan, stabilizers = make_gan(), [kind(2.0), SpectralNorm()]
    for stabilizer in stabilizers if first else stabilizers[::-1]:
        stabilizer.apply_to(gan)
    gan.eval()
    for _, layer in weighted_layers(gan.discriminator):
        singular = torch.linalg.svdvals(layer.weight.detach())
        assert singular.max() == pytest.approx(1.0, abs=0.05)
        if kind is OrthogonalInitialization:
            assert singular.min() == pytest.approx(1.0, abs=0.05)
            original = layer.parametrizations.weight.original
            assert torch.linalg.svdvals(original.detach()).max() == pytest.approx(2.0, abs=1e-4)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_numbers_out_of_range_are_refused(value):
    with pytest.raises(ValueError, match=rf"OrthogonalInitialization\(gain={value}\): expected a finite number a"):
        OrthogonalInitialization(gain=value)
    with pytest.raises(ValueError, match=rf"NormalInitialization\(std={value}\): expected a finite number above 0"):
        NormalInitialization(std=value)


@both
def test_half_precision(make_gan, fit, weights, kind):
    gan = make_gan()
    fit(gan, callbacks=[kind()], precision="bf16-true")
    assert weights(gan).isfinite().all()
