"""Helpers of the tests of penalties: discriminators with known slopes, finite differences, the Dirac-GAN linearised."""

import pytest
import torch
from torch import nn

from lightning_gans import GAN, UnrolledGAN
from lightning_gans.networks import Discriminator, MLPDiscriminator, MLPGenerator
from lightning_gans.objectives import NonSaturating
from lightning_gans.optimizers import SGD


class LinearDiscriminator(Discriminator):
    """D(x) = w · x + b."""

    def __init__(self, w, b=0.0):
        super().__init__(w.shape, num_features=w.numel())
        self.features = nn.Flatten()
        self.head = nn.Sequential(nn.Linear(w.numel(), 1), nn.Flatten(0))
        self.head[0].weight.data = w.reshape(1, -1).clone()
        self.head[0].bias.data.fill_(b)


class QuadraticDiscriminator(Discriminator):
    """D(x) = ½‖x‖², with slope x, and the x it was shown."""

    def __init__(self, shape):
        super().__init__(shape, num_features=1)
        self.features = nn.Identity()
        self.scale = nn.Parameter(torch.ones(()))
        self.shown = []

    def forward(self, x, labels=None):
        self.shown.append(x.detach())
        return self.scale * x.flatten(1).square().sum(1) / 2


def gan_with(discriminator, *stabilizers, **kwargs):
    gan = GAN(MLPGenerator(discriminator.sample_shape, 3, width=4), discriminator, **kwargs)
    gan.stabilizers += stabilizers
    return gan


def smooth(*stabilizers, num_classes=0, unroll_steps=None):
    """A smooth GAN in double precision, unrolled or not."""
    torch.manual_seed(0)
    discriminator = MLPDiscriminator((2,), width=5, depth=2, activation=nn.Tanh, num_classes=num_classes)
    generator = MLPGenerator((2,), 3, width=4, activation=nn.Tanh, num_classes=num_classes)
    if unroll_steps is None:
        gan = GAN(generator, discriminator, NonSaturating())
    else:
        inner = {"unroll_steps": unroll_steps, "inner_optimizer": lambda params: SGD(params, lr=0.3, momentum=0)}
        gan = UnrolledGAN(generator, discriminator, objective=NonSaturating(), **inner)
    gan.stabilizers += stabilizers
    return gan.double()


def assert_derivative(loss, parameters, every=4, rel=1e-6):
    """The gradient of `loss()` with respect to tensors equals finite differences, and is not 0."""
    gradients = torch.autograd.grad(loss(), parameters, materialize_grads=True)
    assert any(gradient.abs().max() > 1e-4 for gradient in gradients)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        flat = parameter.detach().view(-1)
        for index in range(0, len(flat), every):
            at, ends = flat[index].item(), []
            for step in (1e-5, -1e-5):
                flat[index] = at + step
                ends.append(loss().item())
            flat[index] = at
            assert gradient.view(-1)[index].item() == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=rel, abs=1e-8)


def one_step(path):
    """The matrix that maps (θ, ψ) of the Dirac-GAN to that of the next batch, fitted where the path is near (0, 0)."""
    before, after = path[:-1].double(), path[1:].double()
    near = (before.norm(dim=1) < 1e-2) & (before.norm(dim=1) > 1e-4)
    assert near.sum() > 20, "the path comes near the solution"
    return torch.linalg.lstsq(before[near], after[near]).solution.T


def alternating(curvature, lr=0.1, slope=0.5):
    """The same by arithmetic, for alternating steps: the discriminator's first, and the generator faces the new one.

    Near (0, 0) the discriminator descends lr · (slope · θ + curvature · ψ) and the generator −lr · slope · ψ, where the
    slope is f′(0), ½ for the cross-entropy, and the penalty is curvature/2 · ψ². The determinant is 1 − lr · curvature:
    while eigenvalues are complex the distance shrinks by its square root at each step, and not at all without penalty.
    """
    keep, turn = 1 - lr * curvature, lr * slope
    return torch.tensor([[1 - turn**2, turn * keep], [-turn, keep]], dtype=torch.float64)
