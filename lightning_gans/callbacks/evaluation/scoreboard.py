"""The figures of one evaluation: a table for a person, and `scores.json` for programs."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import lightning_gans


@dataclass
class Scoreboard:
    """What was scored, on what, and how it came out.

    Attributes:
        figures: by name; one called `x_floor` belongs beside `x`.
        networks: the feature network of each figure that has one.
        real: number of real samples, 0 where the scores do not look at any.
        fake: number of generated samples.
        split: whose real samples.
        seed: of the generated ones.
        data: what the data is called.
        model: class of the model.
        generator_updates: how long its generator had learned.
        checkpoint: where it came from, None during training.
        losses: what the model itself logs on the split, by name.
        version: of this library.
    """

    figures: dict[str, float]
    networks: dict[str, str]
    real: int
    fake: int
    split: str
    seed: int
    data: str
    model: str
    generator_updates: int
    checkpoint: str | None = None
    losses: dict[str, float] = field(default_factory=dict)
    version: str = lightning_gans.__version__

    def table(self) -> str:
        """A few lines for a person."""
        rows = [
            (name, _number(value), _number(self.figures.get(f"{name}_floor")), self.networks.get(name, ""))
            for name, value in self.figures.items()
            if not self._is_floor(name)
        ]
        columns = zip(("score", "value", "floor", "seen through"), "<>><", *rows, strict=True)
        lines = _lines([(title, align, cells) for title, align, *cells in columns if any(cells)])
        source = f" from {self.checkpoint}" if self.checkpoint else ""
        beside = f" beside {self.real:,} real ones" if self.real else ""
        head = [
            f"{self.model} after {self.generator_updates:,} generator updates{source}",
            f"{self.fake:,} generated samples (seed {self.seed}){beside} of {self.data} ({self.split} split)",
        ]
        losses = [f"{name} {_number(value)}" for name, value in self.losses.items()]
        return "\n".join([*head, "", *lines, *([f"\nof the model: {', '.join(losses)}"] if losses else [])])

    def write(self, folder: Path) -> None:
        """Write `scores.json` into a folder; what is not a number is null there."""
        record = asdict(self)
        for name in ("figures", "losses"):
            record[name] = {key: value if math.isfinite(value) else None for key, value in record[name].items()}
        path = folder / "scores.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=2) + "\n")

    def _is_floor(self, name: str) -> bool:
        return name.endswith("_floor") and name.removesuffix("_floor") in self.figures


def _number(value: float | None) -> str:
    """Four digits, and all those before the point."""
    if value is None:
        return ""
    return f"{value:,.0f}" if math.isfinite(value) and abs(value) >= 1000 else f"{value:.4g}"


def _lines(columns: list[tuple[str, str, list[str]]]) -> list[str]:
    """Columns, each a title, the side to which it is aligned, and cells, as lines with a rule under the titles."""
    padded = []
    for title, align, cells in columns:
        width = max(map(len, (title, *cells)))
        padded.append([f"{cell:{align}{width}}" for cell in (title, *cells)])
    lines = ["   ".join(cells).rstrip() for cells in zip(*padded, strict=True)]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]
