"""What is wrong with a game, told from its readings: the states, the rules, and what is recommended against each."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lightning_gans.callbacks.health.readings import Reading

WINDOW = 5  # readings whose median counts
MEMORY = 20  # earlier readings, than all of which the samples must be closer to the data for a game to learn


@dataclass(frozen=True)
class Remedy:
    """What a source recommends, and how to do it here.

    Attributes:
        advice: what to do, with the source.
        option: what to add to the command line.
        present: classes of the game, or precisions of the Trainer, beside which the advice is empty.
    """

    advice: str
    option: str
    present: tuple[str, ...] = ()


@dataclass(frozen=True)
class State:
    """A state of the game.

    Attributes:
        name: what the field calls it.
        remedies: what is recommended against it, the most likely to help first.
    """

    name: str
    remedies: tuple[Remedy, ...] = ()

    def advice(self, present: Iterable[str] = (), at_most: int = 3) -> list[str]:
        """The remedies that are still open to a game which has these classes and this precision, in words."""
        open_to_it = [remedy for remedy in self.remedies if not set(present) & set(remedy.present)]
        return [f"{remedy.advice}: {remedy.option}" for remedy in open_to_it[:at_most]]


def _file(name: str) -> str:
    return f"--config configs/stabilizers/{name}.yaml"


_GRADIENT_PENALTY = Remedy(
    "bound D's slope (Gulrajani 2017, arXiv 1704.00028)", _file("gradient_penalty"), ("GradientPenalty",)
)
_R1 = Remedy("flatten D at real samples (Mescheder 2018, arXiv 1801.04406)", _file("r1_penalty"), ("R1Penalty",))
_NOISE = Remedy(
    "give both kinds of samples noise, so that they overlap (Sønderby 2016, arXiv 1610.04490)",
    _file("instance_noise"),
    ("InstanceNoise",),
)
_SPECTRAL_NORM = Remedy(
    "normalise D's weights (Miyato 2018, arXiv 1802.05957)", _file("spectral_norm"), ("SpectralNorm",)
)
_WIDE = ("32-true", "64-true", "bf16-mixed", "bf16-true")  # precisions with the range of float32, or beyond
_CLIP = Remedy("clip D's gradient (Pascanu 2013, arXiv 1211.5063)", "--model.discriminator_clip 1.0")

HEALTHY = State("healthy")
MODE_COLLAPSE = State(
    "mode collapse (hard)",
    (
        Remedy("let D judge several samples at once (Lin 2018, arXiv 1712.04086)", _file("packing"), ("Packing",)),
        Remedy(
            "show D how much a batch varies (Karras 2018, arXiv 1710.10196)",
            _file("minibatch_stddev"),
            ("MinibatchStdDev",),
        ),
        _NOISE,
        Remedy(
            "give the latents a one-hot code, or look ahead (Metz 2017, arXiv 1611.02163)",
            "--config configs/mixed_ring.yaml and configs/unrolled_ring.yaml show how",
            ("UnrolledGAN",),
        ),
    ),
)
SOFT_COLLAPSE = State(
    "soft collapse / oscillation",
    (
        _R1,
        Remedy("look some of D's steps ahead (Metz 2017, arXiv 1611.02163)", "--model UnrolledGAN", ("UnrolledGAN",)),
        Remedy(
            "lower both learning rates, G's more (Heusel 2017, arXiv 1706.08500)",
            "--model.generator_optimizer.lr and --model.discriminator_optimizer.lr",
        ),
        Remedy("average the generator (Yazıcı 2019, arXiv 1806.04498)", _file("generator_ema"), ("GeneratorEMA",)),
    ),
)
VANISHING_GRADIENT = State(
    "vanishing generator gradient (D too strong)",
    (
        Remedy(
            "let G maximise D(G(z)) (Goodfellow 2014, arXiv 1406.2661)",
            "--model.objective NonSaturating",
            ("NonSaturating",),
        ),
        _NOISE,
        Remedy(
            "a loss that does not saturate, with a bounded D (Gulrajani 2017, arXiv 1704.00028)",
            f"--model.objective Wasserstein {_file('gradient_penalty')}",
            ("Wasserstein",),
        ),
        Remedy(
            "lower D's learning rate, or fewer of its steps (Heusel 2017, arXiv 1706.08500)",
            "--model.discriminator_optimizer.lr, --model.n_critic 1",
        ),
    ),
)
WEAK_DISCRIMINATOR = State(
    "D too weak (generator fools it with garbage)",
    (
        Remedy("look whether real and fake targets are exchanged", "the code of your own steps and stabilizers"),
        Remedy("raise D's learning rate (Heusel 2017, arXiv 1706.08500)", "--model.discriminator_optimizer.lr"),
        Remedy("more of D's steps for each of G's (Arjovsky 2017, arXiv 1701.07875)", "--model.n_critic 5"),
        Remedy("a larger D", "its width or depth"),
    ),
)
EXPLODING_GRADIENTS = State(
    "exploding gradients",
    (
        _GRADIENT_PENALTY,
        _SPECTRAL_NORM,
        _CLIP,
        Remedy("lower both learning rates", "--model.generator_optimizer.lr and --model.discriminator_optimizer.lr"),
    ),
)
NOT_A_NUMBER = State(
    "not a number",
    (
        Remedy("bfloat16 or float32 in place of float16", "--trainer.precision bf16-mixed", _WIDE),
        Remedy("lower both learning rates", "--model.generator_optimizer.lr and --model.discriminator_optimizer.lr"),
        _CLIP,
        Remedy("find where it begins", "--trainer.detect_anomaly true"),
    ),
)
STATES = (
    HEALTHY,
    MODE_COLLAPSE,
    SOFT_COLLAPSE,
    VANISHING_GRADIENT,
    WEAK_DISCRIMINATOR,
    EXPLODING_GRADIENTS,
    NOT_A_NUMBER,
)


@dataclass(frozen=True)
class Thresholds:
    """Where the rules draw their lines, over medians of five readings; see `Reading` for the figures.

    `benchmarks/failure_monitor.py` set them on some games and reports on others.

    Attributes:
        poor_energy: energy above which samples are far from the data, whatever the losses say.
        collapsed_energy: energy above which missing variety is a collapse.
        collapsed_diversity: diversity below which it is one.
        lost_diversity: diversity below which samples have collapsed that were twice as close to the data before.
        progress: share by which the energy must fall below that of the twenty readings before, to count as learning.
        noise: fall of the energy that may be chance.
        shift: shift above which the distribution of fakes goes somewhere else between readings.
        movement: movement above which it does.
        standstill: movement below which the generator has stopped.
        fooled_separation: separation below which D takes fakes for real.
        inverted_separation: separation below which D always does, which no progress of the samples excuses.
        blind_advantage: advantage below which D cannot tell the kinds apart.
        perfect_separation: separation above which D always can.
        perfect_advantage: advantage above which its loss has vanished.
        saturated_pull: pull below which the generator's loss has saturated.
        missed_coverage: coverage below which the fakes miss the data, where D is perfect.
        lacking_coverage: coverage below which fakes that stand still lack some of the data.
        exploded_gradient: norm of either gradient, slope of D, or size of a loss, above which it has exploded.
        exploded_diversity: diversity above which the samples have exploded.
    """

    poor_energy: float = 0.15
    collapsed_energy: float = 0.2
    collapsed_diversity: float = 0.7
    lost_diversity: float = 0.8
    progress: float = 0.15
    noise: float = 0.02
    shift: float = 0.3
    movement: float = 0.25
    standstill: float = 0.05
    fooled_separation: float = 0.35
    inverted_separation: float = 0.05
    blind_advantage: float = 0.03
    perfect_separation: float = 0.98
    perfect_advantage: float = 0.85
    saturated_pull: float = 0.1
    missed_coverage: float = 0.05
    lacking_coverage: float = 0.15
    exploded_gradient: float = 100.0
    exploded_diversity: float = 3.0


def diagnose(readings: Sequence[Reading], thresholds: Thresholds = Thresholds()) -> tuple[State, str]:
    """The state of a game after its last reading, and the evidence in words.

    Rules count medians of the last five readings. But for numbers that are none, and a discriminator that always
    prefers fakes, they hold only while the fakes are not closer to the data than in all of the twenty readings before:
    a game that still learns is healthy. The first that applies names the state.

    Reference:
        Goodfellow, NIPS 2016 Tutorial: Generative Adversarial Networks, 2016, arXiv 1701.00160, and the sources of
        `Reading`; the gradient norm of 100 and the loss that falls while samples are garbage: Chintala et al., How to
        Train a GAN, 2016.
    """
    last, t = readings[-1], thresholds
    if not last.finite:
        losses = f"L_D {last.discriminator_loss:.3g}, L_G {last.generator_loss:.3g}"
        return NOT_A_NUMBER, f"losses, logits or samples are no numbers any more ({losses})"
    if len(readings) < 2 * WINDOW:
        return HEALTHY, "too early to tell"
    m = _Medians(readings[-WINDOW:])
    far = f"the samples are far from the data (energy {m.energy:.2f} of 1)"
    fooled = f"D takes fakes for real in {1 - m.separation:.0%} of pairs, while {far}"
    if m.separation < t.inverted_separation and m.energy > t.poor_energy:
        return WEAK_DISCRIMINATOR, fooled
    before = _lowest_energy(readings[-MEMORY - WINDOW : -WINDOW])
    if before - m.energy > max(t.progress * before, t.noise):
        return HEALTHY, f"the samples come closer to the data (energy {before:.2g} before, {m.energy:.2g} now)"
    sizes = [
        (abs(value), name)
        for value, name in (
            (m.discriminator_gradient, "D's gradient norm"),
            (m.generator_gradient, "G's gradient norm"),
            (m.discriminator_loss, "D's loss"),
        )
        if not math.isnan(value)
    ]
    largest, name = max(sizes, default=(0.0, ""))
    steep = max(m.real_slope, m.fake_slope) > t.exploded_gradient
    missed = m.energy > t.poor_energy / 2 or m.coverage < t.missed_coverage
    moves = m.shift > t.shift and m.movement > t.movement
    if m.separation < t.fooled_separation and m.energy > t.poor_energy and not steep:
        return WEAK_DISCRIMINATOR, fooled
    if largest > t.exploded_gradient and m.energy > t.poor_energy / 2:
        return EXPLODING_GRADIENTS, f"{name} is {largest:.3g}, and the samples do not improve"
    if m.energy > t.poor_energy and m.diversity > t.exploded_diversity:
        return EXPLODING_GRADIENTS, f"fakes vary {m.diversity:.3g} times as much as the data, and {far}"
    ahead = (
        f"D is right in {m.separation:.1%} of pairs, G's loss pulls with {m.pull:.2g}, and the samples do not improve"
    )
    saturated = m.pull < t.saturated_pull
    certain = (m.advantage > t.perfect_advantage and not moves) or saturated
    if m.separation > t.perfect_separation and certain and missed and not math.isnan(m.advantage):
        return VANISHING_GRADIENT, ahead
    stands = m.movement < t.standstill
    if stands and m.energy > t.poor_energy / 2 and m.pull < 2.5 * t.saturated_pull:
        return VANISHING_GRADIENT, ahead
    if moves and m.energy > t.poor_energy:
        return SOFT_COLLAPSE, (
            f"{m.shift:.0%} of the fakes' distribution goes elsewhere from one reading to the next, and {far}"
        )
    if m.energy > t.collapsed_energy and m.diversity < t.collapsed_diversity:
        return MODE_COLLAPSE, f"fakes vary {m.diversity:.2f} times as much as the data, and {far}"
    if m.energy > t.collapsed_energy / 2 and m.diversity < t.lost_diversity:
        best = _lowest_energy(readings)
        if m.energy > 2 * best:
            return MODE_COLLAPSE, (
                f"fakes vary {m.diversity:.2f} times as much as the data, from which they go away again (energy "
                f"{best:.2g} at best, {m.energy:.2g} now)"
            )
    if m.advantage < t.blind_advantage and m.energy > t.collapsed_energy:
        return WEAK_DISCRIMINATOR, f"D's loss is that of a guess, while {far}"
    if stands and m.energy > t.poor_energy / 3 and m.coverage < t.lacking_coverage:
        return MODE_COLLAPSE, f"the generator stands still, and {far}"
    return HEALTHY, f"energy {m.energy:.2g}, diversity {m.diversity:.2f}, D right in {m.separation:.0%} of pairs"


def _lowest_energy(readings: Sequence[Reading]) -> float:
    """The lowest that the median energy of successive readings has been."""
    medians = [_Medians(readings[end - WINDOW : end]).energy for end in range(WINDOW, len(readings) + 1)]
    return min((median for median in medians if not math.isnan(median)), default=math.nan)


class _Medians:
    """The medians of readings, by name; NaN where there is none, which no rule takes for a failure."""

    def __init__(self, readings: Sequence[Reading]):
        self._readings = readings

    def __getattr__(self, name: str) -> float:
        values = [getattr(reading, name) for reading in self._readings]
        values = [value for value in values if not math.isnan(value)]
        return statistics.median(values) if values else math.nan
