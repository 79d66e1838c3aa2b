"""What is wrong with a training, by rules that are tried in order on its last readings."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from functools import cached_property

from lightning_gans.callbacks.health.readings import CAPTIONS, Reading
from lightning_gans.callbacks.health.states import (
    EXPLODING_GRADIENTS,
    HEALTHY,
    MODE_COLLAPSE,
    NON_FINITE,
    SOFT_COLLAPSE,
    VANISHING_GRADIENT,
    WEAK_DISCRIMINATOR,
    State,
)
from lightning_gans.callbacks.health.thresholds import Thresholds

WINDOW = 5  # readings whose median the rules see
MEMORY = 20  # earlier readings; while samples are closer to the data than in all of them, a GAN learns
FEWEST = 2 * WINDOW  # readings before which it is too early to tell

Finding = tuple[State, str]
"""A state and the evidence for it, in words."""


class Signs:
    """What the rules see of a training.

    Attributes:
        readings: all readings, the last one last.
        now: the median of each figure over the last five readings; NaN where none of them has it, which no rule
            takes for a failure.
    """

    def __init__(self, readings: Sequence[Reading]):
        self.readings = readings
        last = readings[-WINDOW:]
        medians = {name: _median([getattr(reading, name) for reading in last]) for name in CAPTIONS}
        self.now = Reading(last[-1].batch, **medians)

    @cached_property
    def energy_before(self) -> float:
        """The lowest median energy of the twenty readings before the last five."""
        return _lowest_energy(self.readings[-MEMORY - WINDOW : -WINDOW])

    @cached_property
    def lowest_energy(self) -> float:
        """The lowest median energy of all readings."""
        return _lowest_energy(self.readings)

    @property
    def far(self) -> str:
        """How far the samples are from the data, in words."""
        return f"the samples are far from the data (energy {self.now.energy:.2f} of 1)"

    def is_moving(self, t: Thresholds) -> bool:
        """Whether the whole distribution of fakes moves between readings."""
        return self.now.shift > t.shift and self.now.movement > t.movement


def _median(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return statistics.median(known) if known else math.nan


def _lowest_energy(readings: Sequence[Reading]) -> float:
    energies = [reading.energy for reading in readings]
    medians = [_median(energies[end - WINDOW : end]) for end in range(WINDOW, len(energies) + 1)]
    return min((median for median in medians if not math.isnan(median)), default=math.nan)


# ---------------------------------------------------------------- the rules


def inverted_discriminator(s: Signs, t: Thresholds) -> Finding | None:
    """Detect a D that gives fakes the higher logit in nearly every pair, though they are far from the data."""
    if s.now.separation < t.inverted_separation and s.now.energy > t.poor_energy:
        return WEAK_DISCRIMINATOR, _fooled(s)
    return None


def progress(s: Signs, t: Thresholds) -> Finding | None:
    """Detect samples that come closer to the data: a GAN that learns is healthy, and no later rule applies."""
    if s.energy_before - s.now.energy > max(t.progress * s.energy_before, t.noise):
        return HEALTHY, (
            f"the samples come closer to the data (energy {s.energy_before:.2g} before, {s.now.energy:.2g} now)"
        )
    return None


def fooled_discriminator(s: Signs, t: Thresholds) -> Finding | None:
    """Detect a D that takes fakes far from the data for real, and is not steep, which would be an explosion."""
    steep = max(s.now.real_slope, s.now.fake_slope) > t.exploded_gradient
    if s.now.separation < t.fooled_separation and s.now.energy > t.poor_energy and not steep:
        return WEAK_DISCRIMINATOR, _fooled(s)
    return None


def exploded_gradient(s: Signs, t: Thresholds) -> Finding | None:
    """Detect a gradient norm or a loss of D that is far too large, while the samples are not near the data."""
    sizes = {
        "D's gradient norm": s.now.discriminator_gradient,
        "G's gradient norm": s.now.generator_gradient,
        "D's loss": s.now.discriminator_loss,
    }
    known = [(abs(size), name) for name, size in sizes.items() if not math.isnan(size)]
    largest, name = max(known, default=(0.0, ""))
    if largest > t.exploded_gradient and s.now.energy > t.exploded_energy:
        return EXPLODING_GRADIENTS, f"{name} is {largest:.3g}, and the samples do not improve"
    return None


def exploded_samples(s: Signs, t: Thresholds) -> Finding | None:
    """Detect samples that vary much more than the data."""
    if s.now.energy > t.poor_energy and s.now.diversity > t.exploded_diversity:
        return EXPLODING_GRADIENTS, f"fakes vary {s.now.diversity:.3g} times as much as the data, and {s.far}"
    return None


def perfect_discriminator(s: Signs, t: Thresholds) -> Finding | None:
    """Detect a D that is always right, with a vanished loss or a saturated G, while the samples miss the data."""
    vanished = s.now.advantage > t.perfect_advantage and not s.is_moving(t)
    certain = vanished or s.now.pull < t.saturated_pull
    missed = s.now.energy > t.missed_energy or s.now.coverage < t.missed_coverage
    # no advantage: a loss without a scale, such as Wasserstein's, whose D is meant to be perfect
    if s.now.separation > t.perfect_separation and certain and missed and not math.isnan(s.now.advantage):
        return VANISHING_GRADIENT, _ahead(s)
    return None


def saturated_generator(s: Signs, t: Thresholds) -> Finding | None:
    """Detect a generator that no longer changes under a loss that has nearly saturated."""
    if s.now.movement < t.standstill and s.now.energy > t.weak_pull_energy and s.now.pull < t.weak_pull:
        return VANISHING_GRADIENT, _ahead(s)
    return None


def oscillation(s: Signs, t: Thresholds) -> Finding | None:
    """Detect a distribution that moves from reading to reading without coming near the data."""
    if s.is_moving(t) and s.now.energy > t.poor_energy:
        return SOFT_COLLAPSE, (
            f"the distribution of fakes shifts by {s.now.shift:.2f} of 1 from one reading to the next, and {s.far}"
        )
    return None


def collapse(s: Signs, t: Thresholds) -> Finding | None:
    """Detect samples of little variety, far from the data."""
    if s.now.energy > t.collapsed_energy and s.now.diversity < t.collapsed_diversity:
        return MODE_COLLAPSE, f"fakes vary {s.now.diversity:.2f} times as much as the data, and {s.far}"
    return None


def lost_variety(s: Signs, t: Thresholds) -> Finding | None:
    """Detect samples that lose variety and are farther from the data than they once were."""
    if not (s.now.energy > t.lost_energy and s.now.diversity < t.lost_diversity):
        return None
    if s.now.energy > t.lost_factor * s.lowest_energy:
        return MODE_COLLAPSE, (
            f"fakes vary {s.now.diversity:.2f} times as much as the data, and move away from it (energy "
            f"{s.lowest_energy:.2g} at best, {s.now.energy:.2g} now)"
        )
    return None


def blind_discriminator(s: Signs, t: Thresholds) -> Finding | None:
    """Detect a D that cannot tell fakes far from the data from real samples."""
    if s.now.advantage < t.blind_advantage and s.now.energy > t.collapsed_energy:
        return WEAK_DISCRIMINATOR, f"D's loss is no lower than that of a guess, while {s.far}"
    return None


def missing_modes(s: Signs, t: Thresholds) -> Finding | None:
    """Detect a generator that no longer changes while its samples lack much of the data."""
    still = s.now.movement < t.standstill
    if still and s.now.energy > t.lacking_energy and s.now.coverage < t.lacking_coverage:
        return MODE_COLLAPSE, f"the generator no longer changes, and {s.far}"
    return None


RULES: tuple[Callable[[Signs, Thresholds], Finding | None], ...] = (
    inverted_discriminator,
    progress,
    fooled_discriminator,
    exploded_gradient,
    exploded_samples,
    perfect_discriminator,
    saturated_generator,
    oscillation,
    collapse,
    lost_variety,
    blind_discriminator,
    missing_modes,
)
"""The first rule that finds something names the state."""


def diagnose(readings: Sequence[Reading], thresholds: Thresholds = Thresholds()) -> Finding:  # noqa: B008
    """Return the state of a training after its last reading, and the evidence in words.

    NaN or infinity in the last reading is named at once. Otherwise `RULES` see medians of the last five readings, and
    say nothing before there are ten. While the fakes are closer to the data than in all of the twenty readings before,
    only a D that always prefers fakes is a failure: a GAN that still learns is healthy.

    Reference:
        Goodfellow, NIPS 2016 Tutorial: Generative Adversarial Networks, 2016, arXiv 1701.00160, and the sources of
        `Reading`; the gradient norm of 100 and the loss that falls while samples are garbage: Chintala et al., How to
        Train a GAN, 2016.
    """
    last = readings[-1]
    if not last.finite:
        losses = f"L_D {last.discriminator_loss:.3g}, L_G {last.generator_loss:.3g}"
        return NON_FINITE, f"losses, logits or samples are NaN or infinite ({losses})"
    if len(readings) < FEWEST:
        return HEALTHY, "too early to tell"
    signs = Signs(readings)
    for rule in RULES:
        finding = rule(signs, thresholds)
        if finding is not None:
            return finding
    m = signs.now
    return HEALTHY, f"energy {m.energy:.2g}, diversity {m.diversity:.2f}, D right in {m.separation:.0%} of pairs"


def _fooled(s: Signs) -> str:
    return f"D takes fakes for real in {1 - s.now.separation:.0%} of pairs, while {s.far}"


def _ahead(s: Signs) -> str:
    return (
        f"D is right in {s.now.separation:.1%} of pairs, the pull of G's loss is {s.now.pull:.2g}, and the samples do "
        "not improve"
    )
