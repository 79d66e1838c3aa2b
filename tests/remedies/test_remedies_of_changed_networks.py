"""Every remedy of what stabilizers change in the networks, and of the layers that they add, works when it is done."""

import pytest
import torch
from helpers import small_gan, small_image_gan
from remedied import each_row
from small import trained
from torch import nn

from lightning_gans import GAN
from lightning_gans import stabilizers as st
from lightning_gans.networks import (
    Discriminator,
    MLPDiscriminator,
    MLPGenerator,
    StochasticEnsembleGenerator,
    VirtualBatchNormLayer,
)

pytestmark = [pytest.mark.untrusted]


class OwnForward(MLPDiscriminator):
    """A discriminator that overrides forward, or the same one of features and head."""

    def forward(self, x, labels=None):
        return 2 * self.layers(x).sum(1)


class FeaturesAndHead(MLPDiscriminator):
    def __init__(self, *args):
        super().__init__(*args)
        self.head = nn.Flatten(0)

    def features(self, x):
        return 2 * self.layers(x).sum(1, keepdim=True)


class Grouped(Discriminator):
    def __init__(self, groups):
        super().__init__((2, 4, 4), 64)
        self.features = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, groups=groups), nn.Flatten())


class Routed(StochasticEnsembleGenerator):
    """A stochastic ensemble with a norm."""

    def __init__(self):
        super().__init__((1, 16, 16), width=2, groups=2)
        self.layers.insert(2, nn.BatchNorm2d(self.layers[1].out_channels))


def against(discriminator, *stabilizers, size=8):
    shape, classes = discriminator.sample_shape, discriminator.num_classes
    return trained(GAN(MLPGenerator(shape, 3, 4, num_classes=classes), discriminator), *stabilizers, size=size)


def conditional(samples, width=2):
    against(MLPDiscriminator((2,), width, num_classes=2), st.Packing(samples), size=2 * samples)


def with_routes(*stabilizers):
    trained(GAN(Routed(), MLPDiscriminator((1, 16, 16), 4)), *stabilizers)


def packed(size, parts=1):
    trained(small_gan(discriminator_accumulation=parts), st.Packing(3), size=size)


def referenced(size=8, batch=8, parts=2):
    gan = small_image_gan(size=16, discriminator_accumulation=parts)
    trained(gan, st.VirtualBatchNorm(size=size), size=batch)


REMEDIES = {
    # ---------------------------------------------------------------- packs
    "features, too few for as many labels": (
        lambda: conditional(3),
        {
            "has {} features, too few for as many labels; use fewer samples": lambda most: conditional(int(most)),
            "or more features": lambda: conditional(3, width=3),
        },
    ),
    "a batch of … does not divide into packs of": (
        lambda: packed(8),
        {"use a batch_size that is a multiple of {},": lambda samples: packed(3 * int(samples))},
    ),
    "a batch of … does not divide into packs of …, also in every part of an accumulated batch": (
        lambda: packed(9, parts=2),
        {"a multiple of {}, also in every part of an accumulated batch": lambda samples: packed(4 * int(samples), 2)},
    ),
    "parametrised, as by SpectralNorm, and cannot be widened; let Packing come first": (
        lambda: trained(small_gan(), st.SpectralNorm(), st.Packing(2)),
        {"let Packing come first": lambda: trained(small_gan(), st.Packing(2), st.SpectralNorm())},
    ),
    "in groups, and cannot be widened": (
        lambda: against(Grouped(2), st.Packing(2)),
        {
            "are in groups, and cannot be widened; build it with groups={}": lambda groups: against(
                Grouped(int(groups)), st.Packing(2)
            )
        },
    ),
    # ---------------------------------------------------------------- heads
    "the weights of the head are parametrised": (
        lambda: trained(small_gan(), st.SpectralNorm(), st.MinibatchStdDev()),
        {
            "as by {}, and cannot be widened; let that come later": lambda name: trained(
                small_gan(), st.MinibatchStdDev(), getattr(st, name)()
            )
        },
    ),
    "is not a Discriminator of features and head, or overrides forward": (
        lambda: against(OwnForward((2,), 4), st.Packing(2)),
        {"define `features` and `head` instead": lambda: against(FeaturesAndHead((2,), 4), st.Packing(2))},
    ),
    # ---------------------------------------------------------------- references
    "cannot begin with a reference of": (
        lambda: VirtualBatchNormLayer(nn.BatchNorm1d(2), 4)(torch.rand(3, 2)),
        {
            "a reference of {}; put it in front": lambda size: VirtualBatchNormLayer(nn.BatchNorm1d(2), 4)(
                torch.cat([torch.rand(int(size), 2), torch.rand(3, 2)])
            )
        },
    ),
    "lower size, or use larger batches in fewer parts": (
        lambda: referenced(),
        {
            "the first batch has {} samples (or packs) for a reference of 8; lower size": lambda size: referenced(
                size=int(size)
            ),
            "use larger batches": lambda: referenced(batch=16),
            "in fewer parts": lambda: referenced(parts=1),
        },
    ),
    "has routes, which a fixed reference cannot have; use another norm": (
        lambda: with_routes(st.VirtualBatchNorm(size=4, discriminator=False)),
        {"use another norm": lambda: with_routes(st.InstanceNorm(generator=True, discriminator=False))},
    ),
}


test_a_remedy_works = each_row(REMEDIES)
