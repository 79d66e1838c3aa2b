"""The figures of one evaluation: a table to read, and `scores.json` for programs."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lightning_gans.callbacks.versions import installed_version


@dataclass
class Scoreboard:
    """Figures, and what they were computed from.

    Attributes:
        figures: by name; one called `x_floor` belongs beside `x`.
        networks: the feature network of each figure that has one.
        real: number of real samples, 0 where no score uses them.
        fake: number of generated samples.
        split: whose real samples.
        seed: of the generated ones.
        data: name of the data.
        model: class of the model.
        generator_updates: number of updates of its generator.
        checkpoint: where the model came from, None during training.
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
    version: str = field(default_factory=lambda: installed_version("lightning-gans"))

    def table(self) -> str:
        """Return a few lines to read."""
        rows = [
            (name, _number(value), _number(self.figures.get(f"{name}_floor")), self.networks.get(name, ""))
            for name, value in self.figures.items()
            if not self._is_floor(name)
        ]
        columns = zip(("score", "value", "floor", "feature network"), "<>><", *rows, strict=True)
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
        """Write `scores.json` into a folder; NaN and infinity are null there."""
        record = asdict(self)
        for name in ("figures", "losses"):
            record[name] = {key: value if math.isfinite(value) else None for key, value in record[name].items()}
        path = folder / "scores.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=2) + "\n")

    def _is_floor(self, name: str) -> bool:
        return name.endswith("_floor") and name.removesuffix("_floor") in self.figures


def _number(value: float | None) -> str:
    """Return four digits, or all those before the point."""
    if value is None:
        return ""
    return f"{value:,.0f}" if math.isfinite(value) and abs(value) >= 1000 else f"{value:.4g}"


def _lines(columns: list[tuple[str, str, list[str]]]) -> list[str]:
    """Return columns (title, alignment, cells) as lines, with a rule below the titles."""
    padded = []
    for title, align, cells in columns:
        width = max(map(len, (title, *cells)))
        padded.append([f"{cell:{align}{width}}" for cell in (title, *cells)])
    lines = ["   ".join(cells).rstrip() for cells in zip(*padded, strict=True)]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]
