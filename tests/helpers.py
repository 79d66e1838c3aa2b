"""Helpers that several test files share: small optimizers and GANs, and stabilizers and callbacks that record."""

import re
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from lightning_gans import GAN, Stabilizer
from lightning_gans.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    Discriminator,
    Generator,
    MLPDiscriminator,
    MLPGenerator,
    StochasticEnsembleGenerator,
)
from lightning_gans.objectives import (
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Relativistic,
    RelativisticAverage,
    Wasserstein,
    ZeroSum,
)
from lightning_gans.optimizers import SGD

slow_sgd = partial(SGD, lr=1e-3, momentum=0)


def sgds(gan, lr=0.01):
    return [SGD(player.parameters(), lr, momentum=0) for player in (gan.generator, gan.discriminator)]


def both(optimizer):
    return {"generator_optimizer": optimizer, "discriminator_optimizer": optimizer}


def with_fixed_latents(gan, size):
    """Return the GAN, which then takes its latents in turn from one fixed bank, however many at a time."""
    bank, place = torch.randn(size, 3, generator=torch.Generator().manual_seed(0)), [0]

    def generate(num, labels=None):
        chosen = bank[place[0] : place[0] + num]
        place[0] = (place[0] + num) % size
        return gan(chosen.to(gan.dtype), labels)

    gan.generate = generate
    return gan


def gradients(player):
    return [parameter.grad for parameter in player.parameters()]


class Recorder(Stabilizer):
    """A stabilizer that records which hook was called with what."""

    def __init__(self):
        self.calls = []

    def on_updates_per_batch(self, gan, discriminator, generator):
        self.calls.append(("turns", discriminator, generator))
        return discriminator, generator

    def on_fake_samples(self, gan, fake, labels):
        self.calls.append(("fake_samples", fake, labels))
        return fake

    def on_discriminator_input(self, gan, x):
        self.calls.append(("input", x))
        return x

    def on_targets(self, gan, real, fake):
        self.calls.append(("targets", real, fake))
        return real, fake

    def on_discriminator_loss(self, gan, step, loss):
        self.calls.append(("d_loss", step, loss))
        return loss

    def on_opponent(self, gan, discriminator):
        self.calls.append(("opponent", discriminator))
        return discriminator

    def on_generator_loss(self, gan, step, loss):
        self.calls.append(("g_loss", step, loss))
        return loss

    def on_discriminator_step_end(self, gan):
        self.calls.append(("d_end", gan.discriminator_updates, gan.generator_updates))

    def on_generator_step_end(self, gan):
        self.calls.append(("g_end", gan.discriminator_updates, gan.generator_updates))

    @property
    def names(self):
        return [call[0] for call in self.calls]


class Scale(Stabilizer):
    """A stabilizer with state; what it does to the discriminator's loss depends on its place among others."""

    def __init__(self, factor=1.0, shift=0.0):
        self.factor, self.shift, self.seen = factor, shift, torch.zeros(())

    def on_discriminator_loss(self, gan, step, loss):
        self.seen = self.seen + 1
        step.terms["shift"] = torch.tensor(self.shift)
        return loss * self.factor + self.shift

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state_dict):
        self.seen = state_dict["seen"]


class Steps(Callback):
    """A callback that keeps the steps that `on_train_batch_end` is given."""

    def __init__(self):
        self.steps = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.steps.append(outputs)


def ensemble(num_classes=0, **arguments):
    """Return a GAN whose generator is a stochastic ensemble with a few routes."""
    torch.manual_seed(0)
    generator = StochasticEnsembleGenerator((1, 13, 13), width=2, groups=3, num_classes=num_classes, **arguments)
    return GAN(generator, DCGANDiscriminator((1, 13, 13), width=2, num_classes=num_classes))


class LinearGenerator(Generator):
    """G(z) = W z, or W [z, onehot(label)]: linear, so that sums of latents give sums of samples."""

    def __init__(self, latents=4, num_classes=0, dim=3):
        super().__init__((dim,), latents, num_classes)
        self.linear = torch.nn.Linear(self.input_dim, dim, bias=False)

    def forward(self, z, labels=None):
        return self.linear(self.condition(z, labels))


def linear_gan(*args, **kwargs):
    """Return a GAN with a `LinearGenerator`."""
    torch.manual_seed(0)
    generator = LinearGenerator(*args, **kwargs)
    return GAN(generator, MLPDiscriminator(generator.sample_shape, width=4, num_classes=generator.num_classes))


def slow(*values):
    """Return a test case that the default suite leaves out, as others of its kind test the same code."""
    return pytest.param(*values, marks=pytest.mark.slow)


def few(cases, *names):
    """Return test cases of which those with a name, as `repr` or the case itself has it, are in the default suite."""
    known = {one if isinstance(one, str) else repr(one) for one in cases}
    assert set(names) <= known, set(names) - known
    return [
        pytest.param(one, id=name, marks=() if name in names else pytest.mark.slow)
        for one, name in ((one, one if isinstance(one, str) else repr(one)) for one in cases)
    ]


def named(value):
    """Return a test case's name without memory addresses, so that every process that collects tests has the same."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))


OBJECTIVES = [
    NonSaturating(),
    Minimax(),
    ZeroSum(),
    Wasserstein(),
    LeastSquares(),
    Hinge(),
    Relativistic(),
    Relativistic(LeastSquares()),
    RelativisticAverage(),
    RelativisticAverage(Hinge()),
]


def small_gan(num_classes=0, seed=0, dropout=0.0, kind=GAN, latents=3, **kwargs):
    torch.manual_seed(seed)
    return kind(
        MLPGenerator((2,), latents, width=8, depth=1, num_classes=num_classes),
        MLPDiscriminator((2,), width=8, depth=1, dropout=dropout, num_classes=num_classes),
        **kwargs,
    )


def small_image_gan(num_classes=0, seed=0, size=8, norm=nn.BatchNorm2d, channels=1, latents=3, **kwargs):
    torch.manual_seed(seed)
    shape = (channels, size, size)
    return GAN(
        DCGANGenerator(shape, latents, width=2, num_classes=num_classes),
        DCGANDiscriminator(shape, width=2, norm=norm, num_classes=num_classes),
        **kwargs,
    )


def fixed_batches(num, shape=(2,), size=8, num_classes=0):
    source = torch.Generator().manual_seed(1)
    x = [torch.rand(size, *shape, generator=source) * 2 - 1 for _ in range(num)]
    return [(part, torch.arange(size) % num_classes) for part in x] if num_classes else x


class DiracGenerator(Generator):
    def __init__(self):
        super().__init__((1,), 1)
        self.theta = nn.Parameter(torch.ones(1))

    def forward(self, z, labels=None):
        return self.theta.expand(len(z), 1)


class DiracDiscriminator(Discriminator):
    def __init__(self):
        super().__init__((1,), 1)
        self.features = nn.Identity()
        self.head = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Flatten(0))
        nn.init.ones_(self.head[0].weight)
