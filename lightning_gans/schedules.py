"""Numbers that change while a run goes on, counted in generator updates."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule(ABC):
    """A number as a function of the generator's updates t: `start` until `begin`, then a ramp, then `end` for good.

        value(t) = ramp((t − begin) / updates),    ramp(0) = start,  ramp(1) = end

    Every stabilizer with a strength takes a number, which stays as it is, or one of these. A subclass defines
    `ramp`.

    Args:
        start: the value at first.
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
        for name in ("start", "end"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{self}: {name} must be a finite number.")
        for name, least in (("updates", 1), ("begin", 0)):
            if not getattr(self, name) >= least or not math.isfinite(getattr(self, name)):
                raise ValueError(f"{self}: expected {name} of at least {least} generator updates.")

    @abstractmethod
    def ramp(self, progress: float) -> float:
        """The value at a progress in (0, 1)."""

    def at(self, updates: int) -> float:
        """The value after so many generator updates."""
        progress = (updates - self.begin) / self.updates
        return self.start if progress <= 0 else self.end if progress >= 1 else self.ramp(progress)


class Linear(Schedule):
    """A straight line from `start` to `end`.

    Args:
        start: the value at first.
        end: the value from `begin + updates` on.
        updates: length of the ramp in generator updates, at least 1.
        begin: generator updates before the ramp begins, at least 0.

    Raises:
        ValueError: for a number out of range.
    """

    def ramp(self, progress: float) -> float:
        """Start + (end − start) · progress."""
        return self.start + (self.end - self.start) * progress


class Cosine(Schedule):
    """Half a cosine from `start` to `end`: slow at both ends.

    Args:
        start: the value at first.
        end: the value from `begin + updates` on.
        updates: length of the ramp in generator updates, at least 1.
        begin: generator updates before the ramp begins, at least 0.

    Raises:
        ValueError: for a number out of range.
    """

    def ramp(self, progress: float) -> float:
        """End + (start − end) · (1 + cos(π · progress)) / 2."""
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * progress)) / 2


class Exponential(Schedule):
    """The same factor at every update, from `start` to `end`; towards 0 it falls to 1 % of `start`, then drops to 0.

    Args:
        start: the value at first, not 0.
        end: the value from `begin + updates` on, of the sign of `start`, or 0.
        updates: length of the ramp in generator updates, at least 1.
        begin: generator updates before the ramp begins, at least 0.

    Raises:
        ValueError: for a number out of range.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start == 0 or self.start * self.end < 0:
            raise ValueError(f"{self}: expected a start other than 0, and an end of its sign, or 0; Linear crosses 0.")

    def ramp(self, progress: float) -> float:
        """Start · (end / start) ** progress."""
        return self.start * (self.end / self.start or 0.01) ** progress


def value(schedule: float | Schedule, updates: int) -> float:
    """A strength after so many generator updates, whether it is a number or a schedule."""
    return schedule.at(updates) if isinstance(schedule, Schedule) else schedule


def bounds(schedule: float | Schedule) -> tuple[float, float]:
    """The least and the largest value that a strength takes."""
    ends = (schedule.start, schedule.end) if isinstance(schedule, Schedule) else (schedule, schedule)
    return min(ends), max(ends)


def not_negative(owner: str, **strengths: float | Schedule) -> None:
    """Refuse a strength that is, or at any time becomes, negative or infinite, in the name of its owner."""
    for name, given in strengths.items():
        least, largest = bounds(given)
        if not 0 <= least <= largest < math.inf:
            raise ValueError(f"{owner}({name}={given}): expected a number of at least 0.")
