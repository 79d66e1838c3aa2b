"""Numbers that change during training, as functions of the number of generator updates."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from typing_extensions import override

from lightning_gans import arguments


@dataclass(frozen=True)
class Schedule(ABC):
    """A number as a function of the generator's updates t: `start` until `begin`, then a ramp, then `end`.

        value(t) = ramp((t − begin) / updates),    ramp(0) = start,  ramp(1) = end

    Every stabilizer with a strength takes a constant or a schedule. A subclass defines `ramp`.

    Args:
        start: the value until `begin`.
        end: the value from `begin + updates` on.
        updates: length of the ramp in generator updates, at least 1.
        begin: generator updates before the ramp begins, at least 0.

    Raises:
        ValueError: for a number out of range.
    """

    start: float
    end: float = 0.0
    updates: int = 10_000
    begin: int = 0

    def __post_init__(self) -> None:
        for name, number in (("start", self.start), ("end", self.end)):
            if not math.isfinite(number):
                raise ValueError(f"{type(self).__name__}({name}={number}): expected a finite number, such as 0.1.")
        arguments.at_least(self, 1, updates=self.updates)
        arguments.at_least(self, 0, begin=self.begin)

    @abstractmethod
    def ramp(self, progress: float) -> float:
        """Return the value at a progress in (0, 1) along the ramp."""

    def at(self, updates: int) -> float:
        """Return the value after `updates` generator updates."""
        progress = (updates - self.begin) / self.updates
        return self.start if progress <= 0 else self.end if progress >= 1 else self.ramp(progress)


class Linear(Schedule):
    """A straight line from `start` to `end`: ramp(p) = start + (end − start) · p.

    Args:
        start: the value until `begin`.
        end: the value from `begin + updates` on.
        updates: length of the ramp in generator updates, at least 1.
        begin: generator updates before the ramp begins, at least 0.

    Raises:
        ValueError: for a number out of range.
    """

    @override
    def ramp(self, progress: float) -> float:
        return self.start + (self.end - self.start) * progress


class Cosine(Schedule):
    """Half a cosine from `start` to `end`, slow at both ends: ramp(p) = end + (start − end) · (1 + cos πp) / 2.

    Args:
        start: the value until `begin`.
        end: the value from `begin + updates` on.
        updates: length of the ramp in generator updates, at least 1.
        begin: generator updates before the ramp begins, at least 0.

    Raises:
        ValueError: for a number out of range.
    """

    @override
    def ramp(self, progress: float) -> float:
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * progress)) / 2


class Exponential(Schedule):
    """The same factor at every update, from `start` to `end`: ramp(p) = start · (end / start)ᵖ.

    With `end` 0 the ramp falls to 1 % of `start`, then drops to 0.

    Args:
        start: the value until `begin`, not 0.
        end: the value from `begin + updates` on, of the same sign as `start`, or 0.
        updates: length of the ramp in generator updates, at least 1.
        begin: generator updates before the ramp begins, at least 0.

    Raises:
        ValueError: for a number out of range.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start == 0 or self.start * self.end < 0:
            raise ValueError(
                f"{self}: expected a start other than 0, and an end of the same sign or 0; use Linear to cross 0."
            )

    @override
    def ramp(self, progress: float) -> float:
        return self.start * (self.end / self.start or 0.01) ** progress


def value(schedule: float | Schedule, updates: int) -> float:
    """Return a strength, given as a number or a schedule, after `updates` generator updates."""
    return schedule.at(updates) if isinstance(schedule, Schedule) else schedule


def bounds(schedule: float | Schedule) -> tuple[float, float]:
    """Return the smallest and the largest value that a strength, given as a number or a schedule, takes."""
    ends = (schedule.start, schedule.end) if isinstance(schedule, Schedule) else (schedule, schedule)
    return min(ends), max(ends)
