"""Which figures of a run are drawn together, with a caption for a newcomer below each chart."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning_gans.callbacks.curves import curves
from lightning_gans.callbacks.health.readings import CAPTIONS, LOGARITHMIC, PANELS
from lightning_gans.metrics import Score

Column = tuple[list[float], list[float]]
Columns = dict[str, Column]

_MODEL_METRICS = {"discriminator_loss", "generator_loss", "real_logit", "fake_logit"}  # under val/, but no scores
DECIDING = "What decides the verdict"
_SIDES = {"generator_": "generator", "discriminator_": "discriminator", "real_": "real", "fake_": "generated"}


@dataclass(frozen=True)
class Chart:
    """A panel and its caption.

    Attributes:
        title: what it shows.
        lines: line's name → column of metrics.csv.
        caption: one line for a newcomer.
        log: whether y is logarithmic.
    """

    title: str
    lines: dict[str, str]
    caption: str = ""
    log: bool = False


TRAINING = (
    Chart(
        "Losses",
        {"generator": "loss/generator", "discriminator": "loss/discriminator"},
        "What each player minimises. Neither has to fall: two players of equal strength keep each other's loss where "
        "it is. Losses do not show how good the samples are.",
    ),
    Chart(
        "Losses on held-out samples",
        {"generator": "val/generator_loss", "discriminator": "val/discriminator_loss"},
        "Losses on real samples that are not trained on, which the discriminator sees as in training, and on samples "
        "of the generator as it is evaluated.",
    ),
    Chart(
        "Logits",
        {"real": "discriminator/real_logit", "generated": "discriminator/fake_logit"},
        "The discriminator's mean output for real and for generated samples: the higher, the more real it finds them. "
        "Lines that drift far apart mean that it wins.",
    ),
    Chart(
        "Logits of held-out samples",
        {"real": "val/real_logit", "generated": "val/fake_logit"},
        "The discriminator's mean output for real samples that are not trained on, seen as in training, and for "
        "generated ones. One that memorises its training set finds these real samples far less real than those above.",
    ),
    Chart("Separation", {"": "discriminator/separation"}, CAPTIONS["separation"]),
    Chart(
        "Gradient norms",
        {"generator": "gradients/generator", "discriminator": "gradients/discriminator"},
        "Norm of each player's gradient before clipping, on a logarithmic scale. Near zero a player no longer learns; "
        "growth without end is an explosion.",
        log=True,
    ),
    Chart(
        "Learning rates",
        {"generator": "generator/learning_rate", "discriminator": "discriminator/learning_rate"},
        "The learning rate of each player, as its schedule sets it.",
        log=True,
    ),
)
_TWINS = {  # panels of the monitor → the columns of the training log that show the same
    "losses": {"loss/generator", "loss/discriminator"},
    "gradient norms": {"gradients/generator", "gradients/discriminator"},
}
_TERMS = "What stabilizers add to a loss, such as a gradient penalty."


def read_columns(path: str | Path) -> Columns:
    """Return every figure of a `metrics.csv` as (batches so far, values), without the rows in which it is missing."""
    columns: Columns = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            for name, text in row.items():
                if text and name not in ("step", "epoch") and row.get("step"):
                    x, y = columns.setdefault(name, ([], []))
                    x.append(float(row["step"]) + 1)
                    y.append(float(text))
    return columns


def charts(columns: Columns) -> dict[str, list[Chart]]:
    """Return what there is to draw, by section: scores, what decides the verdict, training, and all other figures.

    Nothing is drawn twice: of losses and gradient norms the training log has the finer curve, and D's separation is
    among what decides.
    """
    training = _training(columns)
    if "health/separation" in columns:
        training = [chart for chart in training if chart.title != "Separation"]
    lines = {line for chart in training for line in chart.lines.values()}
    known = {panel for panel, twin in _TWINS.items() if lines & twin}
    panels = {title: names for title, names in PANELS.items() if title not in known}
    deciding = [_panel(title, names, columns) for title, names in panels.items()]
    drawn = {"Scores": _scores(columns), DECIDING: [chart for chart in deciding if chart.lines], "Training": training}
    shown = {column for found in drawn.values() for chart in found for column in chart.lines.values()}
    shown |= {column for chart in TRAINING for column in chart.lines.values()}  # a constant rate is not drawn
    shown |= {f"health/{name}" for panel in known for name in PANELS[panel]}
    rest = [name for name in columns if name not in shown and not name.startswith("progress/")]
    others = _health({name: columns[name] for name in rest})
    others += [Chart(name, {"": name}) for name in rest if not name.startswith("health/")]
    sections = {**drawn, "Other figures": others}
    return {title: found for title, found in sections.items() if found}


def _panel(title: str, names: Sequence[str], columns: Columns) -> Chart:
    """Return the chart of a panel of the monitor, with the captions of its lines."""
    lines = {name.replace("_", " "): f"health/{name}" for name in names if f"health/{name}" in columns}
    captions = {CAPTIONS[name]: name for name in names if f"health/{name}" in columns}
    words = [f"{name.capitalize()}: {caption[0].lower()}{caption[1:]}" for caption, name in captions.items()]
    return Chart(
        title[0].upper() + title[1:], lines, " ".join(words if len(words) > 1 else captions), title in LOGARITHMIC
    )


def draw(chart: Chart, columns: Columns, marks: Sequence[tuple[float, str]] = ()) -> str:
    """Return the panel of a chart as SVG."""
    lines = {line: columns[column] for line, column in chart.lines.items()}
    return curves({chart.title: lines}, marks, log=[chart.title] if chart.log else [])


# ---------------------------------------------------------------- sections


def _training(columns: Columns) -> list[Chart]:
    found = [replace(chart, lines=_present(chart, columns)) for chart in TRAINING]
    found = [chart for chart in found if chart.lines and not _is_constant_rate(chart, columns)]
    own = {column for chart in TRAINING for column in chart.lines.values()}
    terms = {name.removeprefix("loss/"): name for name in columns if name.startswith("loss/") and name not in own}
    if terms:
        found.insert(1, Chart("Terms of stabilizers", terms, _TERMS))
    return found


def _present(chart: Chart, columns: Columns) -> dict[str, str]:
    return {line: column for line, column in chart.lines.items() if column in columns}


def _is_constant_rate(chart: Chart, columns: Columns) -> bool:
    return chart.title == "Learning rates" and all(len(set(columns[name][1])) == 1 for name in chart.lines.values())


def _scores(columns: Columns) -> list[Chart]:
    captions = _score_captions()
    names = [name for name in columns if name.startswith("val/") and name.removeprefix("val/") not in _MODEL_METRICS]
    found = []
    for name in names:
        figure = name.removeprefix("val/")
        if figure.endswith("_floor") and name.removesuffix("_floor") in names:
            continue
        lines = {figure: name}
        if f"{name}_floor" in names:
            lines["floor"] = f"{name}_floor"
        found.append(Chart(figure, lines, _caption(figure, captions), log=figure in ("fd", "fid")))
    return found


def _score_captions() -> dict[str, str]:
    """Return the captions of every score that is imported, a user's own included."""
    captions: dict[str, str] = {}
    kinds: list[Any] = [Score]
    for kind in kinds:  # grows by the subclasses of each
        captions |= kind.captions
        kinds += kind.__subclasses__()
    return captions


def _caption(figure: str, captions: Mapping[str, str]) -> str:
    """Return the caption of the longest name that a figure begins with: fd_digits is fd, by a second network."""
    fitting = [name for name in captions if figure == name or figure.startswith(f"{name}_")]
    return captions[max(fitting, key=len)] if fitting else ""


def _health(columns: Columns) -> list[Chart]:
    """Return a chart for each figure of a reading; both players, or both kinds of samples, share one."""
    groups: dict[str, dict[str, str]] = {}
    for name in columns:
        if name.startswith("health/"):
            side, figure = _side(name.removeprefix("health/"))
            groups.setdefault(figure, {})[side] = name
    order = [*_SIDES.values(), ""]
    return [
        Chart(
            figure.replace("_", " ").capitalize(),
            {side: lines[side] for side in order if side in lines},
            HEALTH.get(figure, ""),
        )
        for figure, lines in groups.items()
    ]


def _side(figure: str) -> tuple[str, str]:
    """Return the side of a figure and the rest of its name: generator_loss → generator, loss."""
    prefix = next((prefix for prefix in _SIDES if figure.startswith(prefix)), "")
    return _SIDES.get(prefix, ""), figure.removeprefix(prefix)


HEALTH: dict[str, str] = {_side(figure)[1]: caption for figure, caption in CAPTIONS.items()}
"""Captions of the charts of readings, by figure."""
