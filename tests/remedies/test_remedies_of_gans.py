"""Every remedy for the networks and the updates of a GAN works when it is done."""

import pytest
import torch
from helpers import small_gan
from remedied import each_row, fit
from small import trained
from torch import nn
from torch.optim.lr_scheduler import StepLR

from lightning_gans import GAN, Stabilizer
from lightning_gans.networks import Discriminator, Generator, MLPDiscriminator, MLPGenerator
from lightning_gans.objectives import RelativisticAverage
from lightning_gans.stabilizers import MinibatchStdDev

pytestmark = [pytest.mark.untrusted]

BATCHES = list(torch.rand(2, 8, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1)


def beside(*callbacks, **settings):
    fit(small_gan(**settings), BATCHES, callbacks=list(callbacks))


def scheduled(**settings):
    beside(generator_scheduler=lambda own: {"scheduler": StepLR(own, 1), **settings})


class Linear(Generator):
    """A generator whose samples have a width of its own, beside the shape that it says."""

    def __init__(self, sample_shape, width):
        super().__init__(sample_shape, 3)
        self.linear = nn.Linear(3, width)

    def forward(self, z, labels=None):
        return self.linear(self.condition(z, labels))


class Bare(Discriminator):
    """A discriminator that says nothing of its features."""

    def __init__(self):
        super().__init__((2,), 2)


class WithMethod(Bare):
    def features(self, x):
        return x


class WithModule(Bare):
    def __init__(self):
        super().__init__()
        self.features = nn.Linear(2, 2)


class WithForward(Bare):
    def forward(self, x, labels=None):
        return self.head(x)


class Logits(MLPDiscriminator):
    """A discriminator whose logits a function arranges."""

    def __init__(self, arrange):
        super().__init__((2,), 4)
        self.arrange = arrange

    def forward(self, x, labels=None):
        return self.arrange(super().forward(x, labels))


def logits(arrange):
    trained(GAN(MLPGenerator((2,), 3, 4), Logits(arrange)), size=8)


def pair(generator=None, discriminator=None):
    trained(GAN(generator or MLPGenerator((2,), 3, 4), discriminator or MLPDiscriminator((2,), 4)))


class Turns(Stabilizer):
    """Asks for numbers of updates."""

    def __init__(self, discriminator, generator):
        self.updates = discriminator, generator

    def on_updates_per_batch(self, gan, discriminator, generator):
        return self.updates


def averaged(size=8, **accumulation):
    trained(small_gan(objective=RelativisticAverage(), **accumulation), size=size)


REMEDIES = {
    "…(…=…): expected one of ….": (
        lambda: scheduled(interval="week"),
        {"expected one of {}, {}": lambda *intervals: [scheduled(interval=one) for one in intervals]},
    ),
    "…(…=…): expected …, such as ….": (
        lambda: small_gan(n_critic=0),
        {"such as {}": lambda value: trained(small_gan(n_critic=int(value)))},
    ),
    "has no features, of which": (
        lambda: pair(discriminator=Bare()),
        {
            "define features, as a method": lambda: pair(discriminator=WithMethod()),
            "or as a submodule": lambda: pair(discriminator=WithModule()),
            "or a forward of its own": lambda: pair(discriminator=WithForward()),
        },
    ),
    "the generator has …=… and the discriminator": (
        lambda: pair(MLPGenerator((2,)), MLPDiscriminator((3,))),
        {"give both the same": lambda: pair(MLPGenerator((2,)), MLPDiscriminator((2,)))},
    ),
    "the discriminator returns logits": (
        lambda: logits(lambda rows: rows[:3]),
        {
            "({},),": lambda num: logits(lambda rows: rows.view(int(num))),
            "({}, 1),": lambda num: logits(lambda rows: rows.view(int(num), 1)),
            "or ({}, 1, H, W) of patches": lambda num: logits(
                lambda rows: rows.view(int(num), 1, 1, 1).repeat(1, 1, 2, 3)
            ),
        },
    ),
    "leave out its mean over the batch": (
        lambda: logits(lambda rows: rows.mean()),
        {"leave out its mean over the batch": lambda: logits(lambda rows: rows)},
    ),
    "latents, expected samples of shape": (
        lambda: pair(Linear((2,), width=1)),
        {
            "correct its forward": lambda: pair(Linear((2,), width=2)),
            "or its sample_shape": lambda: pair(Linear((1,), width=1), MLPDiscriminator((1,), 4)),
        },
    ),
    "updates of discriminator and generator": (
        lambda: trained(small_gan(), Turns(0, 0)),
        {"at least one of either": lambda: [trained(small_gan(), Turns(*turns)) for turns in ((0, 1), (1, 0), (2, 3))]},
    ),
    "its loss is a function of the whole batch": (
        lambda: averaged(generator_accumulation=2),
        {
            "set {} to 1": lambda name: averaged(**{name: 1}),
            "with smaller batches if memory is short": lambda: averaged(size=2),
        },
    ),
    "parts of each batch, not the whole": (
        lambda: beside(MinibatchStdDev(), discriminator_accumulation=2),
        {"set {} to 1": lambda name: beside(MinibatchStdDev(), **{name: 1})},
    ),
}


test_a_remedy_works = each_row(REMEDIES)
