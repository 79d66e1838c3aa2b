"""The set-ups of `failure_monitor.py`: some that learn, and some that were made to fail in a known way.

TUNED are those on which the monitor's thresholds were set. HELD_OUT differ in data, networks, objectives, rates or
stabilizers; they were written down before any of them was run, and run once, after the thresholds were set.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn

from lightning_gans import GAN, WGAN, WGANGP, Stabilizer, UnrolledGAN
from lightning_gans.callbacks.health.states import (
    EXPLODING_GRADIENTS,
    MODE_COLLAPSE,
    NON_FINITE,
    SOFT_COLLAPSE,
    VANISHING_GRADIENT,
    WEAK_DISCRIMINATOR,
    State,
)
from lightning_gans.data import MNIST, Digits, GANData, GaussianGrid, GaussianRing
from lightning_gans.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    GaussianWithCode,
    MLPDiscriminator,
    MLPGenerator,
    StochasticEnsembleMLPGenerator,
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
from lightning_gans.optimizers import SGD, Adam, RMSProp
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers import (
    DifferentiableAugmentation,
    DRAGANPenalty,
    Dropout,
    ExperienceReplay,
    GeneratorEMA,
    InstanceNoise,
    InstanceNorm,
    LabelFlipping,
    LabelSmoothing,
    MinibatchStdDev,
    Packing,
    R1Penalty,
    R2Penalty,
    SpectralNorm,
)


@dataclass
class Setup:
    """One set-up, and the failures that it was made for, if any."""

    name: str
    data: Callable[[], GANData]
    make: Callable[[], GAN]
    batches: int
    cause: tuple[State, ...] = ()
    stabilizers: Callable[[], list[Stabilizer]] = list
    trainer: dict[str, Any] = field(default_factory=dict)


class SwappedLabels(Stabilizer):
    """A mistake: the targets of real samples and of fakes are swapped."""

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
    """MLPs 128-128 with ReLU on points, which collapse on the ring."""
    networks = MLPGenerator((2,), z, **(g or {})), MLPDiscriminator((2,), activation=nn.ReLU, **(d or {}))
    return GAN(*networks, objective or NonSaturating(), **{**rates(1e-3, 1e-3), **settings})


def one_hot(objective: Any = None, **settings: Any) -> GAN:
    return plain(GaussianWithCode(16, 64), objective, **settings)


def code(scale: float = 1.0, g: float = 2e-4, d: float = 2e-3, objective: Any = None) -> GAN:
    """Fourier features and a one-hot code: with annealed noise, every mode is found."""
    discriminator = MLPDiscriminator((2,), fourier_frequencies=16, input_scale=scale)
    generator = MLPGenerator((2,), GaussianWithCode(), depth=3)
    return GAN(generator, discriminator, objective or Relativistic(), **rates(g, d, 0.0))


def paper_discriminator(gain: float = 0.8) -> MLPDiscriminator:
    """The discriminator of the unrolled GAN's paper, for its ring."""
    return MLPDiscriminator((2,), depth=1, activation=nn.ReLU, input_scale=0.25, orthogonal_gain=gain)


def chase(unroll: int = 0, rate: float = 1e-3, gain: float = 0.8) -> GAN:
    """The ring of the unrolled GAN's paper, where a plain GAN chases one mode after another."""
    generator = MLPGenerator((2,), 256, orthogonal_gain=gain)
    discriminator = paper_discriminator(gain)
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


def ensemble() -> GAN:
    """The paper's ring with a stochastic ensemble as the generator."""
    discriminator = paper_discriminator()
    return GAN(StochasticEnsembleMLPGenerator((2,), 256), discriminator, ZeroSum(), **rates(1e-3, 1e-3))


def mlps(g: float, d: float, width: int = 128, side: int = 28) -> GAN:
    shape = (1, side, side)
    return GAN(MLPGenerator(shape, 64, width=width), MLPDiscriminator(shape, width=width), **rates(g, d))


def noise(start: float, updates: int) -> Callable[[], list[Stabilizer]]:
    return lambda: [InstanceNoise(Linear(start, 0.0, updates))]


def with_one(kind: Callable[..., Stabilizer], *args: Any) -> Callable[[], list[Stabilizer]]:
    return lambda: [kind(*args)]


SWAPPED = with_one(SwappedLabels)
# a D that is too fast makes the gradient vanish or explode, depending on the loss (Arjovsky and Bottou, 2017)
TOO_FAST = (VANISHING_GRADIENT, EXPLODING_GRADIENTS)
BLIND, FOOLED = (WEAK_DISCRIMINATOR,), (WEAK_DISCRIMINATOR,)
WILD, LOST = (EXPLODING_GRADIENTS, NON_FINITE, VANISHING_GRADIENT), (NON_FINITE,)  # such a D is too fast, too
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
    Setup("ring, labels exchanged", ring, plain, 1500, FOOLED, SWAPPED),
    Setup("grid, hinge, labels exchanged", grid, partial(plain, 2, Hinge()), 1500, FOOLED, SWAPPED),
    Setup("mnist, labels exchanged", mnist, conv, 1100, FOOLED, SWAPPED),
    Setup("digits, labels exchanged", digits, partial(conv, 16), 1500, FOOLED, SWAPPED),
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
    Setup("mnist, perceptrons, fast G", mnist, partial(mlps, 2e-3, 1e-4), 1100, CHASES + FOOLED),
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
          FOOLED, SWAPPED),
    Setup("mnist, hinge, labels exchanged", mnist, partial(conv, objective=Hinge(), d_norm=None), 1100, FOOLED,
          SWAPPED),
    Setup("digits, labels exchanged, wider", digits, partial(conv, 16, width=32), 1200, FOOLED, SWAPPED),
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
    Setup("ring of 10, code", partial(ring, num_modes=10, radius=3.0, sigma=0.05, batch_size=256),
          partial(code, 0.3, 5e-4), 3000, stabilizers=noise(1.0, 1800)),
    Setup("ring of 3, one-hot", partial(ring, num_modes=3, sigma=0.05), one_hot, 3000),
    Setup("ring of 4, one-hot, hinge", partial(ring, num_modes=4, sigma=0.05), partial(one_hot, Hinge()), 3000),
    Setup("grid of 16, code", partial(grid, side=4, batch_size=256), partial(code, 0.35, 5e-4), 3000,
          stabilizers=noise(1.1, 1800)),
    Setup("grid of 4, one-hot, RpGAN", partial(grid, side=2), partial(one_hot, rpgan), 3000,
          stabilizers=with_one(R1Penalty, 0.05)),
    Setup("ring of 5, unrolled", partial(paper_ring, num_modes=5, sigma=0.05), partial(chase, 5), 3000),
    Setup("ring of the paper, ensemble", paper_ring, ensemble, 3000),
    Setup("ring, code, replay", partial(ring, batch_size=256), code, 3000,
          stabilizers=lambda: [InstanceNoise(Linear(0.4, 0.0, 1800)), ExperienceReplay()]),
    Setup("ring of 6, WGAN-GP", partial(ring, num_modes=6, sigma=0.05, batch_size=256),
          partial(penalised, (2,), 5e-4, 0.5, latent_dim=2, width=128, gradient_penalty=0.1), 4000),
    Setup("mnist 24, wider", partial(mnist, size=24), partial(conv, 24, width=24), 1100),
    Setup("mnist 20, hinge", partial(mnist, size=20), partial(conv, 20, objective=Hinge()), 1100),
    Setup("mnist, DRAGAN", mnist, partial(conv, d=1e-3, d_norm=None), 1100, stabilizers=with_one(DRAGANPenalty)),
    Setup("mnist, conditional", partial(mnist, labels=True), partial(conv, num_classes=10), 1100),
    Setup("mnist, dropout", mnist, conv, 1100, stabilizers=lambda: [Dropout(discriminator=0.3, generator=0.0)]),
    Setup("mnist, minibatch deviation", mnist, conv, 1100, stabilizers=with_one(MinibatchStdDev)),
    Setup("mnist, WGAN", mnist,
          lambda: WGAN((1, 28, 28), latent_dim=64, width=16, clip=0.05, **both(RMSProp, lr=5e-4)), 1500),
    Setup("mnist, RpGAN averaged", mnist, partial(conv, objective=RelativisticAverage()), 1100),
    Setup("mnist, slow players", mnist, partial(conv, g=4e-4, d=2e-4), 1500),
    Setup("digits 12", partial(digits, size=12), partial(conv, 12, width=32), 2000),
    Setup("digits, R1, R2", digits, partial(conv, 16, d=1e-3, d_norm=None), 2000,
          stabilizers=lambda: [R1Penalty(0.5), R2Penalty(0.5)]),
    Setup("digits, hinge, spectral norm", digits, partial(conv, 16, d=1e-3, objective=Hinge(), d_norm=None), 2000,
          stabilizers=with_one(SpectralNorm)),
    Setup("digits, instance norm", digits, partial(conv, 16, width=32), 2000, stabilizers=with_one(InstanceNorm)),
    Setup("digits, flipping, noise", digits, partial(conv, 16, width=24), 2000,
          stabilizers=lambda: [LabelFlipping(0.05), InstanceNoise(Linear(0.3, 0.0, 1500))]),
    Setup("digits 20, batch 128", partial(digits, size=20, batch_size=128), partial(conv, 20, width=24), 1800),
    Setup("ring of 10, sharp", partial(ring, num_modes=10), plain, 3000, DROPS),
    Setup("ring of 5, sharp", partial(ring, num_modes=5), partial(plain, 4), 3000, DROPS),
    Setup("grid of 16, sharp", partial(grid, side=4), plain, 3000, DROPS),
    Setup("ring, hinge, sharp", ring, partial(plain, 8, Hinge()), 3000, DROPS),
    Setup("ring of 6, tiny G", partial(ring, num_modes=6, radius=2.0), partial(plain, 1, g={"width": 2, "depth": 1}),
          2500, DROPS),
    Setup("mnist, tiny G", mnist, partial(conv, width=1, d_width=16, d=1e-3, g_norm=None), 1100, DROPS),
    Setup("ring of 6, chase", partial(ring, num_modes=6, radius=2.0, batch_size=128), chase, 3000, CHASES),
    Setup("grid of 9, chase", partial(grid, side=3, batch_size=128), chase, 3000, CHASES),
    Setup("wide ring, chase", partial(ring, sigma=0.1, batch_size=128), partial(chase, rate=2e-3), 2500, CHASES),
    Setup("digits, perceptrons, fast G", digits, partial(mlps, 2e-3, 1e-4, side=16), 1500, CHASES + FOOLED),
    Setup("ring of 4, minimax, D ahead", partial(ring, num_modes=4),
          partial(plain, 8, Minimax(), n_critic=5, **rates(1e-4, 5e-3)), 2500, TOO_FAST),
    Setup("grid of 9, minimax, fast D", partial(grid, side=3), partial(plain, 4, Minimax(), **rates(1e-5, 1e-2)), 2000,
          TOO_FAST),
    Setup("ring of radius 8, least squares, D ahead", partial(ring, radius=8.0),
          partial(plain, 16, LeastSquares(), n_critic=5, **rates(1e-5, 1e-3)), 2500, TOO_FAST),
    Setup("digits, minimax, 5 D steps", digits,
          partial(conv, 16, g=1e-4, d=1e-3, objective=Minimax(), d_norm=None, n_critic=5), 1500, TOO_FAST),
    Setup("mnist, RpGAN, fast D", mnist, partial(conv, g=1e-6, d=5e-3, objective=rpgan, d_norm=None), 1100, TOO_FAST),
    Setup("mnist 24, hinge, fast D", partial(mnist, size=24),
          partial(conv, 24, g=1e-5, d=1e-2, objective=Hinge(), d_norm=None), 1100, TOO_FAST),
    Setup("grid of 9, RpGAN, labels exchanged", partial(grid, side=3), partial(plain, 8, rpgan), 1500, FOOLED,
          SWAPPED),
    Setup("ring of 5, WGAN-GP, labels exchanged", partial(ring, num_modes=5, sigma=0.05),
          partial(penalised, (2,), 5e-4, 0.5, latent_dim=2, width=128), 1500, FOOLED, SWAPPED),
    Setup("digits, least squares, labels exchanged", digits, partial(conv, 16, objective=LeastSquares()), 1500, FOOLED,
          SWAPPED),
    Setup("mnist 24, labels exchanged", partial(mnist, size=24), partial(conv, 24, width=12), 1100, FOOLED, SWAPPED),
    Setup("ring of 5, least squares, D at rest", partial(ring, num_modes=5),
          partial(plain, 8, LeastSquares(), **rates(1e-3, 1e-7)), 1500, BLIND),
    Setup("ring of 6, tiny D", partial(ring, num_modes=6, radius=3.0), partial(plain, d={"width": 1, "depth": 1}), 2000,
          BLIND),
    Setup("mnist, hinge, D at rest", mnist, partial(conv, d=1e-7, objective=Hinge()), 1100, BLIND),
    Setup("digits 24, tiny slow D", partial(digits, size=24), partial(conv, 24, g=2e-3, d=1e-5, d_width=1), 1500,
          BLIND),
    Setup("ring of 5, high rate", partial(ring, num_modes=5), partial(plain, **rates(0.1, 0.05)), 2000, WILD),
    Setup("grid of 9, Wasserstein, no bound", partial(grid, side=3), partial(plain, 8, Wasserstein()), 2000, WILD),
    Setup("mnist, least squares, no norm, high rate", mnist,
          partial(conv, g=3e-2, d=3e-2, objective=LeastSquares(), **no_norm), 1100, WILD),
    Setup("mnist 24, Wasserstein, no bound", partial(mnist, size=24),
          partial(conv, 24, objective=Wasserstein(), d_norm=None, **both(RMSProp, lr=1e-3)), 1100, WILD),
    Setup("digits, minimax, no norm, high rate", digits,
          partial(conv, 16, g=2e-2, d=2e-2, objective=Minimax(), **no_norm), 1500, WILD),
    Setup("ring of 5, hinge, float16", partial(ring, num_modes=5), partial(plain, 8, Hinge()), 500, LOST,
          trainer=HALF_PRECISION),
    Setup("mnist, float16", mnist, conv, 500, LOST, trainer=HALF_PRECISION),
    Setup("ring of 6, SGD, rate 3", partial(ring, num_modes=6),
          partial(plain, 16, LeastSquares(), **both(SGD, lr=3.0, momentum=0.5)), 500, LOST),
]  # fmt: skip

HELD_OUT = [
    Setup("ring of 7, code", partial(ring, num_modes=7, radius=2.0, sigma=0.05, batch_size=256),
          partial(code, 0.5, 5e-4), 3000, stabilizers=noise(0.8, 1800)),
    Setup("grid of 9, one-hot, least squares", partial(grid, side=3), partial(one_hot, LeastSquares()), 3000),
    Setup("ring of 6, one-hot, smoothing", partial(ring, num_modes=6, sigma=0.05), one_hot, 3000,
          stabilizers=with_one(LabelSmoothing)),
    Setup("ring of 4, one-hot, RpGAN averaged", partial(ring, num_modes=4, sigma=0.05),
          partial(one_hot, RelativisticAverage()), 3000),
    Setup("ring of 3, WGAN-GP", partial(ring, num_modes=3, sigma=0.05, batch_size=256),
          partial(penalised, (2,), 5e-4, 0.5, latent_dim=2, width=128, gradient_penalty=0.1), 4000),
    Setup("ring of 6, unrolled", partial(paper_ring, num_modes=6, sigma=0.05), partial(chase, 5), 3000),
    Setup("grid of 4, code", partial(grid, side=2, batch_size=256), partial(code, 0.8, 5e-4), 3000,
          stabilizers=noise(0.8, 1800)),
    Setup("ring of 12, code", partial(ring, num_modes=12, radius=4.0, sigma=0.05, batch_size=256),
          partial(code, 0.25, 5e-4), 3000, stabilizers=noise(1.0, 1800)),
    Setup("ring, code, average", partial(ring, batch_size=256), code, 3000,
          stabilizers=lambda: [InstanceNoise(Linear(0.4, 0.0, 1800)), GeneratorEMA(0.99)]),
    Setup("grid of 16, WGAN-GP", partial(grid, side=4, batch_size=256),
          partial(penalised, (2,), 5e-4, 0.5, latent_dim=2, width=128, gradient_penalty=0.1), 4000),
    Setup("mnist 16", partial(mnist, size=16), partial(conv, 16, width=24), 1300),
    Setup("mnist, least squares", mnist, partial(conv, objective=LeastSquares()), 1100),
    Setup("mnist, batch 32", partial(mnist, batch_size=32), conv, 1500),
    Setup("mnist 20, spectral norm", partial(mnist, size=20), partial(conv, 20, d=1e-3, d_norm=None), 1300,
          stabilizers=with_one(SpectralNorm)),
    Setup("mnist, augmented", mnist, conv, 1100, stabilizers=with_one(DifferentiableAugmentation)),
    Setup("mnist, two D steps", mnist, partial(conv, d=2e-4, n_critic=2), 1500),
    Setup("mnist 24, RpGAN, R1", partial(mnist, size=24), partial(conv, 24, d=1e-3, objective=rpgan, d_norm=None), 1100,
          stabilizers=with_one(R1Penalty, 0.5)),
    Setup("mnist, smoothing, average", mnist, conv, 1100, stabilizers=lambda: [LabelSmoothing(), GeneratorEMA(0.99)]),
    Setup("digits 8", partial(digits, size=8), partial(conv, 8, width=32), 2000),
    Setup("digits, least squares", digits, partial(conv, 16, width=24, objective=LeastSquares()), 2000),
    Setup("digits, WGAN-GP", digits, partial(penalised, (1, 16, 16), 1e-3, latent_dim=64, width=16), 2500),
    Setup("digits, packing", digits, partial(conv, 16, width=24), 2000, stabilizers=with_one(Packing, 2)),
    Setup("digits, conditional, hinge", partial(digits, labels=True),
          partial(conv, 16, width=24, objective=Hinge(), num_classes=10), 2000),
    Setup("digits 24, wider", partial(digits, size=24), partial(conv, 24, width=24), 1800),
    Setup("digits, replay, average", digits, partial(conv, 16, width=24), 2000,
          stabilizers=lambda: [ExperienceReplay(), GeneratorEMA(0.99)]),
    Setup("ring of 7, sharp", partial(ring, num_modes=7), plain, 3000, DROPS),
    Setup("ring of 4, least squares, sharp", partial(ring, num_modes=4), partial(plain, 8, LeastSquares()), 3000,
          DROPS),
    Setup("grid of 4, sharp", partial(grid, side=2), plain, 3000, DROPS),
    Setup("ring of 9, radius 3, sharp", partial(ring, num_modes=9, radius=3.0), partial(plain, 24), 3000, DROPS),
    Setup("ring of 5, tiny G", partial(ring, num_modes=5, radius=2.0), partial(plain, 1, g={"width": 2, "depth": 1}),
          2500, DROPS),
    Setup("ring of 7, chase", partial(ring, num_modes=7, radius=2.0, batch_size=128), chase, 3000, CHASES),
    Setup("grid of 16, chase", partial(grid, side=4, batch_size=128), chase, 3000, CHASES),
    Setup("ring of 4, chase", partial(ring, num_modes=4, radius=2.0, batch_size=128), partial(chase, rate=5e-4), 3000,
          CHASES),
    Setup("mnist 16, perceptrons, fast G", partial(mnist, size=16), partial(mlps, 2e-3, 1e-4, side=16), 1300,
          CHASES + FOOLED),
    Setup("ring of 6, minimax, D ahead", partial(ring, num_modes=6),
          partial(plain, 4, Minimax(), n_critic=5, **rates(1e-4, 5e-3)), 2500, TOO_FAST),
    Setup("grid of 4, fast D", partial(grid, side=2), partial(plain, **rates(1e-5, 1e-2)), 2000, TOO_FAST),
    Setup("ring of radius 6, hinge, D ahead", partial(ring, radius=6.0),
          partial(plain, 16, Hinge(), n_critic=5, **rates(1e-5, 1e-3)), 2500, TOO_FAST),
    Setup("mnist 20, minimax, 4 D steps", partial(mnist, size=20),
          partial(conv, 20, g=1e-4, d=2e-3, objective=Minimax(), d_norm=None, n_critic=4), 1100, TOO_FAST),
    Setup("digits 24, minimax, fast D", partial(digits, size=24),
          partial(conv, 24, g=1e-5, d=1e-2, objective=Minimax(), d_norm=None), 1500, TOO_FAST),
    Setup("mnist, least squares, fast D", mnist, partial(conv, g=1e-5, d=1e-2, objective=LeastSquares(), d_norm=None),
          1100, TOO_FAST),
    Setup("digits, hinge, fast D", digits, partial(conv, 16, g=1e-6, d=1e-2, objective=Hinge(), d_norm=None), 1500,
          TOO_FAST),
    Setup("ring of 4, hinge, labels exchanged", partial(ring, num_modes=4), partial(plain, 4, Hinge()), 1500, FOOLED,
          SWAPPED),
    Setup("grid of 16, least squares, labels exchanged", partial(grid, side=4), partial(plain, 8, LeastSquares()), 1500,
          FOOLED, SWAPPED),
    Setup("digits 24, RpGAN, labels exchanged", partial(digits, size=24), partial(conv, 24, objective=rpgan), 1500,
          FOOLED, SWAPPED),
    Setup("mnist, WGAN-GP, labels exchanged", mnist, partial(penalised, (1, 28, 28), 1e-3, latent_dim=64, width=8),
          1100, FOOLED, SWAPPED),
    Setup("grid of 4, D at rest", partial(grid, side=2), partial(plain, **rates(1e-3, 1e-7)), 1500, BLIND),
    Setup("ring of 7, hinge, D at rest", partial(ring, num_modes=7), partial(plain, 4, Hinge(), **rates(1e-3, 1e-7)),
          1500, BLIND),
    Setup("mnist 20, tiny slow D", partial(mnist, size=20), partial(conv, 20, g=2e-3, d=1e-5, d_width=1), 1100, BLIND),
    Setup("digits, RpGAN, D at rest", digits, partial(conv, 16, d=1e-7, objective=rpgan), 1500, BLIND),
    Setup("ring of 7, high rate", partial(ring, num_modes=7), partial(plain, **rates(0.1, 0.1)), 2000, WILD),
    Setup("grid of 4, Wasserstein, no bound", partial(grid, side=2), partial(plain, 4, Wasserstein()), 2000, WILD),
    Setup("digits 24, no norm, high rate", partial(digits, size=24), partial(conv, 24, g=2e-2, d=2e-2, **no_norm), 1500,
          WILD),
    Setup("mnist, RpGAN, no norm, high rate", mnist, partial(conv, g=3e-2, d=3e-2, objective=rpgan, **no_norm), 1100,
          WILD),
    Setup("grid of 4, least squares, float16", partial(grid, side=2), partial(plain, 8, LeastSquares()), 500, LOST,
          trainer=HALF_PRECISION),
    Setup("digits, hinge, float16", digits, partial(conv, 16, objective=Hinge()), 500, LOST, trainer=HALF_PRECISION),
    Setup("ring of 9, SGD, rate 2", partial(ring, num_modes=9),
          partial(plain, 16, LeastSquares(), **both(SGD, lr=2.0, momentum=0.7)), 500, LOST),
]  # fmt: skip
