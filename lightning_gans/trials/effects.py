"""What a change is worth: paired differences of scores over seeds, their errors, and a verdict by a stated rule."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lightning_gans.trials.trial import Outcome

HELPS, HARMS, EQUAL, UNCLEAR, FAILS = "helps", "harms", "equal", "unclear", "fails"
_LEVEL = 0.05  # of the false discoveries among all rows of a table, and of the interval for "equal"
_SMALL = 0.03  # an effect on the score that makes no visible difference

RULE = f"""\
The score is 0 to 1: how well samples lie among the data, and the data among them; 1 is what training samples score
among one another. The effect of a stabilizer is the score with it minus the score without it, of two trainings from
the same seed; mean ± standard error over the seeds. {HELPS}, {HARMS}: it differs from 0 by a paired t-test, with
a rate of false discoveries of at most {_LEVEL:.0%} among all rows (Benjamini and Hochberg 1995). {EQUAL}: it is not
known to differ from 0, and its {1 - _LEVEL:.0%} interval lies within ± {_SMALL}. {FAILS}: a training with it ends
with an error. {UNCLEAR}: none of these; more seeds may decide. Time is CPU seconds for each batch, memory the largest
of the process, both over those without it.
"""


@dataclass(frozen=True)
class Effect:
    """What a stabilizer is worth.

    Attributes:
        name: of the stabilizer.
        left_out: whether the base has it, and is compared with trainings without it.
        score: mean of the scores of the other trainings: with it, or, if it was left out, without it.
        effect: mean of the paired differences, with minus without.
        error: standard error of that mean; NaN for one seed.
        seeds: number of pairs.
        p: of the test; NaN where there is none.
        adjusted: the same, for all rows of the table.
        time: CPU seconds for each batch with it, over those without it.
        memory: the same of the largest memory.
        verdict: one word.
        note: why it fails, or what the monitor says of the other trainings.
    """

    name: str
    left_out: bool
    score: float = math.nan
    effect: float = math.nan
    error: float = math.nan
    seeds: int = 0
    p: float = math.nan
    adjusted: float = math.nan
    time: float = math.nan
    memory: float = math.nan
    verdict: str = UNCLEAR
    note: str = ""

    @property
    def where(self) -> str:
        """How the base was changed."""
        return "left out" if self.left_out else "added"


def effects_of(
    base: Sequence[Outcome], others: Mapping[str, Sequence[Outcome]], left_out: Sequence[str] = ()
) -> list[Effect]:
    """Return the effects of stabilizers, the best first, those that fail last.

    Args:
        base: the outcomes of the base, one for each seed.
        others: by stabilizer, the outcomes of the base with it, or without it, for the same seeds or the first of them.
        left_out: the stabilizers that the base has.
    """
    found = [_effect(name, name in left_out, base, outcomes) for name, outcomes in others.items()]
    tested = [one for one in found if not math.isnan(one.p)]
    adjusted = dict(zip((one.name for one in tested), _adjusted([one.p for one in tested]), strict=True))
    found = [replace(one, adjusted=adjusted.get(one.name, math.nan)) for one in found]
    found = [replace(one, verdict=_verdict(one)) for one in found]
    return sorted(found, key=lambda one: (one.verdict == FAILS, -one.effect if one.seeds else 0.0, one.name))


def _effect(name: str, left_out: bool, base: Sequence[Outcome], others: Sequence[Outcome]) -> Effect:
    failed = next((one for one in others if one.error), None)
    if failed is not None:
        return Effect(name, left_out, verdict=FAILS, note=failed.error)
    pairs = [(one, other) for one, other in zip(base, others, strict=False) if not one.error]
    if not pairs:
        return Effect(name, left_out, verdict=FAILS, note="the base fails")
    sign = -1 if left_out else 1
    differences = [sign * (other.score - one.score) for one, other in pairs]
    mean, number = statistics.mean(differences), len(differences)
    error = statistics.stdev(differences) / math.sqrt(number) if number > 1 else math.nan
    return Effect(
        name,
        left_out,
        statistics.mean(other.score for _, other in pairs),
        mean,
        error,
        number,
        _p_value(mean, error, number),
        time=_ratio([(_per_batch(one), _per_batch(other)) for one, other in pairs], sign),
        memory=_ratio([(one.memory, other.memory) for one, other in pairs], sign),
        note=", ".join(dict.fromkeys(other.verdict for _, other in pairs if other.verdict)),
    )


def _p_value(mean: float, error: float, number: int) -> float:
    """Return the two-sided p-value of a mean that is 0; 1 where all differences are 0."""
    if number < 2:
        return math.nan
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    from scipy.stats import t

    return float(2 * t.sf(abs(mean) / error, number - 1))


def _adjusted(values: Sequence[float]) -> list[float]:
    from scipy.stats import false_discovery_control

    return [float(one) for one in false_discovery_control(values)] if values else []


def _per_batch(outcome: Outcome) -> float:
    return outcome.seconds / outcome.batches if outcome.batches else 0.0


def _ratio(pairs: Sequence[tuple[float, float]], sign: int) -> float:
    """Return the median over pairs of what it is with the stabilizer, over what it is without."""
    ratios = [(other / one) ** sign for one, other in pairs if one > 0 and other > 0]
    return statistics.median(ratios) if ratios else math.nan


def _verdict(one: Effect) -> str:
    if one.verdict == FAILS:
        return FAILS
    if one.adjusted <= _LEVEL:
        return HELPS if one.effect > 0 else HARMS
    from scipy.stats import t

    half = one.error * float(t.ppf(1 - _LEVEL / 2, one.seeds - 1)) if one.seeds > 1 else math.inf
    return EQUAL if abs(one.effect) + half <= _SMALL else UNCLEAR
