"""Why a value that looks bad is no failure, for the pages of a run whose verdict is healthy."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lightning_gans.callbacks.health.diagnosis import progress, rules_for
from lightning_gans.callbacks.health.readings import Reading
from lightning_gans.callbacks.health.signs import FEWEST, Signs
from lightning_gans.callbacks.health.states import HEALTHY, State
from lightning_gans.callbacks.health.thresholds import Thresholds


def explain(state: State, readings: Sequence[Reading], thresholds: Thresholds) -> list[str]:
    """Return a sentence for each sign of a failure in the last readings of a run whose verdict is healthy.

    Args:
        state: the verdict; of a failure there is nothing to explain.
        readings: all of them.
        thresholds: what the rules compare with.
    """
    if state != HEALTHY or not readings or not readings[-1].finite:
        return []
    if len(readings) < FEWEST:
        return [f"It is too early to tell: the rules need {FEWEST} readings, and there are {len(readings)}."]
    signs = Signs(readings)
    rules = rules_for(signs)
    learning = progress(signs, thresholds) if progress in rules else None
    others = [rule for rule in rules if rule is not progress]
    found = next((one for rule in others if (one := rule(signs, thresholds))), None)
    if found is None:
        return _single(signs.now, thresholds)
    looks = f"It looks like *{found[0].name}*: {found[1]}. That is not reported"
    if learning is not None:
        return [f"{looks} while {learning[1]}."]
    return [f"{looks} before as many readings in a row say so as the monitor's patience asks for."]


def _single(now: Reading, t: Thresholds) -> list[str]:
    """Return why figures that look bad on their own are no failure."""
    steep = max(
        (size for size in (now.discriminator_gradient, now.generator_gradient) if not math.isnan(size)), default=0.0
    )
    known = {
        f"D is right in {now.separation:.0%} of pairs. That is a failure only where the samples miss the data too "
        f"(energy {now.energy:.2g}, limit {t.missed_energy:g}; coverage {now.coverage:.2g}, limit "
        f"{t.missed_coverage:g}).": now.separation > t.perfect_separation and not math.isnan(now.advantage),
        f"A gradient norm is {steep:.3g}. That is a failure only while the samples are far from the data (energy "
        f"{now.energy:.2g}, limit {t.exploded_energy:g}).": steep > t.exploded_gradient,
        f"Samples vary {now.diversity:.2f} times as much as the data. Above {t.little_diversity:g} that is a failure "
        f"only where they are far from the data too (energy {now.energy:.2g}, limit {t.lost_energy:g}).": (
            now.diversity < t.collapsed_diversity
        ),
        f"Coverage is {now.coverage:.2f} of what real samples have. Below {t.stalled_coverage:g} it is a failure.": (
            now.coverage < 2 * t.stalled_coverage
        ),
        f"The distribution of samples moves ({now.shift:.2f} of 1 from reading to reading). That is a failure only "
        f"where it is far from the data (energy {now.energy:.2g}, limit {t.poor_energy:g}).": now.shift > t.shift,
    }
    return [sentence for sentence, holds in known.items() if holds]
