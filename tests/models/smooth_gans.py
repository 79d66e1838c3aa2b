"""Helpers of the tests of the unrolled GAN: smooth GANs, and the generator's gradient in two ways."""

import torch
from torch import nn
from torch.autograd import grad

from lightning_gans import UnrolledGAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.optimizers import SGD, Adam, RMSProp

RULES = {
    "adam": lambda params: Adam(params, lr=0.05),
    "adam with decay": lambda params: Adam(params, lr=0.05, weight_decay=0.1),
    "adamw": lambda params: torch.optim.AdamW(params, lr=0.05, weight_decay=0.5),
    "rmsprop": lambda params: RMSProp(params, lr=0.02),
    "rmsprop with decay": lambda params: torch.optim.RMSprop(params, lr=0.02, weight_decay=0.1),
    "sgd": lambda params: SGD(params, lr=0.3, momentum=0.0),
    "momentum": lambda params: SGD(params, lr=0.3, momentum=0.7),
    "dampened": lambda params: torch.optim.SGD(params, lr=0.3, momentum=0.7, dampening=0.4, weight_decay=0.1),
    "nesterov": lambda params: torch.optim.SGD(params, lr=0.3, momentum=0.7, nesterov=True),
}


def make(steps=3, seed=0, num_classes=0, rule=RULES["adam"], double=True, kind=UnrolledGAN, **kwargs):
    """A GAN of smooth MLPs in double precision, as finite differences need them."""
    torch.manual_seed(seed)
    if kind is UnrolledGAN:
        kwargs["unroll_steps"] = steps
    gan = kind(
        MLPGenerator((2,), 3, width=6, depth=1, activation=nn.Tanh, num_classes=num_classes),
        MLPDiscriminator((2,), width=5, depth=1, activation=nn.Tanh, num_classes=num_classes),
        discriminator_optimizer=rule,
        generator_optimizer=lambda params: SGD(params, lr=0.1),
        **kwargs,
    )
    return gan.double() if double else gan


def optimizers(gan):
    return gan.configure_optimizers()[0]


def inputs(num_classes=0, size=6):
    source = torch.Generator().manual_seed(1)
    x, z = (torch.randn(size, width, generator=source, dtype=torch.float64) for width in (2, 3))
    labels = torch.arange(size) % num_classes if num_classes else None
    return (x if labels is None else (x, labels)), z, labels


def slope(gan, batch, z, labels=None):
    """The gradient of the generator's loss with respect to all its weights."""
    loss = gan.generator_step(batch, gan(z, labels)).loss
    return torch.cat([part.flatten() for part in grad(loss, list(gan.generator.parameters()))])


def by_differences(gan, batch, z, labels=None, epsilon=1e-6):
    """The same by central differences, without autograd."""
    found = []
    for weight in gan.generator.parameters():
        for place in range(weight.numel()):
            values = []
            for sign in (1, -1):
                with torch.no_grad():
                    weight.view(-1)[place] += sign * epsilon
                    values.append(gan.generator_step(batch, gan(z, labels)).loss.item())
                    weight.view(-1)[place] -= sign * epsilon
            found.append((values[0] - values[1]) / (2 * epsilon))
    return torch.tensor(found, dtype=torch.float64)


def warmed_up(gan, num_classes=0, steps=4):
    """The GAN and its optimizers after a few batches, so that there are moments to start from."""
    pair = optimizers(gan)
    for _ in range(steps):
        gan.train_batch(inputs(num_classes)[0], *pair)
    return gan, pair


def resuming(gan, pair):
    """The GAN, whose lookahead starts from the moments of the discriminator's optimizer outside `train_batch` too."""
    gan.discriminator_optimizer = lambda params: pair[1]
    return gan
