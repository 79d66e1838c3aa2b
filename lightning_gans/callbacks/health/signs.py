"""What the rules see of a training: medians of its last readings, and how close it has come before."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from functools import cached_property

from lightning_gans.callbacks.health.readings import CAPTIONS, SURVEYED, Reading
from lightning_gans.callbacks.health.states import State
from lightning_gans.callbacks.health.thresholds import Thresholds

WINDOW = 5  # readings whose median the rules see
SURVEYS = 6  # readings whose median they see of figures that only every second one has
MEMORY = 20  # earlier readings; while samples are closer to the data than in all of them, a GAN learns
FEWEST = 2 * WINDOW  # readings before which it is too early to tell

Finding = tuple[State, str]
"""A state and the evidence for it, in words."""


class Signs:
    """What the rules see of a training.

    Attributes:
        readings: all readings, the last one last.
        now: the median of each figure over the last five readings, or over the three surveys of the last six; NaN
            where none of them has it, which no rule takes for a failure.
    """

    def __init__(self, readings: Sequence[Reading]):
        self.readings = readings
        last = {name: readings[-SURVEYS if name in SURVEYED else -WINDOW :] for name in CAPTIONS}
        medians = {name: _median([getattr(reading, name) for reading in some]) for name, some in last.items()}
        named = [reading.missing_names for reading in readings[-SURVEYS:] if reading.missing_names]
        self.now = Reading(readings[-1].batch, **medians, missing_names=named[-1] if named else ())

    @cached_property
    def lowest_energy(self) -> float:
        """The lowest median energy of all readings."""
        return min(self._medians("energy", self.readings), default=math.nan)

    def before(self, name: str, best: Callable[..., float] = min) -> float:
        """Return the best median of a figure, by default the lowest, of the twenty readings before the last five."""
        return best(self._medians(name, self.readings[-MEMORY - WINDOW : -WINDOW]), default=math.nan)

    @property
    def unread(self) -> float:
        """The share of images of no certain class, among which classes cannot be counted; 0 for points."""
        return 0.0 if math.isnan(self.now.contrast) else self.now.outside

    @property
    def far(self) -> str:
        """How far the samples are from the data, in words."""
        return f"the samples are far from the data (energy {self.now.energy:.2f} of 1)"

    def is_moving(self, t: Thresholds) -> bool:
        """Whether the whole distribution of fakes moves between readings."""
        return self.now.shift > t.shift and self.now.movement > t.movement

    def are_unlike(self, t: Thresholds) -> bool:
        """Whether hardly any sample lies among real ones."""
        return self.now.coverage < t.unlike and self.now.density < t.unlike_density

    def _medians(self, name: str, readings: Sequence[Reading]) -> list[float]:
        """Return the medians of a figure over every five readings in a row."""
        values = [getattr(reading, name) for reading in readings]
        width = SURVEYS if name in SURVEYED else WINDOW
        medians = [_median(values[end - width : end]) for end in range(width, len(values) + 1)]
        return [median for median in medians if not math.isnan(median)]


def _median(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return statistics.median(known) if known else math.nan
