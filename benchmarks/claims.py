"""Test whether each stabilizer does what its paper claims: one small experiment per claim, with and without it.

    python benchmarks/claims.py                  # all of them, 5 seeds; ten minutes on two CPU cores
    python benchmarks/claims.py --only ring      # claims whose text contains a word; printed, not written
    python benchmarks/claims.py --quick          # a smoke test; its figures mean nothing

The two runs of a claim share their seeds. A claim holds if the mean difference is on the expected side by more than two
of its standard errors, fails if it is as far on the other side, and is otherwise not resolved. The experiments:

- dirac: the Dirac-GAN of Mescheder et al., data at 0, a fake at theta, D(x) = psi x, (theta, psi) of length 1 at the
  start (its angle depends on the seed), minimax loss, plain SGD with rate 0.1, batches of 64, 500 steps. The figure is
  the largest |(theta, psi)| of the last 100 steps.
- gap: real points N(0, 0.01^2) and fake ones N(theta, 0.01^2) at theta = 1, which do not overlap; D is an MLP
  64-64 trained alone for 1,000 steps of Adam 1e-3. The figure is |dL_G / dtheta| of the minimax loss, or D's logit of
  real points, or how much its loss differs from that of a D trained at theta = 1/2 (the divergence of real and fake).
- ring: a ring of 8 Gaussians (radius 1, sigma 0.01) and a GAN with mode collapse: G 16-128-128-2, D 2-128-128-1, ReLU,
  He's weights, non-saturating loss, Adam 1e-3 (beta1 0.5) for both, batches of 64, 3,000 steps. The figure is the
  number of modes with a sample of high quality (within 3 sigma) among 2,500, with the share of these samples beside
  it, since the number of modes alone is misleading: a cloud of samples hits modes accidentally. Below 5 % the verdict
  says so.
- mode hopping: the ring of the unrolled GAN's paper (radius 2, sigma 0.02), where a plain GAN moves from one mode to
  the next: G 256-128-128-2, D 2-128-1 on x/4, orthogonal weights × 0.8, zero-sum loss, Adam 1e-3 (beta1 0.5) for both,
  batches of 128, 3,000 steps. The figure is how far samples of fixed latents move in 50 steps, over the last 1,000.
- code: the ring of radius 1 and a GAN that finds all modes: D with sines (fourier_frequencies 16), a one-hot code of
  256 in the latents, paired losses, InstanceNoise from 0.4 to 0 at 60 %; 2,000 steps. The figure is the share of
  high-quality samples.
- batch: an untrained generator with normalisation, one latent vector in 200 batches of 16. The figure is the
  spread of its sample over these batches, as a share of the spread among samples.
"""

import argparse
import csv
import math
import statistics
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from dirac import Point, Slope
from torch import Tensor, nn

from lightning_gans import GAN, Stabilizer
from lightning_gans.generation import showing
from lightning_gans.networks import GaussianWithCode, Generator, MLPDiscriminator, MLPGenerator
from lightning_gans.objectives import Minimax, NonSaturating, Objective, Relativistic, Wasserstein, ZeroSum
from lightning_gans.optimizers import SGD, Adam
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers import (
    CheckpointSwap,
    ExperienceReplay,
    FeatureMatching,
    GeneratorEMA,
    GradientNormalization,
    GradientPenalty,
    HistoricalAveraging,
    ImagePool,
    InstanceNoise,
    JSRegularizer,
    LabelFlipping,
    LabelSmoothing,
    LatentConsistency,
    LeCamRegularizer,
    MinibatchDiscrimination,
    MinibatchStdDev,
    Packing,
    R1Penalty,
    R2Penalty,
    SpectralNorm,
    TopK,
    VirtualBatchNorm,
    WeightClipping,
)

RESULTS = Path(__file__).parent / "results" / "claims.csv"
Figures = tuple[float, ...]
Experiment = Callable[[int, float], Figures]  # from a seed and a share of the full length to the figures


def add_stabilizers(gan: GAN, stabilizers: tuple[Stabilizer, ...]) -> GAN:
    gan.stabilizers += stabilizers
    for stabilizer in stabilizers:
        stabilizer.apply_to(gan)
    return gan


# ---------------------------------------------------------------- dirac


def dirac(
    *make: Callable[[], Stabilizer],
    objective: Objective = Minimax(),  # noqa: B008 - it has no state
    n_critic: int = 1,
    rates: tuple[float, float] = (0.1, 0.1),
    seed: int,
    length: float,
) -> Figures:
    angle = 2 * math.pi * (seed + 0.5) / 5
    gan = GAN(Point(math.cos(angle)), Slope(math.sin(angle)), objective, n_critic=n_critic)
    add_stabilizers(gan, tuple(one() for one in make))
    optimizers = [
        SGD(player.parameters(), lr=rate, momentum=0)
        for player, rate in zip((gan.generator, gan.discriminator), rates, strict=True)
    ]
    path = []
    for _ in range(max(20, int(500 * length)) * n_critic):
        gan.train_batch(torch.zeros(64, 1), *optimizers)
        path.append(math.hypot(gan.generator.theta.item(), gan.discriminator.head[0].weight.item()))
    return (max(path[-100:]),)


# ---------------------------------------------------------------- gap


class Shifted(Generator):
    """G(z) = theta + 0.01 z."""

    def __init__(self) -> None:
        super().__init__((1,), 1)
        self.theta = nn.Parameter(torch.ones(1))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.theta + 0.01 * z


def with_trained_discriminator(make: tuple[Callable[[], Stabilizer], ...], theta: float, length: float) -> GAN:
    """Return a GAN whose discriminator was trained against fakes at theta."""
    gan = GAN(Shifted(), MLPDiscriminator((1,), width=64, activation=nn.ReLU), Minimax())
    nn.init.constant_(gan.generator.theta, theta)
    add_stabilizers(gan, tuple(one() for one in make))
    optimizer = Adam(gan.discriminator.parameters(), lr=1e-3)
    for _ in range(max(5, int(1_000 * length))):
        gan.update("discriminator", optimizer, 0.01 * torch.randn(128, 1))
    return gan


def gap(*make: Callable[[], Stabilizer], logit: bool = False, seed: int, length: float) -> Figures:
    gan = with_trained_discriminator(make, 1.0, length)
    if logit:
        return (gan.discriminator_step(0.01 * torch.randn(4_096, 1)).real_logits.mean().item(),)
    loss = gan.generator_step(0.01 * torch.randn(65_536, 1)).loss
    (slope,) = torch.autograd.grad(loss, gan.generator.theta)
    return (slope.abs().item(),)


def divergence(*make: Callable[[], Stabilizer], seed: int, length: float) -> Figures:
    gans = [with_trained_discriminator(make, theta, length) for theta in (1.0, 0.5)]
    far, near = (gan.discriminator_step(0.01 * torch.randn(65_536, 1)).loss.item() for gan in gans)
    return (abs(near - far),)


# ---------------------------------------------------------------- ring and code

MODES = torch.stack([torch.tensor([math.cos(a), math.sin(a)]) for a in (math.pi * k / 4 for k in range(8))])
SIGMA = 0.01


def real(num: int) -> Tensor:
    return MODES[torch.randint(8, (num,))] + SIGMA * torch.randn(num, 2)


def score(gan: GAN) -> tuple[float, float]:
    """Return the number of modes and the percentage of high-quality samples, with the evaluation weights."""
    with torch.no_grad(), showing(gan):
        distance, nearest = torch.cdist(gan.generate(2_500), MODES).min(1)
    good = distance < 3 * SIGMA
    return float(len(nearest[good].unique())), 100 * good.double().mean().item()


def ring(
    *make: Callable[[], Stabilizer],
    generator_lr: float = 1e-3,
    discriminator_lr: float = 1e-3,
    seed: int,
    length: float,
) -> Figures:
    gan = GAN(MLPGenerator((2,), 16), MLPDiscriminator((2,), activation=nn.ReLU), NonSaturating())
    add_stabilizers(gan, tuple(one() for one in make))
    optimizers = [
        Adam(player.parameters(), lr=rate)
        for player, rate in ((gan.generator, generator_lr), (gan.discriminator, discriminator_lr))
    ]
    for _ in range(max(5, int(3_000 * length))):
        gan.train_batch(real(64), *optimizers)
    return score(gan)


def mode_hopping(*make: Callable[[], Stabilizer], seed: int, length: float) -> Figures:
    networks = (
        MLPGenerator((2,), 256, orthogonal_gain=0.8),
        MLPDiscriminator((2,), depth=1, activation=nn.ReLU, input_scale=0.25, orthogonal_gain=0.8),
    )
    gan = add_stabilizers(GAN(*networks, ZeroSum()), tuple(one() for one in make))
    optimizers = [Adam(player.parameters(), lr=1e-3) for player in (gan.generator, gan.discriminator)]
    z, samples = torch.randn(512, 256), []
    steps = max(100, int(3_000 * length))
    for step in range(steps):
        gan.train_batch(2 * real(128), *optimizers)
        if step >= steps - 1_000 and step % 50 == 0:
            with torch.no_grad():
                samples.append(gan(z))
    distances = [(after - before).norm(dim=1).mean().item() for before, after in pairwise(samples)]
    return (statistics.mean(distances),)


def code(*make: Callable[[], Stabilizer], seed: int, length: float) -> Figures:
    gan = GAN(
        MLPGenerator((2,), GaussianWithCode(), depth=3), MLPDiscriminator((2,), fourier_frequencies=16), Relativistic()
    )
    noise = InstanceNoise(Linear(0.4, 0.0, 1_200))
    add_stabilizers(gan, (noise, *(one() for one in make)))
    optimizers = [
        Adam(player.parameters(), lr=rate, beta1=0.0)
        for player, rate in ((gan.generator, 2e-4), (gan.discriminator, 2e-3))
    ]
    for _ in range(max(5, int(2_000 * length))):
        gan.train_batch(real(256), *optimizers)
    return score(gan)[::-1]


# ---------------------------------------------------------------- batch


def batch(*make: Callable[[], Stabilizer], seed: int, length: float) -> Figures:
    gan = GAN(MLPGenerator((2,), 16, norm=nn.BatchNorm1d), MLPDiscriminator((2,), norm=nn.BatchNorm1d), NonSaturating())
    add_stabilizers(gan, tuple(one() for one in make))
    with torch.no_grad():
        fixed = torch.randn(1, 16)
        batches = [gan(torch.cat([fixed, torch.randn(15, 16)])) for _ in range(200)]
    spread = torch.stack([samples[0] for samples in batches]).std(0).mean()
    return ((spread / torch.cat(batches).std(0).mean()).item(),)


# ---------------------------------------------------------------- claims


@dataclass
class Claim:
    """A published claim, and the two experiments that test it."""

    text: str
    source: str
    figure: str
    expected: str  # "lower" or "higher" with the stabilizer
    without: Experiment
    with_it: Experiment
    beside: str = ""


def experiment(run: Callable[..., Figures], *make: Callable[[], Stabilizer], **settings: object) -> Experiment:
    return lambda seed, length: run(*make, **settings, seed=seed, length=length)


PLAIN_RING, PLAIN_DIRAC, PLAIN_HOPPING = experiment(ring), experiment(dirac), experiment(mode_hopping)


def on_ring(text: str, source: str, *make: Callable[[], Stabilizer], **settings: object) -> Claim:
    text = f"{text} makes a collapsed generator more diverse"
    return Claim(text, source, "ring: modes", "higher", PLAIN_RING, experiment(ring, *make, **settings), "HQ %")


def on_dirac(text: str, source: str, *make: Callable[[], Stabilizer], **settings: object) -> Claim:
    return Claim(text, source, "dirac: distance at the end", "lower", PLAIN_DIRAC, experiment(dirac, *make, **settings))


def on_mode_hopping(text: str, source: str, *make: Callable[[], Stabilizer]) -> Claim:
    return Claim(text, source, "mode hopping: distance moved", "lower", PLAIN_HOPPING, experiment(mode_hopping, *make))


SALIMANS, MESCHEDER, PACGAN = "Salimans 2016, 1606.03498", "Mescheder 2018, 1801.04406", "Lin 2018, 1712.04086"
CHINTALA = "Chintala 2016, ganhacks"
CLAIMS = [
    Claim(
        "InstanceNoise(0.5) gives the generator a gradient where supports do not overlap",
        "Sonderby 2016, 1610.04490",
        "gap: generator's gradient",
        "higher",
        experiment(gap),
        experiment(gap, partial(InstanceNoise, 0.5)),
    ),
    Claim(
        "LabelFlipping(0.1) gives the generator no gradient where supports do not overlap",
        "Huszar 2016; Sonderby 2016, 1610.04490",
        "gap: generator's gradient",
        "lower",
        experiment(gap),
        experiment(gap, partial(LabelFlipping, 0.1)),
    ),
    Claim(
        "InstanceNoise(0.5) makes the divergence depend on the distance of the supports",
        "Sonderby 2016, 1610.04490",
        "gap: change of D's loss from theta = 1 to 1/2",
        "higher",
        experiment(divergence),
        experiment(divergence, partial(InstanceNoise, 0.5)),
    ),
    Claim(
        "LabelFlipping(0.1) leaves the divergence constant, unlike InstanceNoise",
        "Huszar 2016; Sonderby 2016, 1610.04490",
        "gap: change of D's loss from theta = 1 to 1/2, against InstanceNoise(0.5)",
        "lower",
        experiment(divergence, partial(InstanceNoise, 0.5)),
        experiment(divergence, partial(LabelFlipping, 0.1)),
    ),
    Claim(
        "LabelSmoothing(0.9) bounds the logits of real samples (at ln 9 = 2.20)",
        SALIMANS,
        "gap: D's logit of real samples",
        "lower",
        experiment(gap, logit=True),
        experiment(gap, LabelSmoothing, logit=True),
    ),
    on_dirac("R1Penalty(1) makes the Dirac-GAN converge", MESCHEDER, partial(R1Penalty, 1.0)),
    on_dirac(
        "R1Penalty(1, sigma=0.01), without a double backward, makes the Dirac-GAN converge",
        "Lin 2025, 2501.08316",
        partial(R1Penalty, 1.0, sigma=0.01),
    ),
    on_dirac("R2Penalty(1) makes the Dirac-GAN converge", MESCHEDER, partial(R2Penalty, 1.0)),
    Claim(
        "LeCamRegularizer(0.3) keeps D from being sure of real samples",
        "Tseng 2021, 2104.03310",
        "gap: D's logit of real samples",
        "lower",
        experiment(gap, logit=True),
        experiment(gap, LeCamRegularizer, logit=True),
    ),
    on_dirac("InstanceNoise(0.7) makes the Dirac-GAN converge", MESCHEDER, partial(InstanceNoise, 0.7)),
    on_dirac("JSRegularizer(1) makes the Dirac-GAN converge", "Roth 2017, 1705.09367", partial(JSRegularizer, 1.0)),
    Claim(
        "WeightClipping(1) does not make the Wasserstein Dirac-GAN converge, R1Penalty(1) does",
        MESCHEDER,
        "dirac: distance at the end",
        "lower",
        experiment(dirac, partial(WeightClipping, 1.0), objective=Wasserstein(), n_critic=5),
        experiment(dirac, partial(R1Penalty, 1.0), objective=Wasserstein(), n_critic=5),
    ),
    Claim(
        "GradientPenalty(1) does not make the Wasserstein Dirac-GAN converge, R1Penalty(1) does",
        MESCHEDER,
        "dirac: distance at the end",
        "lower",
        experiment(dirac, partial(GradientPenalty, 1.0), objective=Wasserstein(), n_critic=5),
        experiment(dirac, partial(R1Penalty, 1.0), objective=Wasserstein(), n_critic=5),
    ),
    on_dirac("ExperienceReplay damps the Dirac-GAN's oscillation", CHINTALA, partial(ExperienceReplay, 3_200)),
    on_dirac("ImagePool damps the Dirac-GAN's oscillation", "Shrivastava 2017, 1612.07828", partial(ImagePool, 3_200)),
    on_dirac("CheckpointSwap damps the Dirac-GAN's oscillation", CHINTALA, partial(CheckpointSwap, 10, 10, 0.1, 5)),
    on_dirac(
        "HistoricalAveraging(0.2) converges where gradient descent oscillates",
        SALIMANS,
        partial(HistoricalAveraging, 0.2, 0.2),
    ),
    on_mode_hopping("ExperienceReplay slows mode hopping", CHINTALA, partial(ExperienceReplay, 20_000)),
    on_mode_hopping("ImagePool slows mode hopping", "Shrivastava 2017, 1612.07828", partial(ImagePool, 10_000)),
    on_mode_hopping("CheckpointSwap slows mode hopping", CHINTALA, partial(CheckpointSwap, 100, 20, 0.1, 10)),
    on_mode_hopping("HistoricalAveraging(0.1) slows mode hopping", SALIMANS, partial(HistoricalAveraging, 0.1, 0.1)),
    Claim(
        "VirtualBatchNorm makes a sample independent of its batch, unlike BatchNorm",
        SALIMANS,
        "batch: share of the spread",
        "lower",
        experiment(batch),
        experiment(batch, VirtualBatchNorm),
    ),
    on_ring("MinibatchDiscrimination", SALIMANS, MinibatchDiscrimination),
    on_ring("MinibatchStdDev", "Karras 2018, 1710.10196", MinibatchStdDev),
    on_ring("Packing(2)", PACGAN, partial(Packing, 2)),
    on_ring("Packing(4)", PACGAN, partial(Packing, 4)),
    on_ring(
        "InstanceNoise (0.3 to 0 at half)", "Sonderby 2016, 1610.04490", partial(InstanceNoise, Linear(0.3, 0.0, 1_500))
    ),
    on_ring("R1Penalty(1)", MESCHEDER, partial(R1Penalty, 1.0)),
    on_ring("GradientPenalty(1)", "Gulrajani 2017, 1704.00028", partial(GradientPenalty, 1.0)),
    on_ring("SpectralNorm", "Miyato 2018, 1802.05957", SpectralNorm),
    on_ring("GradientNormalization", "Wu 2021, 2109.02235", GradientNormalization),
    on_ring("FeatureMatching", SALIMANS, FeatureMatching),
    on_ring("TTUR (G 1e-4, D 1e-3)", "Heusel 2017, 1706.08500", generator_lr=1e-4),
    on_ring("LabelSmoothing", SALIMANS, LabelSmoothing),
    on_ring("LatentConsistency", "Zhao 2021, 2002.04724", LatentConsistency),
    on_ring("ExperienceReplay", CHINTALA, ExperienceReplay),
    Claim(
        "TopK (1 to 0.5 at half) raises the share of high-quality samples",
        "Sinha 2020, 2002.06224",
        "code: HQ %",
        "higher",
        experiment(code),
        experiment(code, partial(TopK, Linear(1.0, 0.5, 1_000))),
        "modes",
    ),
    Claim(
        "GeneratorEMA (half-life 100) raises the share of high-quality samples",
        "Yazici 2019, 1806.04498",
        "code: HQ %",
        "higher",
        experiment(code),
        experiment(code, partial(GeneratorEMA, 100.0)),
        "modes",
    ),
]


def run(place: int, with_it: bool, seed: int, length: float) -> tuple[int, bool, int, Figures]:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    torch.manual_seed(seed)
    claim = CLAIMS[place]
    return place, with_it, seed, (claim.with_it if with_it else claim.without)(seed, length)


def error(values: list[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def verdict(claim: Claim, without: list[Figures], with_it: list[Figures]) -> str:
    sign = 1 if claim.expected == "higher" else -1
    gains = [sign * (after[0] - before[0]) for before, after in zip(without, with_it, strict=True)]
    gain, margin = statistics.mean(gains), 2 * error(gains)
    if gain > margin:
        cloud = claim.beside == "HQ %" and statistics.mean(figures[1] for figures in with_it) < 5
        return "holds, as a cloud" if cloud else "holds"
    return "fails" if gain < -margin else "not resolved"


def shown(values: list[float]) -> str:
    return f"{statistics.mean(values):.3g} ± {error(values):.2g}"


def main(arguments: argparse.Namespace) -> None:
    length = 0.01 if arguments.quick else 1.0
    seeds = range(2 if arguments.quick else arguments.seeds)
    chosen = [
        place for place, claim in enumerate(CLAIMS) if arguments.only.lower() in f"{claim.text} {claim.figure}".lower()
    ]
    first: dict[Experiment, tuple[int, bool]] = {}  # the first place of an experiment; several claims may share it
    for place in chosen:
        first.setdefault(CLAIMS[place].without, (place, False))
        first.setdefault(CLAIMS[place].with_it, (place, True))
    jobs = [(*where, seed, length) for where in first.values() for seed in seeds]
    results: dict[tuple[int, bool], dict[int, Figures]] = {}
    with ProcessPoolExecutor(arguments.workers) as pool:
        for number, done in enumerate(as_completed([pool.submit(run, *job) for job in jobs]), 1):
            place, with_it, seed, figures = done.result()
            results.setdefault((place, with_it), {})[seed] = figures
            if number % 20 == 0 or number == len(jobs):
                print(f"{number} of {len(jobs)} runs", file=sys.stderr, flush=True)
    rows = []
    print(f"{len(seeds)} seeds, mean ± standard error")
    for place in chosen:
        claim = CLAIMS[place]
        pair = (claim.without, claim.with_it)
        without, with_it = ([results[first[one]][seed] for seed in seeds] for one in pair)
        means = [[figures[0] for figures in side] for side in (without, with_it)]
        beside = [
            f"{claim.beside} {shown([figures[1] for figures in side])}" if claim.beside else ""
            for side in (without, with_it)
        ]
        row = [claim.text, claim.source, claim.figure, shown(means[0]), beside[0], shown(means[1]), beside[1]]
        rows.append([*row, verdict(claim, without, with_it), len(seeds)])
        print(
            f"{claim.text}  [{claim.source}]\n    {claim.figure}: {row[3]} {row[4]} → {row[5]} {row[6]}: {rows[-1][-2]}"
        )
    if arguments.quick or arguments.only:
        return
    header = ["claim", "source", "figure", "without", "beside it", "with", "beside it", "verdict", "seeds", "torch"]
    with open(RESULTS, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *([*row, torch.__version__] for row in rows)])
    print(f"written to {RESULTS.relative_to(Path(__file__).parents[1])}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="claims whose text or experiment contains this")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--quick", action="store_true")
    main(parser.parse_args())
