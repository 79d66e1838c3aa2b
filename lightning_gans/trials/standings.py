"""The outcomes of trials side by side: a table as CSV and Markdown, and one picture."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from lightning_gans.trials.trial import Outcome, Trial, picture_in

_WIDTH, _TEXT, _GAP = 320, 56, 12  # of a cell of the picture, in pixels


def ranked(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes, the highest score first, those that have failed last."""
    return sorted(outcomes, key=lambda one: -math.inf if math.isnan(one.score) else one.score, reverse=True)


def write_standings(trials: Sequence[Trial], outcomes: Sequence[Outcome], folder: Path) -> list[Outcome]:
    """Write `trials.csv`, `trials.md` and `trials.png` into the folder of the trials; return the outcomes ranked."""
    outcomes = ranked(outcomes)
    about = {trial.name: trial.about for trial in trials}
    names = ["trial", "score", "verdict", "batches", "CPU s", "MiB", "what", "error"]
    rows = []
    for one in outcomes:
        cost = one.batches, _number(one.seconds, 0), _number(one.memory, 0)
        rows.append([one.name, _number(one.score), one.verdict, *cost, about[one.name], one.error])
    with open(folder / "trials.csv", "w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    lines += [f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in rows]
    (folder / "trials.md").write_text("\n".join(lines) + "\n\n![samples](trials.png)\n")
    _sheet(outcomes, folder)
    return list(outcomes)


def _sheet(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Save the pictures of the outcomes in one, in their order, each below its name, score and cost."""
    shown = [(one, path) for one in outcomes if (path := picture_in(folder / one.name)) is not None]
    if not shown:
        return
    pictures = [Image.open(path).convert("RGB") for _, path in shown]
    pictures = [one.resize((_WIDTH, round(one.height * _WIDTH / one.width))) for one in pictures]
    columns = min(4, len(pictures))
    height = max(one.height for one in pictures) + _TEXT
    size = columns * (_WIDTH + _GAP) + _GAP, math.ceil(len(pictures) / columns) * (height + _GAP)
    sheet, font = Image.new("RGB", size, "white"), ImageFont.load_default(14)
    draw = ImageDraw.Draw(sheet)
    for place, ((one, _), picture) in enumerate(zip(shown, pictures, strict=True)):
        x, y = place % columns * (_WIDTH + _GAP) + _GAP, place // columns * (height + _GAP)
        draw.text((x, y + 2), f"{place + 1}. {one.name}"[:42], "black", font)
        draw.text((x, y + 19), f"score {one.score:.3f}, {one.seconds:.0f} CPU s, {one.batches} batches", "black", font)
        draw.text((x, y + 36), one.verdict[:46], "black", font)
        sheet.paste(picture, (x, y + _TEXT))
    sheet.save(folder / "trials.png")


def _number(value: float, digits: int = 3) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"
