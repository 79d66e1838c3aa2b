"""The page about a run's health: the verdict, what was said when, the curves, and the figures they are made of."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lightning_gans.callbacks.health.diagnosis import State
from lightning_gans.callbacks.health.readings import Reading
from lightning_gans.callbacks.report.curves import curves

_PANELS = {
    "distance of the samples from the data": ("energy",),
    "variety beside the data's": ("diversity", "sensitivity"),
    "how much changes between readings": ("shift", "movement"),
    "what D can tell": ("separation", "advantage"),
    "gradient norms": ("generator_gradient", "discriminator_gradient"),
    "slope of D": ("real_slope", "fake_slope"),
    "losses": ("generator_loss", "discriminator_loss"),
    "reals with a fake nearby": ("coverage", "density"),
}
_LOGARITHMIC = ("gradient norms", "slope of D")
_SAYS = {
    "energy": "distance of the samples from the data: 0 the same, 1 apart",
    "diversity": "distance between samples over that between real ones: 0 is one sample again and again",
    "coverage": "share of real samples with a generated one near by",
    "shift": "how far the whole distribution has moved since the reading before: high for long is an oscillation",
    "movement": "how far the sample of one latent has moved since then: 0 is a generator that stands still",
    "separation": "how often D ranks a real sample above a generated one: 0.5 cannot tell, 1 always, 0 is fooled",
    "advantage": "how much of its loss D has got rid of: 0 none, 1 all",
    "pull": "how much G's loss still cares for D: 0 is saturated",
    "generator_gradient": "norm of G's gradient, before clipping",
    "discriminator_gradient": "norm of D's gradient, before clipping",
}


@dataclass
class Event:
    """A change of the game's state.

    Attributes:
        batch: when it was said.
        state: the name of the new state.
        evidence: why, in words.
        remedies: what helps, in words.
    """

    batch: int
    state: str
    evidence: str
    remedies: list[str]


def write_page(folder: Path, state: State, events: Sequence[Event], readings: Sequence[Reading]) -> None:
    """Write `health.md`, its curves `health.svg` and all figures, `health.json`, into a run's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {name: [getattr(reading, name) for reading in readings] for name in asdict(readings[0])}
    content = {
        "verdict": state.name,
        "events": [asdict(event) for event in events],
        "readings": {
            name: [value if math.isfinite(value) else None for value in values] for name, values in figures.items()
        },
    }
    (folder / "health.json").write_text(json.dumps(content))
    batches = figures["batch"]
    panels = {
        title: {name: (batches, figures[name]) for name in names if not all(map(math.isnan, figures[name]))}
        for title, names in _PANELS.items()
    }
    panels = {title: lines for title, lines in panels.items() if lines}
    marks = [(event.batch, event.state) for event in events]
    svg = curves(panels, marks, log=[title for title in _LOGARITHMIC if title in panels])
    (folder / "health.svg").write_text(svg)
    (folder / "health.md").write_text(_page(state, events, readings[-1]))


def _page(state: State, events: Sequence[Event], last: Reading) -> str:
    lines = ["# Health of this run", "", f"**{state.name}** after {last.batch} batches.", ""]
    if events:
        lines += ["| batch | state | evidence |", "|---|---|---|"]
        lines += [f"| {event.batch} | {event.state} | {event.evidence} |" for event in events]
        lines += [""]
    else:
        lines += ["No failure was seen.", ""]
    failures = [event for event in events if event.remedies]
    if failures:
        lines += [f"What is recommended against *{failures[-1].state}*:", ""]
        lines += [f"- {remedy}" for remedy in failures[-1].remedies] + [""]
    lines += ["![curves](health.svg)", "", "The last reading:", "", "| figure | value | what it is |", "|---|---|---|"]
    lines += [f"| {name} | {getattr(last, name):.3g} | {says} |" for name, says in _SAYS.items()]
    return "\n".join(lines) + "\n"
