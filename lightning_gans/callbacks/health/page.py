"""The page about the health of a run: the verdict, what was reported when, curves, and the last reading."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lightning_gans.callbacks.curves import curves
from lightning_gans.callbacks.health.readings import CAPTIONS, LOGARITHMIC, PANELS, Reading
from lightning_gans.callbacks.health.states import State

_LAST = 2  # readings among which the page finds each figure: every second one has a survey


@dataclass
class Event:
    """A change of a training's state.

    Attributes:
        batch: when it was reported.
        state: the name of the new state.
        evidence: why, in words.
        remedies: what helps, in words.
    """

    batch: int
    state: str
    evidence: str
    remedies: list[str]

    def line(self) -> str:
        """Return it in one line."""
        tried = f" Try: {'; '.join(self.remedies)}." if self.remedies else ""
        return f"batch {self.batch}: {self.state}. {self.evidence[0].upper()}{self.evidence[1:]}.{tried}"


class HealthPage:
    """`health.md`, its curves `health.svg` and all figures, `health.json`, in a run's folder.

    Args:
        folder: the run's; with None nothing is written.
    """

    def __init__(self, folder: Path | None = None):
        self.folder = folder
        self._shows: tuple[int, int] | None = None  # its last reading, and the number of its events

    def write(
        self, state: State, events: Sequence[Event], readings: Sequence[Reading], notes: Sequence[str] = ()
    ) -> None:
        """Write all three, which takes most of a second, where there is something new.

        Args:
            state: the verdict.
            events: its changes.
            readings: at least one, or nothing is written.
            notes: why values that look bad are no failure.
        """
        shows = (readings[-1].batch, len(events)) if readings else None
        if self.folder is not None and shows != self._shows:
            _write(self.folder, state, events, readings, notes)
            self._shows = shows


def _write(
    folder: Path, state: State, events: Sequence[Event], readings: Sequence[Reading], notes: Sequence[str]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    figures = {name: [getattr(reading, name) for reading in readings] for name in ("batch", *CAPTIONS)}
    content = {
        "verdict": state.name,
        "events": [asdict(event) for event in events],
        "notes": list(notes),
        "readings": {
            name: [value if math.isfinite(value) else None for value in values] for name, values in figures.items()
        },
    }
    (folder / "health.json").write_text(json.dumps(content))
    (folder / "health.svg").write_text(_curves(figures, events))
    (folder / "health.md").write_text(_page(state, events, readings, notes))


def _curves(figures: dict[str, list[float]], events: Sequence[Event]) -> str:
    """Return the figures that have a panel, as SVG; those without any value are left out."""
    panels = {
        title: {name: _known(figures["batch"], figures[name]) for name in names} for title, names in PANELS.items()
    }
    drawn = {title: {name: line for name, line in lines.items() if line[0]} for title, lines in panels.items()}
    drawn = {title: lines for title, lines in drawn.items() if lines}
    return curves(drawn, [(event.batch, event.state) for event in events], log=LOGARITHMIC & drawn.keys())


def _known(batches: list[float], values: list[float]) -> tuple[list[float], list[float]]:
    """Return a line without the readings that lack the figure."""
    known = [(batch, value) for batch, value in zip(batches, values, strict=True) if not math.isnan(value)]
    return [batch for batch, _ in known], [value for _, value in known]


def _page(state: State, events: Sequence[Event], readings: Sequence[Reading], notes: Sequence[str]) -> str:
    lines = ["# Health of this run", "", f"**{state.name}** after {readings[-1].batch} batches.", ""]
    if events:
        lines += ["| batch | state | evidence |", "|---|---|---|"]
        lines += [f"| {event.batch} | {event.state} | {event.evidence} |" for event in events]
        lines += [""]
    else:
        lines += ["No failure was seen.", ""]
    lines += [*notes, ""] if notes else []
    failures = [event for event in events if event.remedies]
    if failures:
        lines += [f"What is recommended against *{failures[-1].state}*:", ""]
        lines += [f"- {remedy}" for remedy in failures[-1].remedies] + [""]
    lines += [
        "![curves](health.svg)",
        "",
        "The last figures (G: generator, D: discriminator):",
        "",
        "| figure | value | what it is |",
        "|---|---|---|",
    ]
    for name, caption in CAPTIONS.items():
        known = [value for reading in readings[-_LAST:] if not math.isnan(value := getattr(reading, name))]
        lines += [f"| {name} | {known[-1]:.3g} | {caption} |"] if known else []
    return "\n".join(lines) + "\n"
