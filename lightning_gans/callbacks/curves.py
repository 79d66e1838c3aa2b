"""Curves of a run as one SVG, for pages that are read without a network."""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

Line = tuple[Sequence[float], Sequence[float]]

_PANEL = (4.8, 2.6)  # inches; one panel alone fits a phone, two side by side a page of 900 pixels
_MARGINS = (0.64, 0.12, 0.3, 0.46)  # inches left, right, above and below, for tick labels, names and the title
_COLOURS = ("#3b82c4", "#d9722e", "#2f9e6e", "#a06cd5", "#d64f57", "#1f9aa8", "#a9821b", "#8a8a8a")
_INK = "#010203"  # becomes the colour of the text around the picture
_GREY = "#7b7b7b"  # the text's colour in a file on its own: legible on white and on black
_DENSE = 200  # from this many points on, a line is drawn pale under its running mean
_FINE = 1000  # points of a line that a panel can show
_STYLE = {
    "svg.fonttype": "none",
    "font.size": 10,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.formatter.useoffset": False,
    "grid.color": _INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.6,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.handlelength": 1.2,
    "legend.borderaxespad": 0.5,
    "path.simplify": True,
    "path.simplify_threshold": 0.5,
}


def curves(
    panels: Mapping[str, Mapping[str, Line]],
    marks: Sequence[tuple[float, str]] = (),
    xlabel: str = "batch",
    log: Collection[str] = (),
) -> str:
    """Return one SVG text with a panel for every entry; the same figures give the same text.

    It has no background and takes the colour of the text around it, so that it is legible on light and dark pages; as
    a file of its own it is grey. A line of more than 200 points is drawn pale, with its running mean over 1/40 of its
    points above it. A panel takes about 0.05 s.

    Args:
        panels: title → line's name → (x, y), x in rising order. Values that are not finite are gaps. A line whose
            name is empty or the panel's own title has no legend.
        marks: (x, label) of vertical lines in every panel; labels of more than two letters are rotated.
        xlabel: what x counts.
        log: titles of panels with a logarithmic y axis, where values of 0 or less are gaps.

    Raises:
        ValueError: without a panel, for a line whose x and y differ in number, or a title in `log` without a panel.
    """
    if not panels:
        raise ValueError("curves(panels={}): expected at least one panel.")
    for title in log:
        if title not in panels:
            raise ValueError(f"curves(log={title!r}): expected the title of a panel, one of {list(panels)}.")
    for title, lines in panels.items():
        for name, (x, y) in lines.items():
            if len(x) != len(y):
                raise ValueError(f"curves(): {title!r}, {name!r} has {len(x)} x and {len(y)} y; expected as many.")
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    columns = min(len(panels), 2)
    rows = math.ceil(len(panels) / columns)
    style: dict[Any, Any] = dict(matplotlib.rcParamsDefault) | _STYLE | {"svg.hashsalt": "\n".join(panels)}
    del style["backend"]
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(columns * _PANEL[0], rows * _PANEL[1]))
        canvas = FigureCanvasSVG(figure)
        for place, (title, lines) in enumerate(panels.items()):
            axes = figure.add_axes(_place(*divmod(place, columns), rows, columns))
            _panel(axes, title, lines, marks, xlabel, title in log)
        written = io.StringIO()
        canvas.print_svg(written, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _clean(written.getvalue(), "; ".join(panels))


def _place(row: int, column: int, rows: int, columns: int) -> tuple[float, float, float, float]:
    """Return left, bottom, width and height of a panel's axes as fractions of the figure."""
    (width, height), (left, right, top, bottom) = _PANEL, _MARGINS
    whole, high = columns * width, rows * height
    below = (rows - 1 - row) * height + bottom
    return (
        (column * width + left) / whole,
        below / high,
        (width - left - right) / whole,
        (height - top - bottom) / high,
    )


def _panel(
    axes: Any, title: str, lines: Mapping[str, Line], marks: Sequence[tuple[float, str]], xlabel: str, log: bool
) -> None:
    import numpy as np
    from matplotlib.ticker import EngFormatter, MaxNLocator, NullLocator

    def plain(value: float, _: int) -> str:
        return f"{value:.4g}".replace("-", "−")

    axes.set_title(title, parse_math=False)
    axes.set_xlabel(xlabel, parse_math=False)
    axes.grid(True)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.get_major_locator().set_params(integer=True, nbins=6)
    if log:
        axes.set_yscale("log")
    else:
        axes.yaxis.set_major_formatter(plain)
    shown = []
    for index, (x, y) in enumerate(lines.values()):
        at, values = np.asarray(x, dtype=float), np.array(y, dtype=float)
        values[~np.isfinite(values) | (values <= 0 if log else False)] = np.nan
        colour = _COLOURS[index % len(_COLOURS)]
        if len(values) > _DENSE:
            axes.plot(*extremes(at, values), color=colour, linewidth=0.7, alpha=0.3)
            thinned = slice(None, None, max(1, len(at) // _FINE))
            at, values = at[thinned], running_mean(values, len(values) // 40)[thinned]
        shown += axes.plot(at, values, color=colour, linewidth=1.4)
        alone = np.isfinite(values) & ~_has_neighbour(values)
        axes.plot(at[alone], values[alone], color=colour, linestyle="", marker="o", markersize=3.5)
    low, high = axes.get_ylim()
    if log and high < 10 * low:  # less than a decade: ticks at powers of ten would be too few
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(plain)
        axes.yaxis.set_minor_locator(NullLocator())
    if not any(np.isfinite(line.get_ydata()).any() for line in shown):
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no finite figures", transform=axes.transAxes, ha="center", va="center", alpha=0.7)
    elif len(lines) > 1 or not set(lines) <= {"", title}:
        legend = axes.legend(shown, [name or " " for name in lines], loc="best", ncols=1 if len(lines) < 5 else 2)
        for text in legend.get_texts():
            text.set_parse_math(False)
    _mark(axes, marks)


def _mark(axes: Any, marks: Sequence[tuple[float, str]]) -> None:
    low, high = axes.get_xlim()
    if marks:
        places = [place for place, _ in marks]
        margin = 0.02 * (max(high, *places) - min(low, *places))
        low, high = min(low, *(place - margin for place in places)), max(high, *(place + margin for place in places))
        axes.set_xlim(low, high)
    labelled = -math.inf
    for place, label in sorted(marks):
        axes.axvline(place, color=_INK, linewidth=0.9, linestyle=(0, (3, 2)), alpha=0.6)
        if place - labelled < 0.04 * (high - low):
            continue  # too close to the last label
        labelled, right = place, place > low + 0.9 * (high - low)
        axes.annotate(
            label,
            (place, 0.98),
            xycoords=axes.get_xaxis_transform(),
            xytext=(-2 if right else 2, 0),
            textcoords="offset points",
            rotation=90 if len(label) > 2 else 0,
            ha="right" if right else "left",
            va="top",
            fontsize=8,
            parse_math=False,
        )


def running_mean(values: Any, width: int) -> Any:
    """Return the mean over `width` points around each value, (N,); NaN counts nowhere and stays NaN."""
    import numpy as np

    known = np.isfinite(values)
    sums, counts = (np.concatenate([[0.0], np.cumsum(x)]) for x in (np.where(known, values, 0.0), known))
    ends = np.arange(1, len(values) + 1)
    first, last = np.maximum(ends - 1 - width // 2, 0), np.minimum(ends + width // 2, len(values))
    means = (sums[last] - sums[first]) / np.maximum(counts[last] - counts[first], 1)
    return np.where(known, means, np.nan)


def extremes(at: Any, values: Any) -> tuple[Any, Any]:
    """Return the smallest and the largest of neighbouring values, where there are more points than pixels."""
    import numpy as np

    size = len(values) // _FINE
    if size < 2:
        return at, values
    whole = len(values) // size * size
    parts = values[:whole].reshape(-1, size)
    known = np.isfinite(parts)
    low, high = np.where(known, parts, np.inf).min(1), np.where(known, parts, -np.inf).max(1)
    ends = np.stack([low, high], 1).ravel()
    return np.repeat(at[:whole:size], 2), np.where(np.isfinite(ends), ends, np.nan)


def _has_neighbour(values: Any) -> Any:
    import numpy as np

    known = np.concatenate([[False], np.isfinite(values), [False]])
    return known[:-2] | known[2:]


def _clean(svg: str, title: str) -> str:
    """Return it without prolog, metadata and unused ids, with a description and the page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.S)
    referred = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in referred else "", svg)
    svg = svg.replace(_INK, "currentColor")
    opening = f'<svg class="curves" role="img" aria-label="{html.escape(title)}" color="{_GREY}" '
    return svg.replace("<svg ", opening, 1).strip() + "\n"
