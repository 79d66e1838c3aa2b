"""Every remedy of a generator, a discriminator, their latents, labels and routes works when it is done."""

import pytest
import torch
import torch.nn.functional as F
from helpers import sgds
from remedied import each_row
from small import mlp, trained

from lightning_gans import GAN, networks
from lightning_gans.networks import (
    Constant,
    DCGANDiscriminator,
    DCGANGenerator,
    DigitClassifier,
    Gaussian,
    LayerFeatures,
    MLPDiscriminator,
    MLPGenerator,
    StochasticEnsembleGenerator,
    StochasticEnsembleMLPGenerator,
    StochasticLinear,
    Uniform,
)

pytestmark = [pytest.mark.untrusted]

GENERATOR = MLPGenerator((2,), 3, 4)
CONDITIONAL = MLPGenerator((2,), 3, 4, num_classes=2)
ROUTED = StochasticEnsembleMLPGenerator((2,), 3, 4, depth=2, groups=3)
Z = torch.randn(2, 3)
LABELS = torch.tensor([0, 1])
LAYER = StochasticLinear(3, 2, groups=4)
X = torch.rand(5, 3)


def made(generator):
    """Train a generator for a batch, and draw from it."""
    gan = trained(GAN(generator, MLPDiscriminator(generator.sample_shape, 4)))
    assert gan.generate(3).isfinite().all()


def pieces(number):
    trained(GAN(MLPGenerator((2,), 3, 4), MLPDiscriminator((2,), 4, maxout_pieces=number)))


def by_name(shape, generator, discriminator):
    trained(GAN(getattr(networks, generator)(shape, 3, 4), getattr(networks, discriminator)(shape, 4)))


def dcgan(shape):
    return GAN(DCGANGenerator(shape, 3, width=2), DCGANDiscriminator(shape, width=2))


def on_images(data, model=None, resized=None, make=dcgan):
    """Train on images of a side, resized or not, with networks for images of a side: None is that of the data."""
    x = torch.rand(4, 1, data, data) * 2 - 1
    x = x if resized is None else F.interpolate(x, size=(resized, resized))
    gan = make((1, model, model) if model else tuple(x.shape[1:]))
    gan.train_batch(x, *sgds(gan))


def with_ensemble(shape):
    return GAN(StochasticEnsembleGenerator(shape, width=2, groups=2), MLPDiscriminator(shape, 4))


def ensemble(**options):
    made(StochasticEnsembleGenerator((1, 16, 16), width=2, groups=2, **options))


def ensemble_mlp(groups=3, **options):
    made(StochasticEnsembleMLPGenerator((2,), 3, 1, groups=groups, **options))


def wrapped(name, of):
    return getattr(networks, name)(getattr(networks, of)())


def on_features(network, shape=(1, 28, 28)):
    """Train a GAN whose discriminator sees the features of a network."""
    generator = DCGANGenerator(shape, 3, width=2)
    trained(GAN(generator, networks.FeatureDiscriminator(network, shape, width=2)))


class WithSpare(DigitClassifier):
    """A classifier with a layer that it does not use."""

    def __init__(self):
        super().__init__()
        self.spare = torch.nn.Linear(2, 2)


REMEDIES = {
    # ---------------------------------------------------------------- samples
    "expected (D,) for points or (C, H, W) for images": (
        lambda: mlp(2),
        {"(D,) for points": lambda: trained(mlp((2,))), "(C, H, W) for images": lambda: trained(mlp((1, 4, 4)))},
    ),
    "each, expected …; resize the data, or build the": (
        lambda: on_images(16, model=8),
        {
            "expected (1, 8, {}); resize the data": lambda side: on_images(16, 8, resized=int(side)),
            "build the DCGANDiscriminator for their shape": lambda: on_images(16),
        },
    ),
    "expected (C, H, W); use": (
        lambda: dcgan((2,)),
        {"use {} and {} for other samples": lambda *names: by_name((2,), *names)},
    ),
    "expected (C, H, W); use … for other samples": (
        lambda: with_ensemble((2,)),
        {"use {} for other samples": lambda name: made(getattr(networks, name)((2,), 3, 4))},
    ),
    "expected H and W of at least": (
        lambda: on_images(4),
        {
            "at least {}; resize the data": lambda least: on_images(4, resized=int(least)),
            "use {} and {}": lambda *names: by_name((1, 4, 4), *names),
        },
    ),
    "expected H and W of at least …; resize the data": (
        lambda: on_images(4, make=with_ensemble),
        {
            "at least {}; resize the data": lambda least: on_images(4, resized=int(least), make=with_ensemble),
            "or use {}": lambda name: made(getattr(networks, name)((1, 4, 4), 3, 4)),
        },
    ),
    # ---------------------------------------------------------------- frozen features
    "FeatureDiscriminator: … does not take images of shape": (
        lambda: on_features(DigitClassifier(), (1, 16, 16)),
        {"such as {}({}(...))": lambda name, of: on_features(wrapped(name, of), (1, 16, 16))},
    ),
    "for two images, expected features (2, K)": (
        lambda: on_features(torch.nn.Flatten(0)),
        {"let its forward return them alone": lambda: on_features(torch.nn.Flatten())},
    ),
    "LayerFeatures(layers=…): … has no layer": (
        lambda: on_features(LayerFeatures(DigitClassifier(), ["conv1"])),
        {"give names such as '{}'": lambda name: on_features(LayerFeatures(DigitClassifier(), [name]))},
    ),
    "takes no part in the forward of": (
        lambda: on_features(LayerFeatures(WithSpare(), ["layers.2", "spare"])),
        {"leave it out": lambda: on_features(LayerFeatures(WithSpare(), ["layers.2"]))},
    ),
    # ---------------------------------------------------------------- latents and labels
    "expected Latents or an integer width": (
        lambda: MLPGenerator((2,), "3"),
        {
            "an integer width": lambda: made(MLPGenerator((2,), 3, 4)),
            "such as Gaussian({})": lambda dim: made(MLPGenerator((2,), Gaussian(int(dim)), 4)),
        },
    ),
    "draw it with generator.latents.sample(n)": (
        lambda: GENERATOR(torch.ones(2, 5)),
        {"draw it with generator.latents.sample(n)": lambda: GENERATOR(GENERATOR.latents.sample(2))},
    ),
    "got no labels, expected shape": (
        lambda: CONDITIONAL(Z),
        {
            "pass them": lambda: CONDITIONAL(Z, LABELS),
            "build it with num_classes={}": lambda classes: MLPGenerator((2,), 3, 4, num_classes=int(classes))(Z),
        },
    ),
    "got labels, expected none": (
        lambda: GENERATOR(Z, LABELS),
        {
            "build it with num_classes above 0": lambda: MLPGenerator((2,), 3, 4, num_classes=2)(Z, LABELS),
            "leave the labels out": lambda: GENERATOR(Z),
        },
    ),
    "labels have dtype": (
        lambda: CONDITIONAL(Z, LABELS.float()),
        {"convert with labels.long()": lambda: CONDITIONAL(Z, LABELS.float().long())},
    ),
    "labels have shape": (
        lambda: CONDITIONAL(Z, F.one_hot(LABELS)),
        {"pass one class index per sample": lambda: CONDITIONAL(Z, F.one_hot(LABELS).argmax(1))},
    ),
    # ---------------------------------------------------------------- layers
    "makes the network linear": (
        lambda: pieces(1),
        {
            "use {} or more": lambda number: pieces(int(number)),
            "or {} for no maxout": lambda number: pieces(int(number)),
        },
    ),
    "(doublings=…): expected 2 to": (
        lambda: ensemble(doublings=3),
        {"expected 2 to {} for image_shape (1, 16, 16); lower it": lambda most: ensemble(doublings=int(most))},
    ),
    "(stochastic_layers=…): expected at most … for image_shape": (
        lambda: ensemble(stochastic_layers=2),
        {"expected at most {} for": lambda most: ensemble(stochastic_layers=int(most))},
    ),
    "(latents=…): expected width": (
        lambda: ensemble(latents=Gaussian(3)),
        {
            "use Uniform({})": lambda dim: ensemble(latents=Uniform(int(dim))),
            "or Constant({})": lambda dim: ensemble(latents=Constant(int(dim))),
        },
    ),
    "expected at most the depth": (
        lambda: ensemble_mlp(depth=2, stochastic_layers=3),
        {
            "at most the depth, {}; lower it": lambda most: ensemble_mlp(depth=2, stochastic_layers=int(most)),
            "or raise depth": lambda: ensemble_mlp(depth=3, stochastic_layers=3),
        },
    ),
    # ---------------------------------------------------------------- routes
    "lower groups or stochastic_layers": (
        lambda: ensemble_mlp(groups=64, depth=11),
        {
            "lower groups": lambda: ensemble_mlp(groups=32, depth=11),
            "or stochastic_layers": lambda: ensemble_mlp(groups=64, depth=11, stochastic_layers=10),
        },
    ),
    "route has dtype": (
        lambda: ROUTED(Z, None, torch.zeros(2)),
        {"convert with route.long()": lambda: ROUTED(Z, None, torch.zeros(2).long())},
    ),
    "route has shape": (
        lambda: ROUTED(Z, None, torch.zeros(5).long()),
        {
            "expected ({},)": lambda n: ROUTED(Z, None, torch.zeros(int(n)).long()),
            "({},) or less than 2 for chunks": lambda n: ROUTED(Z, None, torch.zeros(int(n)).long()),
            "draw it with generator.draw_routes({})": lambda n: ROUTED(Z, None, ROUTED.draw_routes(int(n))),
        },
    ),
    "route is …, expected 0 to": (
        lambda: ROUTED(Z, None, torch.tensor([0, 9])),
        {
            "expected 0 to {}": lambda last: ROUTED(Z, None, torch.tensor([0, int(last)])),
            "draw it with generator.draw_routes({})": lambda n: ROUTED(Z, None, ROUTED.draw_routes(int(n))),
        },
    ),
    "pass one group per sample, per chunk or for all": (
        lambda: LAYER(X, torch.zeros(6).long()),
        {
            "one group per sample": lambda: LAYER(X, torch.tensor([0, 1, 2, 3, 0])),
            "per chunk": lambda: LAYER(X, torch.tensor([0, 3])),
            "for all": lambda: LAYER(X, torch.tensor([3])),
        },
    ),
}


test_a_remedy_works = each_row(REMEDIES)
