"""Set-ups of `failure_monitor.py` in families that took no part when the monitor's thresholds were set.

About half of each family was meant to fail. What was meant decides nothing but `cause`: the states that also name the
failure of a set-up that does fail, beside those that follow from its scores. Data outside of [−1, 1] are refused before
training, and not among these.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from failure_setups import (
    BLIND,
    CHASES,
    TOO_FAST,
    WILD,
    Setup,
    both,
    chase,
    code,
    digits,
    grid,
    mnist,
    penalised,
    plain,
    rates,
    ring,
    rpgan,
    with_one,
)
from torch import Tensor, nn

from lightning_gans import GAN, SEPGAN, WGAN
from lightning_gans.callbacks.health.states import (
    BLURRED,
    COLLAPSE_IN_CLASSES,
    LATENTS_IGNORED,
    MODE_COLLAPSE,
    NOISY,
    STALLED,
    VANISHING_GRADIENT,
    WEAK_DISCRIMINATOR,
)
from lightning_gans.data import Digits, GANData, ImageFolder
from lightning_gans.data.base import Samples, Split
from lightning_gans.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    DigitClassifier,
    Gaussian,
    GaussianWithCode,
    Latents,
    MLPDiscriminator,
    MLPGenerator,
    StochasticEnsembleGenerator,
    StochasticEnsembleMLPGenerator,
)
from lightning_gans.objectives import LeastSquares, Minimax, NonSaturating, ZeroSum
from lightning_gans.optimizers import Adam, RMSProp
from lightning_gans.stabilizers import (
    DifferentiableAugmentation,
    DRAGANPenalty,
    Dropout,
    GeneratorEMA,
    GradientPenalty,
    InstanceNoise,
    LabelFlipping,
    Packing,
    R1Penalty,
    R2Penalty,
    WeightClipping,
)
from lightning_gans.targets import Classes, MarginalEntropy, PerRoute

COLLAPSES = (MODE_COLLAPSE, COLLAPSE_IN_CLASSES, LATENTS_IGNORED)
HELD_BACK = (STALLED, BLURRED, VANISHING_GRADIENT, WEAK_DISCRIMINATOR)  # a penalty that is far too large
GARBLED = (STALLED, NOISY, BLURRED)

# ---------------------------------------------------------------- latents and data with a fault


@dataclass(eq=False)
class Narrow(Latents):
    """Gaussian latents of a scale that is far too small, and the same for all samples of a batch if `shared`."""

    dim: int = 64
    scale: float = 0.0
    shared: bool = False

    def sample(self, n: int, device: Any = None, dtype: Any = None, generator: Any = None) -> Tensor:
        z = torch.randn(1 if self.shared else n, self.dim, device=device, dtype=dtype, generator=generator)
        return self.scale * z.expand(n, -1)


class LoudLabels(DCGANGenerator):
    """A conditional generator that sees its latents a hundredth as large as they are drawn, beside the labels."""

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(0.01 * z, labels)


class Rescaled(Digits):
    """Digits whose pixels are a x + b, as of a pipeline that forgets to scale, or scales twice."""

    def __init__(self, a: float, b: float, **settings: Any):
        super().__init__(**settings)
        self.a, self.b = a, b

    def load(self, split: Split) -> Samples:
        dataset = super().load(split)
        batch = dataset.__getitems__(list(range(len(dataset))))
        x, y = batch if isinstance(batch, (tuple, list)) else (batch, None)
        return Samples(self.a * x + self.b, y)


class Shrunk(Rescaled):
    """Digits a tenth as strong; a class of its own, since the network that scores them is kept by class."""


# ---------------------------------------------------------------- networks


def dcgan(
    shape: tuple[int, ...],
    g: float = 1e-3,
    d: float = 4e-4,
    width: int = 16,
    d_width: int | None = None,
    latents: Any = 64,
    d_norm: Any = nn.BatchNorm2d,
    generator: Callable[..., Any] = DCGANGenerator,
    num_classes: int = 0,
    objective: Any = None,
    **settings: Any,
) -> GAN:
    """A small DCGAN for images of any shape."""
    networks = (
        generator(shape, latents, width=width, num_classes=num_classes),
        DCGANDiscriminator(shape, width=d_width or width, norm=d_norm, num_classes=num_classes),
    )
    return GAN(*networks, objective or NonSaturating(), **{**rates(g, d), **settings})


def ensemble(shape: tuple[int, ...], g: float = 1e-3, d: float = 4e-4, groups: int = 4, **settings: Any) -> GAN:
    generator = StochasticEnsembleGenerator(shape, width=16, groups=groups)
    return GAN(generator, DCGANDiscriminator(shape, width=16), **rates(g, d), **settings)


def ensemble_mlp(objective: Any = None, rate: float = 1e-3, **settings: Any) -> GAN:
    generator = StochasticEnsembleMLPGenerator((2,), settings.pop("latents", 16))
    return GAN(generator, MLPDiscriminator((2,), activation=nn.ReLU), objective or NonSaturating(), **rates(rate, rate))


def sep(target: Any, rate: float = 1e-3, groups: int = 16, layers: int = 2, latents: Any = None) -> SEPGAN:
    generator = StochasticEnsembleGenerator(
        (1, 28, 28), latents, width=16, groups=groups, stochastic_layers=layers, doublings=3
    )
    return SEPGAN(generator, DigitClassifier(), target, generator_optimizer=lambda p: Adam(p, lr=rate, beta1=0.5))


def r3gan(weight: float) -> Callable[[], list[Any]]:
    return lambda: [R1Penalty(weight), R2Penalty(weight)]


small, colour = (1, 16, 16), (3, 16, 16)
labelled, labelled_mnist = partial(digits, labels=True), partial(mnist, size=16, labels=True)
mnist16, grey_digits = partial(mnist, size=16), partial(Digits, size=28, batch_size=16)
wide = partial(ring, sigma=0.05)
quiet = {"d_norm": None}


# fmt: off
def families(pictures: Path | None) -> dict[str, list[Setup]]:
    """Return the set-ups by family; those of colour pictures need a folder with train/ and a folder for each class."""
    found = {
        "conditional": [
            Setup("digits", labelled, partial(dcgan, small, num_classes=10), 2000),
            Setup("MNIST", labelled_mnist, partial(dcgan, small, num_classes=10), 1600),
            Setup("digits, RpGAN, R1", labelled,
                  partial(dcgan, small, num_classes=10, d=1e-3, objective=rpgan, **quiet), 2000,
                  stabilizers=with_one(R1Penalty, 0.2)),
            Setup("digits, latents a hundredth", labelled,
                  partial(dcgan, small, num_classes=10, generator=LoudLabels), 3000, COLLAPSES),
            Setup("MNIST, latents a hundredth", labelled_mnist,
                  partial(dcgan, small, num_classes=10, generator=LoudLabels), 2500, COLLAPSES),
            Setup("digits, fast D, minimax", labelled,
                  partial(dcgan, small, g=1e-5, d=5e-3, num_classes=10, objective=Minimax(), **quiet), 2000, TOO_FAST),
            Setup("digits, D at rest", labelled, partial(dcgan, small, d=1e-7, num_classes=10), 1600, BLIND),
            Setup("MNIST, MLPs, fast G", labelled_mnist,
                  lambda: GAN(MLPGenerator(small, 64, num_classes=10), MLPDiscriminator(small, num_classes=10),
                              **rates(2e-3, 5e-5)), 1600, CHASES + BLIND),
        ],
        "stochastic ensemble": [
            Setup("digits", digits, partial(ensemble, small), 2000),
            Setup("MNIST, 16 groups", mnist16, partial(ensemble, small, groups=16), 1600),
            Setup("wide ring, R1", wide, ensemble_mlp, 3000, stabilizers=with_one(R1Penalty, 0.2)),
            Setup("ring", ring, ensemble_mlp, 3000, COLLAPSES),
            Setup("grid, high rate", grid, partial(ensemble_mlp, None, 2e-2), 2500, WILD),
            Setup("ring, zero sum", ring, partial(ensemble_mlp, ZeroSum()), 2500, CHASES),
            Setup("digits, fast D", digits, partial(ensemble, small, 1e-5, 5e-3, objective=Minimax()), 2000, TOO_FAST),
            Setup("MNIST, D at rest", mnist16, partial(ensemble, small, 1e-3, 1e-7), 1600, BLIND),
        ],
        "SEP-GAN": [
            Setup("a class for each route", grey_digits, partial(sep, PerRoute()), 1500),
            Setup("marginal entropy", grey_digits, partial(sep, MarginalEntropy()), 1500),
            Setup("one class, 64 groups", grey_digits, partial(sep, Classes([3]), groups=64), 1500),
            Setup("one class, one route", grey_digits, partial(sep, Classes([3]), groups=1), 1500, COLLAPSES),
            Setup("one class, one route, high rate", grey_digits, partial(sep, Classes([7]), 1e-2, groups=1), 1500,
                  COLLAPSES),
            Setup("one class, one layer of two groups", grey_digits,
                  partial(sep, Classes([5]), groups=2, layers=1, latents=Narrow(16, 1e-3)), 1500, COLLAPSES),
        ],
        "WGAN-GP": [
            Setup("wide ring", partial(wide, batch_size=256),
                  partial(penalised, (2,), 1e-3, 0.0, latent_dim=2, width=128, gradient_penalty=0.1), 2500),
            Setup("grid of 9", partial(grid, side=3, sigma=0.1, batch_size=256),
                  partial(penalised, (2,), 1e-3, 0.0, latent_dim=4, width=128, gradient_penalty=0.1), 2500),
            Setup("MNIST", mnist16, partial(penalised, small, 1e-3, latent_dim=64, width=16), 1800),
            Setup("digits", digits, partial(penalised, small, 5e-4, 0.5, latent_dim=32, width=24), 2000),
            Setup("ring, weight 1000", partial(ring, batch_size=256),
                  partial(penalised, (2,), 1e-3, latent_dim=2, width=128, gradient_penalty=1000.0), 2500, HELD_BACK),
            Setup("ring, one critic update, slow", ring,
                  partial(penalised, (2,), 1e-5, latent_dim=2, width=64, n_critic=1), 2500, HELD_BACK),
            Setup("digits, rate 5e-2", digits, partial(penalised, small, 5e-2, latent_dim=32, width=16), 1500, WILD),
            Setup("MNIST, clipped, 1e-4", mnist16,
                  lambda: WGAN(small, latent_dim=64, width=16, clip=1e-4, **both(RMSProp, lr=5e-4)), 1500, HELD_BACK),
        ],
        "R3GAN's loss": [
            Setup("wide ring", wide, partial(plain, 2, rpgan, **rates(1e-3, 2e-3, 0.0)), 3000,
                  stabilizers=r3gan(0.1)),
            Setup("ring, code", partial(ring, batch_size=256), partial(code, 1.0), 3000, stabilizers=r3gan(0.02)),
            Setup("digits", digits, partial(dcgan, small, d=1e-3, objective=rpgan, **quiet), 2000,
                  stabilizers=r3gan(0.2)),
            Setup("MNIST", mnist16, partial(dcgan, small, d=1e-3, objective=rpgan, **quiet), 1600,
                  stabilizers=r3gan(0.2)),
            Setup("ring, weight 500", ring, partial(plain, 2, rpgan), 2500, HELD_BACK, r3gan(500.0)),
            Setup("digits, weight 1000", digits, partial(dcgan, small, objective=rpgan, **quiet), 1800, HELD_BACK,
                  r3gan(1000.0)),
            Setup("digits, no penalty, rate 1e-2", digits,
                  partial(dcgan, small, g=1e-2, d=1e-2, objective=rpgan, **quiet), 1800, WILD),
            Setup("ring, no penalty", ring, partial(plain, 2, rpgan), 3000, COLLAPSES + CHASES),
        ],
        "wrong ranges": [
            Setup("digits in [0, 1]", partial(Rescaled, 0.5, 0.5, size=16, batch_size=64), partial(dcgan, small), 2000),
            Setup("digits in [-.1, .1]", partial(Shrunk, 0.1, 0.0, size=16, batch_size=64),
                  partial(dcgan, small, g=1e-5), 1600, GARBLED + TOO_FAST),
            Setup("ring of radius 100", partial(ring, radius=100.0, sigma=1.0), partial(plain, 2), 2500,
                  GARBLED + TOO_FAST + WILD),
            Setup("ring of radius .01", partial(ring, radius=0.01, sigma=1e-4), partial(plain, 2), 2500,
                  GARBLED + BLIND),
            Setup("grid of spacing 40", partial(grid, spacing=40.0, sigma=1.0), partial(plain, 2, rpgan), 2500,
                  GARBLED + TOO_FAST + WILD),
        ],
        "degenerate latents": [
            Setup("wide ring, a code alone, R1", wide, partial(plain, GaussianWithCode(2, 32)), 3000,
                  stabilizers=with_one(R1Penalty, 0.2)),
            Setup("digits, one latent", digits, partial(dcgan, small, latents=Gaussian(1)), 2000),
            Setup("wide ring, two latents, R1", wide, partial(plain, 2), 3000, stabilizers=with_one(R1Penalty, 0.2)),
            Setup("digits, scale .001", digits, partial(dcgan, small, latents=Narrow(64, 1e-3), g=2e-4), 1800,
                  COLLAPSES),
            Setup("MNIST, scale .01", mnist16, partial(dcgan, small, latents=Narrow(64, 1e-2), g=2e-4), 1600,
                  COLLAPSES),
            Setup("ring, one z for a batch", ring, partial(plain, Narrow(16, 1.0, shared=True)), 2500,
                  COLLAPSES + CHASES),
            Setup("digits, one z for a batch", digits, partial(dcgan, small, latents=Narrow(64, 1.0, shared=True)),
                  1800, COLLAPSES + CHASES),
            Setup("grid, constant z", grid, partial(plain, Narrow(4, 0.0)), 2500, COLLAPSES + CHASES),
        ],
        "excessive stabilizers": [
            Setup("digits, R1 of .1", digits, partial(dcgan, small, d=1e-3, **quiet), 2000,
                  stabilizers=with_one(R1Penalty, 0.1)),
            Setup("MNIST, augmented, average", mnist16, partial(dcgan, small), 1600,
                  stabilizers=lambda: [DifferentiableAugmentation(), GeneratorEMA(0.99)]),
            Setup("digits, R1 of 10,000", digits, partial(dcgan, small, **quiet), 1600, HELD_BACK,
                  with_one(R1Penalty, 1e4)),
            Setup("wide ring, gradient penalty of 10,000", wide, partial(plain, 2), 2500, HELD_BACK,
                  with_one(GradientPenalty, 1e4)),
            Setup("MNIST, DRAGAN of 10,000", mnist16, partial(dcgan, small, **quiet), 1600, HELD_BACK,
                  with_one(DRAGANPenalty, 1e4)),
            Setup("digits, noise of 5", digits, partial(dcgan, small), 1600, HELD_BACK + GARBLED,
                  with_one(InstanceNoise, 5.0)),
            Setup("digits, labels flipped half the time", digits, partial(dcgan, small), 1600, HELD_BACK,
                  with_one(LabelFlipping, 0.5)),
            Setup("ring, weights clipped to .001", ring, partial(plain, 2), 2500, HELD_BACK,
                  with_one(WeightClipping, 1e-3)),
            Setup("digits, dropout of .9 in G", digits, partial(dcgan, small), 1600, GARBLED,
                  lambda: [Dropout(discriminator=0.0, generator=0.9)]),
        ],
        "batch of 4": [
            Setup("wide ring, R1", partial(wide, batch_size=4), partial(plain, 2, **rates(2e-4, 2e-4)), 4000,
                  stabilizers=with_one(R1Penalty, 0.2)),
            Setup("digits", partial(digits, batch_size=4), partial(dcgan, small, g=2e-4, d=2e-4), 4000),
            Setup("MNIST, WGAN-GP", partial(mnist16, batch_size=4),
                  partial(penalised, small, 2e-4, latent_dim=64, width=16), 3000),
            Setup("ring", partial(ring, batch_size=4), partial(plain, 2), 4000, COLLAPSES + CHASES),
            Setup("ring of the paper, chase", partial(ring, radius=2.0, batch_size=4), chase, 4000, CHASES),
            Setup("MNIST, rate 1e-2", partial(mnist16, batch_size=4),
                  partial(dcgan, small, g=1e-2, d=1e-2), 3000, WILD),
            Setup("digits, least squares, fast D", partial(digits, batch_size=4),
                  partial(dcgan, small, g=1e-5, d=2e-3, objective=LeastSquares(), **quiet), 3000, TOO_FAST),
        ],
    }
    if pictures is not None:
        found["colour pictures"] = photographs(partial(ImageFolder, str(pictures), batch_size=64, num_workers=0))
    return found


def photographs(data: Callable[..., GANData]) -> list[Setup]:
    """Return set-ups on colour pictures of 16 and 32 pixels, from a folder with a folder for each class."""
    of_16, of_32, larger = partial(data, size=16), partial(data, size=32), (3, 32, 32)
    return [
        Setup("16 px", of_16, partial(dcgan, colour, g=5e-4, d=5e-4), 2500),
        Setup("16 px, conditional", partial(of_16, labels=True), partial(dcgan, colour, g=5e-4, d=5e-4, num_classes=10),
              2500),
        Setup("16 px, RpGAN, R1", of_16, partial(dcgan, colour, objective=rpgan, **quiet), 2500,
              stabilizers=with_one(R1Penalty, 0.1)),
        Setup("32 px, packing", of_32, partial(dcgan, larger, width=12), 1500, stabilizers=with_one(Packing, 2)),
        Setup("16 px, tiny G", of_16, partial(dcgan, colour, width=1, d_width=24, d=1e-3), 1800,
              COLLAPSES + TOO_FAST + GARBLED),
        Setup("16 px, minimax, fast D", of_16,
              partial(dcgan, colour, g=1e-5, d=5e-3, objective=Minimax(), **quiet), 1600, TOO_FAST + GARBLED),
        Setup("16 px, D at rest", of_16, partial(dcgan, colour, d=1e-7), 1600, BLIND + GARBLED),
        Setup("16 px, MLPs, fast G", of_16,
              lambda: GAN(MLPGenerator(colour, 64), MLPDiscriminator(colour), **rates(2e-3, 5e-5)), 1600,
              CHASES + BLIND + GARBLED),
        Setup("32 px, constant z", of_32, partial(dcgan, larger, width=12, latents=Narrow(64, 0.0)), 1500, COLLAPSES),
        Setup("32 px, rates of .03", of_32, partial(dcgan, larger, width=12, g=3e-2, d=3e-2), 1500, WILD + GARBLED),
    ]
