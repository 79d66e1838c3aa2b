"""The effects of stabilizers as CSV, as Markdown, and as one picture."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from lightning_gans.trials.effects import EQUAL, FAILS, HARMS, HELPS, RULE, UNCLEAR, Effect

COLOURS = {HELPS: "#2f9e6e", HARMS: "#d64f57", EQUAL: "#8a8a8a", UNCLEAR: "#c9a227", FAILS: "#8a8a8a"}
_ROW, _WIDTH = 0.27, 8.0  # inches


def write_effects(effects: Sequence[Effect], base: str, folder: Path) -> None:
    """Write `effects.csv`, `effects.md` and `effects.png` into a folder.

    Args:
        effects: in the order of the table.
        base: what they are effects on, in a few words, with its score.
        folder: an existing one.
    """
    names = [one.name for one in fields(Effect)]
    with open(folder / "effects.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_cell(getattr(one, name)) for name in names] for one in effects)
    (folder / "effects.md").write_text(
        f"{base}\n\n{markdown(effects)}\n\n![effects](effects.png)\n\n{RULE}\n", encoding="utf-8"
    )
    draw_effects({base: effects}, folder / "effects.png")


def markdown(effects: Sequence[Effect]) -> str:
    """Return the table."""
    lines = ["| stabilizer | base | score | effect | seeds | verdict | time | memory | note |", f"|{'---|' * 9}"]
    for one in effects:
        effect = "–" if math.isnan(one.effect) else f"{one.effect:+.3f}"
        effect += "" if math.isnan(one.error) else f" ± {one.error:.3f}"
        cells = [one.name, one.where, _shown(one.score), effect, str(one.seeds or "–"), one.verdict]
        cells += [_shown(one.time, 2), _shown(one.memory, 2), one.note.replace("|", "/")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw_effects(panels: dict[str, Sequence[Effect]], path: Path) -> None:
    """Save one picture with a column of effects for each title: a row for each stabilizer, in the order of the first.

    Colours are the verdicts. Right of a column stands the time with the stabilizer over that without it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    first = next(iter(panels.values()))
    names = list(dict.fromkeys(one.name for effects in (first, *panels.values()) for one in effects))
    figure = Figure(
        figsize=(max(_WIDTH, 2.6 + 3.0 * len(panels)), 1.1 + _ROW * max(len(names), 2)), layout="constrained"
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for place, (axis, (title, effects)) in enumerate(zip(axes, panels.items(), strict=True)):
        axis.set_title(title, fontsize=9, loc="left")
        axis.axvline(0, color="black", linewidth=0.8)
        for one in effects:
            row, colour = names.index(one.name), COLOURS[one.verdict]
            if one.verdict == FAILS:
                axis.text(0, row, " does not run here", color=colour, va="center", fontsize=7)
                continue
            error = 0.0 if math.isnan(one.error) else one.error
            axis.errorbar(one.effect, row, xerr=error, fmt="o", color=colour, markersize=5, elinewidth=2)
            axis.text(1.01, row, f"{one.time:.2f} ×", transform=axis.get_yaxis_transform(), va="center", fontsize=7)
        axis.grid(axis="x", alpha=0.25)
        axis.tick_params(labelsize=8)
        axis.set_xlabel("effect on the score; right: time", fontsize=8)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        if place == 0:
            axis.set_yticks(range(len(names)), names, fontsize=8)
            axis.set_ylim(len(names) - 0.4, -0.6)
    seen = [one for one in COLOURS if any(effect.verdict == one for effects in panels.values() for effect in effects)]
    marks = [axes[0].plot([], [], "o", color=COLOURS[one], label=one)[0] for one in seen]
    figure.legend(handles=marks, loc="outside lower center", ncols=max(1, len(marks)), fontsize=8, frameon=False)
    figure.savefig(path, dpi=130)


def _cell(value: object) -> object:
    return ("" if math.isnan(value) else f"{value:.6g}") if isinstance(value, float) else value


def _shown(value: float, digits: int = 3) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"
