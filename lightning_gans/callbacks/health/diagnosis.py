"""What is wrong with a training, by rules that are tried in order on its last readings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from lightning_gans.callbacks.health import rules_of_samples
from lightning_gans.callbacks.health.readings import Reading
from lightning_gans.callbacks.health.signs import FEWEST, Finding, Signs
from lightning_gans.callbacks.health.states import (
    EXPLODING_GRADIENTS,
    HEALTHY,
    MEMORISING_DISCRIMINATOR,
    MODE_COLLAPSE,
    NON_FINITE,
    SOFT_COLLAPSE,
    VANISHING_GRADIENT,
    WEAK_DISCRIMINATOR,
)
from lightning_gans.callbacks.health.thresholds import Thresholds

_FALLING, _RISING = ("energy", "distance", "width", "missing", "imbalance"), ("coverage", "spread")
"""Figures that change as a GAN learns; each has a change that may be chance among the thresholds."""

_DISTANCES = ("energy", "distance", "coverage")
"""Those of all samples and all data."""

_OF_MODES = ("missing", "imbalance", "spread")
"""Those that are of the modes, among which samples are sorted however far they are."""

# ---------------------------------------------------------------- the rules


def inverted_discriminator(s: Signs, t: Thresholds) -> Finding | None:
    """Detect a D that gives fakes the higher logit in nearly every pair, though they are far from the data."""
    if s.now.separation < t.inverted_separation and s.now.energy > t.poor_energy:
        return WEAK_DISCRIMINATOR, _fooled(s)
    return None


def progress(s: Signs, t: Thresholds) -> Finding | None:
    """Detect samples that come closer to the data: a GAN that learns is healthy, and no later rule applies.

    Modes that are found, and others of their figures, count unless the samples as a whole are far and move away, or
    hardly any lies among real ones.
    """
    moves_away = s.now.energy > max(t.poor_energy, s.before("energy") + t.energy_noise)
    for name in (*_FALLING, *_RISING):
        if (moves_away and name not in _DISTANCES) or (s.are_unlike(t) and name in _OF_MODES):
            continue
        before, now = s.before(name, max if name in _RISING else min), getattr(s.now, name)
        gain = min(now, 1) - before if name in _RISING else before - now
        share = 0.0 if name in _RISING else t.progress * before
        if gain > max(share, getattr(t, f"{name}_noise")):
            return HEALTHY, f"the samples come closer to the data ({name} {before:.2g} before, {now:.2g} now)"
    return None


def fooled_discriminator(s: Signs, t: Thresholds) -> Finding | None:
    """Detect a D that takes fakes far from the data for real, and is not steep, which would be an explosion."""
    steep = max(s.now.real_slope, s.now.fake_slope) > t.exploded_gradient
    if s.now.separation < t.fooled_separation and s.now.energy > t.poor_energy and not steep:
        return WEAK_DISCRIMINATOR, _fooled(s)
    return None


def memorising_discriminator(s: Signs, t: Thresholds) -> Finding | None:
    """Detect a D that knows the training samples, and takes validation samples for fakes."""
    if s.now.memorised > t.memorised and s.now.separation > t.memorised_separation:
        return MEMORISING_DISCRIMINATOR, (
            f"D takes validation samples for fakes, {s.now.memorised:.0%} of the way from the training samples"
        )
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
    among_real_ones = not s.now.density < t.unlike_density  # else they are pale, or elsewhere
    if s.now.energy > t.collapsed_energy and s.now.diversity < t.collapsed_diversity and among_real_ones:
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


RULES: tuple[Callable[[Signs, Thresholds], Finding | None], ...] = (
    inverted_discriminator,
    rules_of_samples.one_sample,
    progress,
    fooled_discriminator,
    memorising_discriminator,
    exploded_gradient,
    exploded_samples,
    perfect_discriminator,
    saturated_generator,
    oscillation,
    rules_of_samples.repeated_samples,
    rules_of_samples.little_variety,
    rules_of_samples.other_contrast,
    collapse,
    lost_variety,
    blind_discriminator,
    *rules_of_samples.RULES,
)
"""The first rule that finds something names the state."""


OF_VARIETY = (
    rules_of_samples.one_sample,
    exploded_gradient,
    exploded_samples,
    saturated_generator,
    oscillation,
    rules_of_samples.repeated_samples,
    rules_of_samples.little_variety,
    rules_of_samples.same_in_features,
    rules_of_samples.ignored_latents,
    rules_of_samples.narrow_classes,
    collapse,
    lost_variety,
)
"""The rules for a generator that no discriminator compares with the data, such as SEP-GAN's.

Coming closer to the data is no progress of such a generator: it is not trained to.
"""


def rules_for(signs: Signs) -> tuple[Callable[[Signs, Thresholds], Finding | None], ...]:
    """Return the rules that apply: without a discriminator, which has no separation, those of variety alone."""
    return OF_VARIETY if math.isnan(signs.now.separation) else RULES


def diagnose(readings: Sequence[Reading], thresholds: Thresholds = Thresholds()) -> Finding:  # noqa: B008
    """Return the state of a training after its last reading, and the evidence in words.

    NaN or infinity in the last reading is named at once. Otherwise `RULES` see medians of the last five readings, and
    say nothing before there are ten. While the fakes are closer to the data than in all of the twenty readings before,
    only a D that always prefers fakes and a G that makes one sample are failures: a GAN that still learns is healthy.

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
    for rule in rules_for(signs):
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
