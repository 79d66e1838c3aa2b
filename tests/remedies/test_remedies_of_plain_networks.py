"""Every remedy of a plain torch module as a network of a GAN works when it is done."""

import pytest
import torch
import torch.nn.functional as F
from helpers import sgds
from remedied import each_row
from small import trained
from torch import nn

from lightning_gans import GAN
from lightning_gans.networks import (
    DCGANGenerator,
    Discriminator,
    MLPDiscriminator,
    PlainDiscriminator,
    PlainGenerator,
    Uniform,
)
from lightning_gans.stabilizers import MinibatchStdDev

pytestmark = [pytest.mark.untrusted]

WEIGHT = torch.rand(4, 2)


class Matrix(nn.Module):
    """A generator without a layer that tells its width."""

    def __init__(self, width=100, classes=10):
        super().__init__()
        self.weight, self.shifts = nn.Parameter(torch.rand(width, 2)), nn.Parameter(torch.rand(classes, 2))

    def forward(self, z):
        return z @ self.weight


class ConditionalMatrix(Matrix):
    def forward(self, z, labels):
        return z @ self.weight + self.shifts[labels]


class Upsampled(nn.Module):
    """A generator that makes a map of 25 × 2 × 2 of its latents."""

    def __init__(self):
        super().__init__()
        self.layer = nn.ConvTranspose2d(25, 1, 4)

    def forward(self, z):
        return self.layer(z.reshape(len(z), 25, 2, 2))


class Conditional(nn.Module):
    """A discriminator that needs labels, which the name of its argument does not say."""

    def __init__(self):
        super().__init__()
        self.layer, self.embed = nn.Linear(2, 3), nn.Embedding(10, 3)

    def forward(self, x, index=None):
        return (self.layer(x) * self.embed(index)).sum(1)


class WithFeatures(nn.Module):
    """A network that returns its features beside the output, or the output alone."""

    def __init__(self, wide, narrow, alone=False):
        super().__init__()
        self.first, self.last, self.alone = nn.Linear(wide, 4), nn.Linear(4, narrow), alone

    def forward(self, x):
        features = self.first(x).relu()
        return self.last(features) if self.alone else (self.last(features), features)


class FeaturesAndHead(Discriminator):
    """What WithFeatures does, as the library's discriminators do it."""

    def __init__(self):
        super().__init__((2,), num_features=4)
        self.features = nn.Sequential(nn.Linear(2, 4), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))


def pair(generator=None, discriminator=None, *stabilizers):
    """Train two networks on a batch, and draw."""
    gan = trained(GAN(generator or nn.Linear(4, 2), discriminator or nn.Linear(2, 1)), *stabilizers)
    labels = torch.zeros(3).long() if gan.generator.num_classes else None
    assert gan.generate(3, labels).isfinite().all()


def with_labels(classes, discriminator=None, latents=100):
    generator = PlainGenerator(ConditionalMatrix(latents, classes), latents=latents, num_classes=classes)
    pair(generator, discriminator or MLPDiscriminator((2,), 4, num_classes=classes))


def upsampled(**settings):
    pair(PlainGenerator(Upsampled(), **settings), nn.Sequential(nn.Flatten(), nn.Linear(25, 1)))


def shaped(shape, width=2):
    pair(PlainGenerator(nn.Linear(4, width), 4, sample_shape=shape), nn.Linear(width, 1))


def on_images(shape, resized):
    """Train on images of 16 × 16, resized, with a discriminator that is said to take those of a shape."""
    x = F.interpolate(torch.rand(4, 1, 16, 16), size=resized)
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1))
    gan = GAN(DCGANGenerator(shape, 3, width=2), PlainDiscriminator(module, shape))
    gan.train_batch(x, *sgds(gan))


REMEDIES = {
    "numbers in one z, and its latents": (
        lambda: PlainGenerator(nn.ConvTranspose2d(6, 1, 4), 100, latent_shape=(6, 2, 2)),
        {
            "use latents={}": lambda width: trained(
                GAN(
                    PlainGenerator(nn.ConvTranspose2d(6, 1, 4), int(width), latent_shape=(6, 2, 2)),
                    MLPDiscriminator((1, 5, 5), 4),
                )
            ),
            "or another latent_shape": lambda: PlainGenerator(
                nn.ConvTranspose2d(25, 1, 4), 100, latent_shape=(25, 2, 2)
            ),
        },
    ),
    # ---------------------------------------------------------------- generators
    "as a network of the GAN; expected a torch.nn.Module": (
        lambda: pair(lambda z: z @ WEIGHT),
        {"expected a torch.nn.Module": lambda: pair(nn.Linear(4, 2, bias=False))},
    ),
    "(module=…): expected a torch.nn.Module": (
        lambda: pair(PlainGenerator(lambda z: z @ WEIGHT, 4)),
        {"expected a torch.nn.Module": lambda: pair(PlainGenerator(nn.Linear(4, 2, bias=False), 4))},
    ),
    "takes labels, and the number of classes cannot be found": (
        lambda: pair(ConditionalMatrix()),
        {
            "write GAN(PlainGenerator(ConditionalMatrix(...), latents={}, num_classes={}), ...)": (
                lambda latents, classes: with_labels(int(classes), latents=int(latents))
            )
        },
    ),
    "and the width of its latents z cannot be found": (
        lambda: pair(Matrix()),
        {
            "write GAN(PlainGenerator(Matrix(...), latents={}), ...)": lambda latents: pair(
                PlainGenerator(Matrix(int(latents)), latents=int(latents))
            )
        },
    ),
    "does not take such latents": (
        lambda: upsampled(latents=64),
        {
            "give the width of its z": lambda: upsampled(latents=Uniform(100)),
            "or its shape: PlainGenerator(Upsampled(...), latents={}, latent_shape=({}, {}, {}))": (
                lambda latents, *shape: upsampled(latents=int(latents), latent_shape=tuple(map(int, shape)))
            ),
        },
    ),
    "for two latents, expected samples": (
        lambda: pair(WithFeatures(4, 2)),
        {"let its forward return the samples alone": lambda: pair(WithFeatures(4, 2, alone=True))},
    ),
    "makes samples of shape …; change the one or the other": (
        lambda: shaped((3,)),
        {"change the one": lambda: shaped((2,)), "or the other": lambda: shaped((3,), width=3)},
    ),
    # ---------------------------------------------------------------- discriminators
    "does not take samples of shape …; build it for them": (
        lambda: pair(nn.Linear(4, 2), nn.Linear(3, 1)),
        {"build it for them": lambda: pair(nn.Linear(4, 2), nn.Linear(2, 1))},
    ),
    "does not take samples of shape …; build it for them, or write": (
        lambda: with_labels(10, Conditional()),
        {
            "PlainDiscriminator(Conditional(...), sample_shape, num_classes)": lambda: with_labels(
                10, PlainDiscriminator(Conditional(), (2,), 10)
            )
        },
    ),
    "for two samples, expected logits": (
        lambda: pair(None, WithFeatures(2, 1)),
        {"let its forward return those alone": lambda: pair(None, WithFeatures(2, 1, alone=True))},
    ),
    "ends in a sigmoid, and objectives take logits": (
        lambda: pair(None, nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())),
        {"leave it out": lambda: pair(None, nn.Sequential(nn.Linear(2, 1)))},
    ),
    "is a plain torch module without features": (
        lambda: pair(None, WithFeatures(2, 1, alone=True), MinibatchStdDev()),
        {
            "write it as a Discriminator of `features` and `head`": lambda: pair(
                None, FeaturesAndHead(), MinibatchStdDev()
            ),
            "or leave the stabilizer out": lambda: pair(None, WithFeatures(2, 1, alone=True)),
        },
    ),
    "resize the data, or give PlainDiscriminator their shape": (
        lambda: on_images((1, 8, 8), resized=16),
        {
            "expected (1, 8, {}); resize the data": lambda side: on_images((1, 8, 8), resized=int(side)),
            "or give PlainDiscriminator their shape": lambda: on_images((1, 16, 16), resized=16),
        },
    ),
}


test_a_remedy_works = each_row(REMEDIES)
