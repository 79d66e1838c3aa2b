"""Spectral normalisation: the norms that it keeps, of which layers, and what it leaves alone."""

import copy

import pytest
import torch
from torch import nn

from lightning_gans import UnrolledGAN
from lightning_gans.networks import StochasticEnsembleMLPGenerator, weighted_layers
from lightning_gans.stabilizers import SpectralNorm, WeightNorm


def largest(layer):
    dim = 1 if getattr(layer, "transposed", False) else 0
    return torch.linalg.matrix_norm(layer.weight.detach().transpose(0, dim).flatten(1), 2).item()


def parametrised(network):
    return [name for name, layer in weighted_layers(network, embeddings=True) if hasattr(layer, "parametrizations")]


def test_every_layer_of_the_discriminator_stretches_nothing(make_image_gan, fit):
    gan = make_image_gan(size=16, num_classes=2)
    fit(gan, 6, callbacks=[SpectralNorm()])
    gan.eval()
    layers = dict(weighted_layers(gan.discriminator, embeddings=True))
    assert {"head.0", "embedding", "features.0"} <= set(layers) and len(layers) == 4
    for name, layer in layers.items():
        assert largest(layer) == pytest.approx(1.0, abs=0.05), name
    assert not parametrised(gan.generator)


def test_a_perceptron_is_1_lipschitz(make_gan):
    gan = make_gan()
    for layer in (gan.discriminator.layers[0], gan.discriminator.head[0]):
        nn.init.normal_(layer.weight, std=5.0)
    x = torch.randn(256, 2)

    def slope():
        y = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(gan.discriminator(y).sum(), y)
        return gradient.norm(dim=1).max()

    before = slope()
    SpectralNorm().apply_to(gan)
    gan.eval()
    assert before > 10 and slope() < 1.01


def test_each_argument_chooses_a_network_and_the_generators_embedding_keeps_its_scale(make_image_gan):
    gan = make_image_gan(size=16, num_classes=2)
    gan.generator.embedding = nn.Embedding(2, 3)
    SpectralNorm(discriminator=False, generator=True).apply_to(gan)
    assert not parametrised(gan.discriminator)
    assert parametrised(gan.generator) == [name for name, _ in weighted_layers(gan.generator)]
    assert all(largest(layer) == pytest.approx(1.0, abs=0.2) for _, layer in weighted_layers(gan.generator.eval()))
    SpectralNorm().apply_to(gan)
    assert parametrised(gan.discriminator), "one after the other"


def test_its_vectors_go_on_in_training_only(make_gan, batches):
    gan = make_gan()
    SpectralNorm().apply_to(gan)
    u = gan.discriminator.layers[0].parametrizations.weight[0]._u
    before = u.clone()
    gan.eval()
    gan.discriminator(batches(1)[0])
    assert torch.equal(u, before)
    gan.train()
    with torch.no_grad():
        gan.discriminator.layers[0].parametrizations.weight.original.normal_()
    gan.discriminator(batches(1)[0])
    assert not torch.equal(u, before)


def test_what_is_parametrised_already_is_refused(make_gan):
    gan = make_gan()
    WeightNorm(generator=False).apply_to(gan)
    message = (
        r"SpectralNorm\(.*\): the weight of discriminator.head.0 is parametrised already \(WeightNorm\); normalise"
    )
    with pytest.raises(ValueError, match=message):
        SpectralNorm().apply_to(gan)
    SpectralNorm(discriminator=False, generator=True).apply_to(gan)
    with pytest.raises(ValueError, match=r"parametrised already \(SpectralNorm\)"):
        SpectralNorm(discriminator=True, generator=True).apply_to(make_gan_with(gan))


def make_gan_with(gan):
    """The same GAN without the norm in its discriminator."""
    for _, layer in weighted_layers(gan.discriminator):
        nn.utils.parametrize.remove_parametrizations(layer, "weight")
    return gan


def test_routes_of_a_stochastic_generator_are_left_alone(make_gan):
    gan = make_gan()
    gan.generator = StochasticEnsembleMLPGenerator((2,), 3, width=4, groups=2)
    SpectralNorm(discriminator=False, generator=True).apply_to(gan)
    assert parametrised(gan.generator) == ["layers.4"], "the last, ordinary layer"


def test_a_network_without_layers_is_refused(make_gan):
    gan = make_gan()
    gan.generator = nn.Identity()
    with pytest.raises(ValueError, match=r"SpectralNorm\(.*\): no linear layer or convolution"):
        SpectralNorm(discriminator=False, generator=True).apply_to(gan)


@pytest.mark.parametrize("detached", [False, True])
def test_a_lookahead_changes_nothing(make_gan, batches, weights, detached):
    gan = make_gan(kind=UnrolledGAN, unroll_steps=2, detached=detached)
    SpectralNorm().apply_to(gan)
    before = weights(gan.discriminator)
    gan.generator_step(batches(1)[0]).loss.backward()
    assert torch.equal(weights(gan.discriminator), before)


def test_a_copy_is_a_network_of_its_own(make_gan, batches):
    gan = make_gan()
    SpectralNorm().apply_to(gan)
    twin, x = copy.deepcopy(gan), batches(1)[0]
    with torch.no_grad():
        twin.discriminator.layers[0].parametrizations.weight.original.mul_(-1)
    assert not torch.equal(twin.discriminator(x), gan.discriminator(x))
    weight = gan.discriminator.layers[0].parametrizations.weight.original
    assert weight is not twin.discriminator.layers[0].parametrizations.weight.original


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_it_trains_in_half_precision(make_image_gan, fit, weights, precision):
    gan = make_image_gan(size=16, norm=None)
    fit(gan, callbacks=[SpectralNorm(generator=True)], precision=precision)
    assert weights(gan).isfinite().all()
