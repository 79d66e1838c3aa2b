"""Whether the monitor names what fails and is silent where nothing does: runs whose state the scores decide.

    python benchmarks/failure_monitor.py               # every run of both halves, half an hour on two CPU cores
    python benchmarks/failure_monitor.py --only ring   # those whose name contains a word; printed, written nowhere
    python benchmarks/failure_monitor.py --cost        # what the monitor costs a step, beside the same game without it

Half of the runs were made to fail, by a discriminator that is too fast, a saturating loss, no normalisation and a high
rate, a generator that is too small, players that chase each other, float16, or exchanged labels. The thresholds were
set on the half TUNED, all of which was looked at; the half HELD_OUT, other data, networks, objectives and rates, was
run once afterwards. MNIST is looked for in data/.

What is true is decided by scores alone, every 100 batches, on samples of latents that the monitor does not use:

- points, 2,500 samples: `ModeCoverage` with circles of a quarter of the modes' distance gives the share of samples
  inside and the number of modes they fill (e to the entropy), `PairwiseDiversity` their spread. Healthy: at least half
  of the samples inside, in 0.7 of the modes or more. Collapsed: a diversity below 0.5, or half of the samples inside
  and half of the modes or fewer. Else, not learned.
- images, 600 samples: `FrechetDistance` in the digit classifier's features and `PairwiseDiversity`. Healthy: a distance
  below 30. Collapsed: a diversity below 0.25. Else, not learned.
- a sample that is no number: not a number.

A run's truth is what holds in most of the last third of its scores; it is undecided, and counts nowhere, where none
does or where samples fill 0.5 to 0.7 of the modes. It begins where a state of failure holds until the end, and not
before batch 300, since every game begins far from the data. A game that
has not learned begins to fail where it gets nowhere any more: the Fréchet distance never a tenth
lower, or of points never a twentieth more of them inside; if that is less than 800 batches before the end it is
undecided. A collapse is an oscillation where the Fréchet distance between scores 100 batches apart is above a fifth of
that to the data. What was done is the cause: it names games that have not learned, and is an allowed name for a
collapse.

A failure is named where the monitor says an allowed name within 500 batches of its beginning. A false alarm is any
failure that it says in a healthy run.
"""

import argparse
import contextlib
import csv
import logging
import math
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightning_gans import DCGAN, GAN, WGANGP, Stabilizer, UnrolledGAN, generation
from lightning_gans.callbacks import FailureMonitor
from lightning_gans.callbacks.health.diagnosis import (
    EXPLODING_GRADIENTS,
    HEALTHY,
    MODE_COLLAPSE,
    NOT_A_NUMBER,
    SOFT_COLLAPSE,
    STATES,
    VANISHING_GRADIENT,
    WEAK_DISCRIMINATOR,
    State,
)
from lightning_gans.data import MNIST, Digits, GANData, GaussianGrid, GaussianRing
from lightning_gans.metrics import FrechetDistance, ModeCoverage, PairwiseDiversity
from lightning_gans.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    DigitFeatures,
    GaussianWithCode,
    MLPDiscriminator,
    MLPGenerator,
)
from lightning_gans.objectives import Hinge, LeastSquares, Minimax, NonSaturating, Relativistic, Wasserstein, ZeroSum
from lightning_gans.optimizers import SGD, Adam, RMSProp
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers import (
    DifferentiableAugmentation,
    DRAGANPenalty,
    ExperienceReplay,
    GeneratorEMA,
    InstanceNoise,
    LabelSmoothing,
    Packing,
    R1Penalty,
    R2Penalty,
    SpectralNorm,
)

RESULTS = Path(__file__).parent / "results" / "failure_monitor.csv"
EVERY = 100
WITHIN = 500
STUCK = 800
NOT_LEARNED, UNDECIDED = "not learned", "undecided"

# ---------------------------------------------------------------- the games


@dataclass
class Setup:
    """One game, and what was done to it: nothing, or the failures that this may be called."""

    name: str
    data: Callable[[], GANData]
    make: Callable[[], GAN]
    batches: int
    cause: tuple[State, ...] = ()
    stabilizers: Callable[[], list[Stabilizer]] = list
    trainer: dict[str, Any] = field(default_factory=dict)


class ExchangedLabels(Stabilizer):
    """A mistake: real samples are called fake, and fake ones real."""

    def on_targets(self, gan: GAN, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        return fake, real


def rates(g: float, d: float, beta1: float = 0.5) -> dict[str, Any]:
    return {
        "generator_optimizer": lambda params: Adam(params, lr=g, beta1=beta1),
        "discriminator_optimizer": lambda params: Adam(params, lr=d, beta1=beta1),
    }


def both(optimizer: Callable[..., Any], **settings: float) -> dict[str, Any]:
    make = partial(optimizer, **settings)
    return {"generator_optimizer": make, "discriminator_optimizer": make}


ring, grid = partial(GaussianRing, batch_size=64), partial(GaussianGrid, batch_size=64)
paper_ring = partial(GaussianRing, radius=2.0, sigma=0.02, batch_size=128)
mnist, digits = partial(MNIST, val_size=1000, batch_size=64), partial(Digits, size=16, batch_size=64)


def plain(z: Any = 16, objective: Any = None, g: Any = None, d: Any = None, **settings: Any) -> GAN:
    """Perceptrons 128-128 with ReLU on points, which collapse on the ring."""
    networks = MLPGenerator((2,), z, **(g or {})), MLPDiscriminator((2,), activation=nn.ReLU, **(d or {}))
    return GAN(*networks, objective or NonSaturating(), **{**rates(1e-3, 1e-3), **settings})


def one_hot(objective: Any = None, **settings: Any) -> GAN:
    return plain(GaussianWithCode(16, 64), objective, **settings)


def code(scale: float = 1.0, g: float = 2e-4, d: float = 2e-3, objective: Any = None) -> GAN:
    """Fourier features, a one-hot code and, with annealed noise, a game that finds every mode."""
    discriminator = MLPDiscriminator((2,), fourier_frequencies=16, input_scale=scale)
    generator = MLPGenerator((2,), GaussianWithCode(), depth=3)
    return GAN(generator, discriminator, objective or Relativistic(), **rates(g, d, 0.0))


def chase(unroll: int = 0, rate: float = 1e-3, gain: float = 0.8) -> GAN:
    """The ring of the unrolled GAN's paper, where the plain game chases one mode after another."""
    generator = MLPGenerator((2,), 256, orthogonal_gain=gain)
    discriminator = MLPDiscriminator((2,), depth=1, activation=nn.ReLU, input_scale=0.25, orthogonal_gain=gain)
    if unroll:
        return UnrolledGAN(generator, discriminator, unroll, detached=True, objective=ZeroSum(), **rates(rate, rate))
    return GAN(generator, discriminator, ZeroSum(), **rates(rate, rate))


def conv(
    size: int = 28,
    g: float = 1e-3,
    d: float = 4e-4,
    objective: Any = None,
    width: int = 16,
    d_width: int | None = None,
    g_norm: Any = nn.BatchNorm2d,
    d_norm: Any = nn.BatchNorm2d,
    num_classes: int = 0,
    **settings: Any,
) -> GAN:
    """A small DCGAN for grey images."""
    shape, classes = (1, size, size), {"num_classes": num_classes}
    networks = (
        DCGANGenerator(shape, 64, width=width, norm=g_norm, **classes),
        DCGANDiscriminator(shape, width=d_width or width, norm=d_norm, **classes),
    )
    return GAN(*networks, objective or NonSaturating(), **{**rates(g, d), **settings})


def penalised(shape: tuple[int, ...], rate: float, beta1: float = 0.0, **settings: Any) -> GAN:
    return WGANGP(shape, **{**rates(rate, rate, beta1), **settings})


def perceptrons(g: float, d: float, width: int = 128) -> GAN:
    shape = (1, 28, 28)
    return GAN(MLPGenerator(shape, 64, width=width), MLPDiscriminator(shape, width=width), **rates(g, d))


def noise(start: float, updates: int) -> Callable[[], list[Stabilizer]]:
    return lambda: [InstanceNoise(Linear(start, 0.0, updates))]


def with_one(kind: Callable[..., Stabilizer], *args: Any) -> Callable[[], list[Stabilizer]]:
    return lambda: [kind(*args)]


EXCHANGED = with_one(ExchangedLabels)
TOO_FAST = (
    VANISHING_GRADIENT,
    EXPLODING_GRADIENTS,
)  # which of the two, Arjovsky and Bottou (2017) show, is a matter of loss
BLIND, FOOLED = (WEAK_DISCRIMINATOR,), (WEAK_DISCRIMINATOR,)
WILD, LOST = (EXPLODING_GRADIENTS, NOT_A_NUMBER, VANISHING_GRADIENT), (NOT_A_NUMBER,)  # a wild D is too fast as well
CHASES, DROPS = (SOFT_COLLAPSE,), (MODE_COLLAPSE,)
HALF_PRECISION = {"precision": "16-true"}
no_norm = {"g_norm": None, "d_norm": None}
rpgan = Relativistic()

TUNED = [
    Setup("ring, code", partial(ring, batch_size=256), code, 3000, stabilizers=noise(0.4, 1800)),
    Setup("grid, code", partial(grid, batch_size=256), partial(code, 0.25, 5e-4), 3000, stabilizers=noise(1.2, 1800)),
    Setup("grid, code, least squares", partial(grid, batch_size=256),
          partial(code, 0.25, 5e-4, 1e-3, LeastSquares()), 3000, stabilizers=noise(1.2, 1800)),
    Setup("ring, one-hot", ring, one_hot, 3000),
    Setup("ring, slow D", ring, partial(plain, 2, **rates(1e-3, 1e-4)), 3000),
    Setup("ring, WGAN-GP", partial(ring, batch_size=256),
          partial(penalised, (2,), 5e-4, 0.5, latent_dim=2, width=128, gradient_penalty=0.1), 4000),
    Setup("grid, WGAN-GP", partial(grid, batch_size=256),
          partial(penalised, (2,), 5e-4, 0.5, latent_dim=2, width=128, gradient_penalty=0.1), 4000),
    Setup("ring of the paper, unrolled", paper_ring, partial(chase, 5), 3000),
    Setup("ring, noise", ring, plain, 3000, stabilizers=noise(0.3, 1500)),
    Setup("ring, R1", ring, plain, 3000, stabilizers=with_one(R1Penalty, 1.0)),
    Setup("ring, packing", ring, plain, 3000, stabilizers=with_one(Packing, 4)),
    Setup("ring, hinge, spectral norm", ring, partial(plain, 2, Hinge(), **rates(2e-4, 1e-3)), 3000,
          stabilizers=with_one(SpectralNorm)),
    Setup("mnist", mnist, conv, 1100),
    Setup("mnist, hinge, spectral norm", mnist, partial(conv, d=1e-3, objective=Hinge(), d_norm=None), 1100,
          stabilizers=with_one(SpectralNorm)),
    Setup("mnist, WGAN-GP", mnist, partial(penalised, (1, 28, 28), 1e-3, latent_dim=64, width=16), 2000),
    Setup("mnist, R1", mnist, partial(conv, d=1e-3, d_norm=None), 1100, stabilizers=with_one(R1Penalty, 1.0)),
    Setup("mnist, EMA, noise", mnist, conv, 1100,
          stabilizers=lambda: [GeneratorEMA(0.99), InstanceNoise(Linear(0.3, 0.0, 1000))]),
    Setup("digits", digits, partial(conv, 16, width=32), 2000),
    Setup("digits, augmented", digits, partial(conv, 16, width=32), 2000,
          stabilizers=with_one(DifferentiableAugmentation)),
    Setup("digits, smoothing, replay", digits, partial(conv, 16), 2000,
          stabilizers=lambda: [LabelSmoothing(), ExperienceReplay()]),
    Setup("ring, sharp", ring, plain, 3000, DROPS),
    Setup("ring, sharp, z of 64", ring, partial(plain, 64), 3000, DROPS),
    Setup("ring, tiny G", ring, partial(plain, 1, g={"width": 2, "depth": 1}), 2500, DROPS),
    Setup("grid, tiny G", grid, partial(plain, 2, g={"width": 2, "depth": 1}), 2500, DROPS),
    Setup("ring of the paper, chase", paper_ring, chase, 3000, CHASES),
    Setup("grid, chase", partial(grid, batch_size=128), chase, 3000, CHASES),
    Setup("ring, minimax, D ahead", ring, partial(plain, 16, Minimax(), n_critic=5, **rates(1e-4, 5e-3)), 3000,
          TOO_FAST),
    Setup("grid, minimax, fast D", grid, partial(plain, 2, Minimax(), **rates(1e-5, 1e-2)), 2000, TOO_FAST),
    Setup("ring, fast D", ring, partial(plain, **rates(1e-5, 1e-2)), 2000, TOO_FAST),
    Setup("ring far away, D ahead", partial(ring, radius=10.0), partial(plain, n_critic=5, **rates(1e-5, 1e-3)), 2500,
          TOO_FAST),
    Setup("mnist, fast D", mnist, partial(conv, g=2e-5, d=1e-2, d_norm=None), 1100, TOO_FAST),
    Setup("mnist, minimax, fast D", mnist,
          partial(conv, g=1e-4, d=2e-3, objective=Minimax(), d_norm=None, n_critic=3), 1100, TOO_FAST),
    Setup("digits, minimax, fast D", digits,
          partial(conv, 16, g=1e-5, d=1e-2, objective=Minimax(), d_norm=None), 1500, TOO_FAST),
    Setup("ring, labels exchanged", ring, plain, 1500, FOOLED, EXCHANGED),
    Setup("grid, hinge, labels exchanged", grid, partial(plain, 2, Hinge()), 1500, FOOLED, EXCHANGED),
    Setup("mnist, labels exchanged", mnist, conv, 1100, FOOLED, EXCHANGED),
    Setup("digits, labels exchanged", digits, partial(conv, 16), 1500, FOOLED, EXCHANGED),
    Setup("ring, D at rest", ring, partial(plain, **rates(1e-3, 1e-7)), 1500, BLIND),
    Setup("grid, tiny D", grid, partial(plain, d={"width": 1, "depth": 1}), 2000, BLIND),
    Setup("mnist, D at rest", mnist, partial(conv, d=1e-7), 1100, BLIND),
    Setup("digits, tiny slow D", digits, partial(conv, 16, g=2e-3, d=1e-5, d_width=1), 1500, BLIND),
    Setup("ring, high rate", ring, partial(plain, **rates(0.1, 0.1)), 2000, WILD),
    Setup("grid, least squares, high rate", grid, partial(plain, 16, LeastSquares(), **rates(0.05, 0.05)), 2500, WILD),
    Setup("ring, Wasserstein, no bound", ring, partial(plain, 16, Wasserstein()), 2000, WILD),
    Setup("grid, Wasserstein, no bound", grid, partial(plain, 2, Wasserstein(), **rates(1e-4, 1e-3)), 2000, WILD),
    Setup("mnist, Wasserstein, no bound", mnist, partial(conv, d=1e-3, objective=Wasserstein(), d_norm=None), 1100,
          WILD),
    Setup("mnist, no norm, high rate", mnist, partial(conv, g=5e-2, d=5e-2, **no_norm), 1100, WILD),
    Setup("digits, no norm, high rate", digits,
          partial(conv, 16, g=2e-2, d=2e-2, objective=LeastSquares(), **no_norm), 1500, WILD),
    Setup("ring, float16", ring, plain, 500, LOST, trainer=HALF_PRECISION),
    Setup("ring, SGD, rate 1", ring, partial(plain, 16, LeastSquares(), **both(SGD, lr=1.0, momentum=0.9)), 500, LOST),
]  # fmt: skip

HELD_OUT = [
    Setup("ring of 6, code", partial(ring, num_modes=6, radius=3.0, sigma=0.05, batch_size=256),
          partial(code, 0.3, 5e-4), 3000, stabilizers=noise(1.0, 1800)),
    Setup("grid of 9, one-hot", partial(grid, side=3), one_hot, 3000),
    Setup("grid of 9, code, hinge", partial(grid, side=3, batch_size=256),
          partial(code, 0.5, 5e-4, 1e-3, Hinge()), 3000, stabilizers=noise(1.0, 1800)),
    Setup("ring of 5, one-hot, least squares", partial(ring, num_modes=5, sigma=0.05),
          partial(one_hot, LeastSquares()), 3000),
    Setup("wide ring, WGAN-GP", partial(ring, sigma=0.1, batch_size=256),
          partial(penalised, (2,), 5e-4, 0.5, latent_dim=4, width=128, gradient_penalty=0.1), 4000),
    Setup("wide ring, R1", partial(ring, sigma=0.1), plain, 3000, stabilizers=with_one(R1Penalty, 0.1)),
    Setup("wide grid, DRAGAN", partial(grid, sigma=0.3, batch_size=128), plain, 3000,
          stabilizers=with_one(DRAGANPenalty)),
    Setup("ring of 8, radius 3, one-hot, RpGAN", partial(ring, radius=3.0, sigma=0.05), partial(one_hot, rpgan), 3000,
          stabilizers=with_one(R1Penalty, 0.05)),
    Setup("mnist 32, wider", partial(mnist, size=32), partial(conv, 32, width=24), 1100),
    Setup("mnist, RpGAN, R1, R2", mnist, partial(conv, d=1e-3, objective=rpgan, d_norm=None), 1100,
          stabilizers=lambda: [R1Penalty(0.5), R2Penalty(0.5)]),
    Setup("mnist, least squares, spectral norm", mnist,
          partial(conv, d=1e-3, objective=LeastSquares(), d_norm=None), 1100, stabilizers=with_one(SpectralNorm)),
    Setup("digits, conditional", partial(digits, labels=True), partial(conv, 16, width=32, num_classes=10), 2000),
    Setup("digits, RpGAN", digits, partial(conv, 16, objective=rpgan), 2000),
    Setup("digits, batch 32", partial(digits, batch_size=32), partial(conv, 16, width=24), 2500),
    Setup("digits 24, WGAN-GP", partial(digits, size=24), partial(penalised, (1, 24, 24), 5e-4, latent_dim=32,
          width=16), 3000),
    Setup("mnist, smoothing, noise", mnist, partial(conv, g=5e-4), 1100,
          stabilizers=lambda: [LabelSmoothing(), InstanceNoise(Linear(0.5, 0.0, 1000))]),
    Setup("mnist, minimax", mnist, partial(conv, objective=Minimax(), d=2e-4), 1100),
    Setup("digits, hinge, EMA", digits, partial(conv, 16, width=24, objective=Hinge()), 2000,
          stabilizers=with_one(GeneratorEMA, 0.99)),
    Setup("ring of 6, sharp", partial(ring, num_modes=6), partial(plain, 8), 3000, DROPS),
    Setup("grid of 9, sharp", partial(grid, side=3), partial(plain, 32), 3000, DROPS),
    Setup("ring of 12, tiny G", partial(ring, num_modes=12, radius=2.0), partial(plain, 2, g={"width": 3, "depth": 1}),
          2500, DROPS),
    Setup("digits, tiny G", digits, partial(conv, 16, width=1, d_width=32, d=1e-3, g_norm=None), 2000, DROPS),
    Setup("ring, chase", partial(ring, batch_size=128), partial(chase, rate=2e-3), 2500, CHASES),
    Setup("ring of 5, chase", partial(ring, num_modes=5, radius=2.0, batch_size=128), partial(chase, rate=5e-4), 3000,
          CHASES),
    Setup("mnist, perceptrons, fast G", mnist, partial(perceptrons, 2e-3, 1e-4), 1100, CHASES + FOOLED),
    Setup("grid, minimax, 10 D steps", grid, partial(plain, 4, Minimax(), n_critic=10, **rates(1e-4, 5e-3)), 2500,
          TOO_FAST),
    Setup("ring of 6, least squares, fast D", partial(ring, num_modes=6, radius=5.0),
          partial(plain, 16, LeastSquares(), **rates(1e-6, 5e-3)), 2000, TOO_FAST),
    Setup("mnist, minimax, 5 D steps", mnist,
          partial(conv, g=1e-4, d=1e-3, objective=Minimax(), d_norm=None, n_critic=5), 1100, TOO_FAST),
    Setup("digits, RpGAN, fast D", digits, partial(conv, 16, g=1e-6, d=5e-3, objective=rpgan, d_norm=None), 1500,
          TOO_FAST),
    Setup("ring of 6, labels exchanged", partial(ring, num_modes=6, sigma=0.05), partial(plain, 4, LeastSquares()),
          1500,
          FOOLED, EXCHANGED),
    Setup("mnist, hinge, labels exchanged", mnist, partial(conv, objective=Hinge(), d_norm=None), 1100, FOOLED,
          EXCHANGED),
    Setup("digits, labels exchanged, wider", digits, partial(conv, 16, width=32), 1200, FOOLED, EXCHANGED),
    Setup("grid of 9, hinge, D at rest", partial(grid, side=3), partial(plain, 8, Hinge(), **rates(1e-3, 1e-7)), 1500,
          BLIND),
    Setup("digits, least squares, D at rest", digits, partial(conv, 16, d=1e-8, objective=LeastSquares()), 1500, BLIND),
    Setup("mnist, tiny slow D", mnist, partial(conv, g=2e-3, d=1e-5, d_width=1), 1100, BLIND),
    Setup("ring of 5, Wasserstein, no bound", partial(ring, num_modes=5, radius=2.0),
          partial(plain, 8, Wasserstein(), **both(RMSProp, lr=2e-3)), 2000, WILD),
    Setup("grid of 9, high rate", partial(grid, side=3), partial(plain, **rates(0.1, 0.05)), 2000, WILD),
    Setup("digits, Wasserstein, no bound", digits, partial(conv, 16, d=1e-3, objective=Wasserstein(), d_norm=None),
          1500, WILD),
    Setup("mnist, hinge, no norm, high rate", mnist, partial(conv, g=2e-2, d=2e-2, objective=Hinge(), **no_norm), 1100,
          WILD),
    Setup("grid of 9, float16", partial(grid, side=3), plain, 500, LOST, trainer=HALF_PRECISION),
    Setup("digits, least squares, float16", digits, partial(conv, 16, objective=LeastSquares()), 500, LOST,
          trainer=HALF_PRECISION),
    Setup("wide ring, SGD, rate 5", partial(ring, sigma=0.1),
          partial(plain, 16, LeastSquares(), **both(SGD, lr=5.0, momentum=0.0)), 500, LOST),
]  # fmt: skip

# ---------------------------------------------------------------- the truth


@dataclass
class Score:
    """What the scores say of a game at one batch."""

    batch: int
    state: str
    distance: float = math.nan  # Fréchet, to the data
    moved: float = math.nan  # Fréchet, to the samples of the score before
    diversity: float = math.nan
    inside: float = math.nan
    modes: float = math.nan


class Scores(Callback):
    """Scores a game by the metrics as it goes."""

    def __init__(self, data: GANData):
        self.points = len(data.sample_shape) == 1
        self.num = 2500 if self.points else 600
        self.features = None if self.points else DigitFeatures()
        self.seen: list[Score] = []
        self.before: Tensor | None = None
        self.data = data

    def on_train_start(self, trainer: Trainer, gan: GAN) -> None:  # type: ignore[override]
        dataset = self.data.load("train")
        batch = dataset.__getitems__(list(range(self.num)))
        self.real = gan.unpack(batch)[0]
        if self.points:
            centres = self.data.means
            spacing = float(torch.cdist(centres, centres).fill_diagonal_(math.inf).min())
            self.coverage = ModeCoverage(centres.tolist(), self.data.sigma, radius=spacing / 4 / self.data.sigma)

    # type: ignore[override]
    def on_train_batch_end(self, trainer: Trainer, gan: GAN, outputs: Any, batch: Any, batch_idx: int) -> None:
        batches = trainer.fit_loop.epoch_loop.total_batch_idx + 1
        if batches % EVERY == 0:
            self.seen.append(self.score(batches, generation.draw(gan, self.num, seed=1)[0]))

    def score(self, batch: int, fake: Tensor) -> Score:
        if not torch.isfinite(fake).all():
            return Score(batch, NOT_A_NUMBER.name)
        score = Score(batch, NOT_LEARNED)
        score.distance = self.between(FrechetDistance(self.features), self.real, fake)
        score.diversity = self.between(PairwiseDiversity(self.features), self.real, fake)
        if self.before is not None:
            score.moved = self.between(FrechetDistance(self.features), self.before, fake)
        self.before = fake
        if self.points:
            self.coverage.reset()
            self.coverage.update(fake, real=False)
            figures = {name: value.item() for name, value in self.coverage.compute().items()}
            score.inside = figures["high_quality"]
            score.modes = math.exp(-figures["reverse_kl"]) if score.inside else 0.0  # as a share of all
            healthy = score.inside >= 0.5 and score.modes >= 0.7
            collapsed = score.diversity < 0.5 or (score.inside >= 0.5 and score.modes <= 0.5)
            partly = score.inside >= 0.5 and 0.5 < score.modes < 0.7
        else:
            healthy, collapsed, partly = score.distance < 30, score.diversity < 0.25, False
        if collapsed:
            score.state = MODE_COLLAPSE.name
        elif healthy:
            score.state = HEALTHY.name
        elif partly:
            score.state = UNDECIDED
        return score

    @staticmethod
    def between(metric: Any, real: Tensor, fake: Tensor) -> float:
        metric.update(real, real=True)
        metric.update(fake, real=False)
        return float(metric.compute())


def truth(scores: list[Score]) -> tuple[str, int | None]:
    """What a run ended in, and where that began."""
    last = scores[-max(1, len(scores) // 3) :]
    state, count = Counter(score.state for score in last).most_common(1)[0]
    if count <= len(last) / 2:
        failing = [score for score in last if score.state in (MODE_COLLAPSE.name, NOT_LEARNED)]
        if len(failing) <= len(last) / 2:
            return UNDECIDED, None
        state = MODE_COLLAPSE.name if any(score.state == MODE_COLLAPSE.name for score in failing) else NOT_LEARNED
    if state in (HEALTHY.name, UNDECIDED):
        return state, None
    begins = len(scores)
    while begins > 0 and scores[begins - 1].state not in (HEALTHY.name, UNDECIDED):
        begins -= 1
    begins = min(begins, len(scores) - 1)
    if state == MODE_COLLAPSE.name:
        collapsed = [index for index in range(begins, len(scores)) if scores[index].state == MODE_COLLAPSE.name]
        begins = collapsed[0]
        moving = [score for score in last if score.moved > score.distance / 5]
        state = SOFT_COLLAPSE.name if len(moving) > len(last) / 2 else state
    elif state == NOT_LEARNED:
        stuck = [index for index in range(max(begins, 2), len(scores)) if not _better_later(scores, index)]
        if not stuck or scores[-1].batch - scores[stuck[0]].batch < STUCK:
            return UNDECIDED, None  # it still learns
        begins = stuck[0]
    return state, scores[begins].batch if state == NOT_A_NUMBER.name else max(300, scores[begins].batch)


def _better_later(scores: list[Score], index: int) -> bool:
    """Whether a game that has not learned gets anywhere after a score."""
    now, later = scores[index], scores[index + 1 :]
    if math.isnan(now.inside):
        return any(score.distance < 0.9 * now.distance for score in later)
    return any(score.inside > now.inside + 0.05 for score in later)


# ---------------------------------------------------------------- a run


@dataclass
class Run:
    """What was true of a run, and what the monitor said."""

    half: str
    setup: str
    made: str
    batches: int
    truth: str
    begins: int | None
    said: str
    at: int | None
    verdict: str
    score: Score
    seconds: float


def play(half: str, index: int, seed: int, length: float) -> Run:
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(1)
    setup = (TUNED if half == "tuned" else HELD_OUT)[index]
    seed_everything(seed, verbose=False)
    data, gan = setup.data(), setup.make()
    scores, monitor = Scores(data), Silent()
    start = time.perf_counter()
    trainer = Trainer(
        max_steps=max(EVERY, int(setup.batches * length)),
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        callbacks=[*setup.stabilizers(), scores, monitor],
        **setup.trainer,
    )
    with contextlib.suppress(FloatingPointError):  # with which a run ends whose numbers are none
        trainer.fit(gan, data)
    if not scores.seen:  # the monitor ended the run before the first score
        scores.seen.append(scores.score(monitor.readings[-1].batch, generation.draw(gan, scores.num, seed=1)[0]))
    state, begins = truth(scores.seen)
    said = [event for event in monitor.events if event.state != HEALTHY.name]
    allowed = {state} if state != NOT_LEARNED else set()
    if state != NOT_A_NUMBER.name:
        allowed |= {cause.name for cause in setup.cause}
    right = [event for event in said if event.state in allowed]
    shown = (right or said or [None])[0]
    if state == UNDECIDED:
        verdict = UNDECIDED
    elif state == HEALTHY.name:
        verdict = "false alarm" if said else "silent"
    elif right and begins is not None and right[0].batch <= begins + WITHIN:
        verdict = "named"
    elif right:
        verdict = "late"
    else:
        verdict = "another name" if said else "missed"
    if state == NOT_LEARNED:
        state = f"{NOT_LEARNED}: {setup.cause[0].name}" if setup.cause else NOT_LEARNED
    return Run(
        half,
        setup.name,
        "to fail" if setup.cause else "to learn",
        setup.batches,
        state,
        begins,
        shown.state if shown else HEALTHY.name,
        shown.batch if shown else None,
        verdict,
        scores.seen[-1],
        time.perf_counter() - start,
    )


class Silent(FailureMonitor):
    """The monitor, without its line on the console."""

    def announce(self, trainer: Trainer, text: str) -> None:
        pass


# ---------------------------------------------------------------- what it comes to


def report(runs: list[Run], write: bool) -> None:
    for half in ("tuned", "held out"):
        ours = [run for run in runs if run.half == half]
        verdicts = Counter(run.verdict for run in ours)
        failing = sum(verdicts[name] for name in ("named", "late", "another name", "missed"))
        healthy = verdicts["silent"] + verdicts["false alarm"]
        delays = [max(0, run.at - run.begins) for run in ours if run.verdict == "named" and run.at and run.begins]
        print(
            f"\n{half}: {verdicts['named']} of {failing} failures named within {WITHIN} batches "
            f"(median {statistics.median(delays) if delays else math.nan:.0f}), {verdicts['late']} late, "
            f"{verdicts['another name']} by another name, {verdicts['missed']} missed; {verdicts['false alarm']} false "
            f"alarms in {healthy} healthy runs; {verdicts[UNDECIDED]} undecided"
        )
        table = Counter((run.truth, run.said) for run in ours if run.verdict != UNDECIDED)
        said = [state.name for state in STATES]
        print(f"{'true, by the scores':<62}" + "".join(f"{name.split(' (')[0][:16]:>18}" for name in said))
        for row in sorted({true for true, _ in table}):
            print(f"{row:<62}" + "".join(f"{table[row, name] or '.':>18}" for name in said))
    if write:
        RESULTS.parent.mkdir(exist_ok=True)
        with RESULTS.open("w", newline="") as file:
            writer = csv.writer(file)
            figures = ("distance", "diversity", "inside", "modes")
            writer.writerow(["half", "set-up", "made", "batches", "truth", "begins", "said", "at", "verdict", *figures])
            for run in runs:
                last = [f"{getattr(run.score, name):.4g}" for name in figures]
                writer.writerow(
                    [
                        run.half,
                        run.setup,
                        run.made,
                        run.batches,
                        run.truth,
                        run.begins,
                        run.said,
                        run.at,
                        run.verdict,
                        *last,
                    ]
                )
        draw([run for run in runs if run.half == "held out" and run.verdict != UNDECIDED])


def draw(runs: list[Run]) -> None:
    """The confusion matrix of the half that was held out."""
    from matplotlib.figure import Figure

    columns = [state.name for state in STATES]
    rows = sorted({run.truth for run in runs})
    counts = torch.zeros(len(rows), len(columns))
    for run in runs:
        counts[rows.index(run.truth), columns.index(run.said)] += 1
    figure = Figure(figsize=(11, 1.5 + 0.45 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(counts, cmap="Blues", aspect="auto", vmax=max(1.0, float(counts.max())) * 1.3)
    for row in range(len(rows)):
        for column in range(len(columns)):
            if counts[row, column]:
                axes.text(column, row, f"{counts[row, column]:.0f}", ha="center", va="center")
    axes.set_xticks(range(len(columns)), [name.replace(" (", "\n(") for name in columns], fontsize=8, rotation=20)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.set_xlabel("what the monitor says")
    axes.set_ylabel("what the scores say")
    axes.set_title("Runs held out", loc="left")
    figure.savefig(RESULTS.with_suffix(".png"), dpi=110)


# ---------------------------------------------------------------- what it costs


class Timed(FailureMonitor):
    """The monitor, which counts the processor's time in its own hooks."""

    seconds = 0.0

    def on_before_optimizer_step(self, *args: Any) -> None:  # type: ignore[override]
        start = time.process_time()
        super().on_before_optimizer_step(*args)
        self.seconds += time.process_time() - start

    def on_train_batch_end(self, *args: Any) -> None:  # type: ignore[override]
        start = time.process_time()
        super().on_train_batch_end(*args)
        self.seconds += time.process_time() - start


def cost(quick: bool) -> None:
    """The share of a step that the monitor takes, over whole rounds of readings."""
    torch.set_num_threads(1)
    games = {
        "DCGAN-64, batch 64": (lambda: DCGAN((3, 64, 64), width=64), torch.rand(64, 3, 64, 64) * 2 - 1, 100),
        "perceptrons, batch 512": (lambda: plain(2), torch.randn(512, 2), 2000),
        "perceptrons, batch 64": (lambda: plain(2), torch.randn(64, 2), 4000),
    }
    rows = []
    for name, (make, batch, batches) in games.items():
        monitor = Timed()
        trainer = Trainer(
            max_steps=10 if quick else batches,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[monitor],
        )
        seed_everything(0, verbose=False)
        gan = make()
        start = time.process_time()
        trainer.fit(gan, DataLoader([batch] * batches, batch_size=None))
        game = time.process_time() - start - monitor.seconds
        rows.append([name, batches, 1e3 * game / batches, 1e3 * monitor.seconds / batches, 1 + monitor.seconds / game])
        print("{:<26}{:>6} batches {:>9.3f} ms the game {:>8.4f} ms the monitor, ratio {:.4f}".format(*rows[-1]))
    if not quick:
        with RESULTS.with_name("failure_monitor_cost.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["game", "batches", "ms/step game", "ms/step monitor", "ratio"])
            writer.writerows([[*row[:2], *(f"{value:.4f}" for value in row[2:])] for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a word that the names of set-ups contain")
    parser.add_argument("--half", choices=["tuned", "held out"], help="one half of the set-ups")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a smoke run, whose figures mean nothing")
    parser.add_argument("--cost", action="store_true", help="what the monitor costs a step")
    options = parser.parse_args()
    if options.cost:
        cost(options.quick)
        return
    halves = {"tuned": TUNED, "held out": HELD_OUT}
    jobs = [
        (half, index)
        for half, setups in halves.items()
        for index, setup in enumerate(setups)
        if options.only in setup.name and options.half in (None, half)
    ]
    runs = []
    with ProcessPoolExecutor(options.workers) as pool:
        futures = [pool.submit(play, *job, options.seed, 0.05 if options.quick else 1.0) for job in jobs]
        for number, future in enumerate(futures, 1):
            run = future.result()
            runs.append(run)
            begins = f" from {run.begins}" if run.begins else ""
            at = f" at {run.at}" if run.at else ""
            print(
                f"{number:>3}/{len(jobs)} {run.half:<9}{run.setup:<38}{run.truth + begins:<62} {run.said + at:<52} "
                f"{run.verdict:<13}{run.seconds:>5.0f} s",
                flush=True,
            )
    report(runs, write=not (options.only or options.half or options.quick))


if __name__ == "__main__":
    main()
