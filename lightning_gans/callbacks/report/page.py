"""The page about a run: one HTML text with everything inside it, made from the run's folder."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lightning_gans.callbacks.report.animation import embedded_animation
from lightning_gans.callbacks.report.charts import DECIDING, Chart, Columns, charts, draw, read_columns
from lightning_gans.callbacks.report.redaction import redacted
from lightning_gans.callbacks.report.style import STYLE

_PICTURE_BYTES = 120_000  # a larger picture is embedded as JPEG
_PICTURE_SIDE = 720
_ALL_BYTES = 1_200_000  # of all pictures together; an animation that would exceed it is made smaller
_LEAST_BYTES = 300_000  # for the animation, however large the pictures are
_FRAMES = 6
_EVENTS = 12  # later ones are in health.json only


def page(
    folder: Path,
    title: str,
    subtitle: str,
    status: str,
    succeeded: bool | None,
    facts: Mapping[str, str],
    environment: Mapping[str, str],
    commands: Mapping[str, str],
) -> str:
    """Return the report of a run as one self-contained HTML text; what the folder does not have is left out.

    Args:
        folder: the run's folder, with metrics.csv, health.json, samples/, checkpoints/ and config.yaml.
        title: the run's name.
        subtitle: the model and the data.
        status: how the run has ended.
        succeeded: whether it has ended as intended; None where that is not known, as while it runs.
        facts: name → how long it ran and how far it came.
        environment: name → where and with what it ran.
        commands: what can be done next → the command.
    """
    columns = read_columns(folder / "metrics.csv") if (folder / "metrics.csv").is_file() else {}
    health = _health(folder / "health.json")
    marks = [(float(event["batch"]), str(number)) for number, event in enumerate(health.get("events", []), 1)]
    tone = "calm" if succeeded is None else "good" if succeeded else "bad"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(subtitle)}</p>',
        f'<p><span class="pill {tone}">{escape(redacted(status))}</span></p>',
        _section("", f'<div class="card">{_list(facts)}</div>'),
        _section("Verdict", _verdict(health)),
        _section("Samples", _samples(folder / "samples")),
    ]
    sections = charts(columns)
    scores = sections.pop("Scores", [])
    if scores:
        parts.append(_section("Scores", _scores(scores, columns), *_figures(scores, columns, marks)))
    elif not columns:
        parts.append(_section("Curves", '<p class="soft">Nothing was logged before the run ended.</p>'))
    if DECIDING in sections:
        parts.append(_section(DECIDING, *_figures(sections.pop(DECIDING), columns, marks)))
    folded = {name: "".join(_figures(found, columns, marks)) for name, found in sections.items()}
    folded |= {"Checkpoints": _checkpoints(folder), "Environment": _list(environment, "wide"), **_config(folder)}
    parts += [
        _section("What to do next", _commands(commands)),
        _section("More", *(_folded(name, body) for name, body in folded.items() if body)),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _section(title: str, *parts: str) -> str:
    body = "\n".join(part for part in parts if part)
    heading = f"<h2>{escape(title)}</h2>\n" if title else ""
    return f"<section>\n{heading}{body}\n</section>" if body else ""


def _folded(title: str, body: str) -> str:
    """Return what is shown when its title is clicked, so that the page stays short."""
    return f'<details class="card"><summary>{escape(title)}</summary>{body}</details>'


def _list(entries: Mapping[str, str], kind: str = "") -> str:
    inner = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(redacted(value))}</dd></div>" for name, value in entries.items()
    )
    return f'<dl class="{kind}">{inner}</dl>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        kinds = [' class="number"' if place in numbers else "" for place in range(len(row))]
        return "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for cell, kind in zip(row, kinds, strict=True))

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{cells(head, "th")}</tr></thead><tbody>{body}</tbody></table></div>'


# ---------------------------------------------------------------- health


def _health(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _verdict(health: Mapping[str, Any]) -> str:
    if "verdict" not in health:
        return (
            '<div class="card verdict calm"><h3>not monitored</h3><p class="soft">This run had no FailureMonitor, '
            "which detects mode collapse, vanishing gradients and other failures.</p></div>"
        )
    verdict, events, blocks = str(health["verdict"]), health.get("events", []), []
    for number, event in enumerate(events[:_EVENTS], 1):
        remedies = "".join(f"<li>{escape(str(remedy))}</li>" for remedy in event.get("remedies", []))
        blocks.append(
            f"<p><b>{number}. {escape(str(event['state']))}</b> at batch {event['batch']:,}: "
            f"{escape(str(event.get('evidence', '')))}</p>" + (f"<ul>{remedies}</ul>" if remedies else "")
        )
    if len(events) > _EVENTS:
        blocks.append(f"<p>{len(events) - _EVENTS} more are in health.json.</p>")
    note = "Dashed lines in the curves below have the numbers of these events." if blocks else "No failure was seen."
    blocks += [f"<p>{escape(str(one))}</p>" for one in health.get("notes", [])]
    tone = "good" if verdict == "healthy" else "bad"
    return (
        f'<div class="card verdict {tone}"><h3>{escape(verdict)}</h3>{"".join(blocks)}<p class="soft">{note}</p></div>'
    )


# ---------------------------------------------------------------- pictures


def _samples(folder: Path) -> str:
    frames = sorted(path for path in folder.glob("epoch_*.png") if path.stem.removeprefix("epoch_").isdigit())
    chosen = [frames[round(i * (len(frames) - 1) / (_FRAMES - 1))] for i in range(_FRAMES)] if frames else []
    epochs = {path: int(path.stem.removeprefix("epoch_")) for path in chosen}
    captions = {path: f"epoch {epoch}" if epoch else "the beginning" for path, epoch in epochs.items()}
    if (folder / "real.png").is_file():
        captions[folder / "real.png"] = "real samples"
    figures = [_picture(path, caption) for path, caption in captions.items()]
    animation = folder / "training.gif"
    if animation.is_file():
        room = max(_LEAST_BYTES, _ALL_BYTES - sum(map(len, figures)) * 3 // 4)
        figures.append(_figure(embedded_animation(animation, room), "gif", animation, "the whole run"))
    strip = f'<div class="strip">{"".join(figures)}</div>' if figures else ""
    same = "All pictures of the generator are of the same latents." if len(chosen) > 1 else ""
    return (f'<p class="soft">{same}</p>' if same else "") + strip


def _picture(path: Path, caption: str) -> str:
    data, kind = path.read_bytes(), "png"
    if len(data) > _PICTURE_BYTES:
        from PIL import Image

        with Image.open(io.BytesIO(data)) as image:
            small = image.convert("RGB")
            small.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
        written, kind = io.BytesIO(), "jpeg"
        small.save(written, "JPEG", quality=85)
        data = written.getvalue()
    return _figure(data, kind, path, caption)


def _figure(data: bytes, kind: str, path: Path, caption: str) -> str:
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    image = f'<img src="{source}" alt="{escape(caption)}">'
    linked = f'<a href="samples/{escape(quote(path.name))}">{image}</a>'
    return f'<figure class="card">{linked}<figcaption>{escape(caption)}</figcaption></figure>'


# ---------------------------------------------------------------- figures


def _figures(found: Sequence[Chart], columns: Columns, marks: Sequence[tuple[float, str]]) -> list[str]:
    cards = [
        f'<figure class="card chart">{draw(chart, columns, marks)}'
        f"<figcaption>{escape(chart.caption)}</figcaption></figure>"
        for chart in found
    ]
    return [f'<div class="grid">{"".join(cards)}</div>'] if cards else []


def _scores(found: Sequence[Chart], columns: Columns) -> str:
    """Return a table of the last, the lowest and the highest value of every score."""
    names = [line for chart in found for line in chart.lines.values()]
    rows = []
    for name in names:
        x, y = columns[name]
        low, high = min(range(len(y)), key=y.__getitem__), max(range(len(y)), key=y.__getitem__)
        places = [f"{y[at]:.4g} (batch {x[at]:,.0f})" for at in (low, high)]
        rows.append([name.removeprefix("val/"), f"{y[-1]:.4g}", *places])
    table = _table(["score", "last", "lowest", "highest"], rows, [1, 2, 3])
    return f'<div class="card" style="margin-bottom:16px">{table}</div>'


# ---------------------------------------------------------------- files


def _checkpoints(folder: Path) -> str:
    files = sorted((folder / "checkpoints").glob("*.ckpt"), key=lambda path: path.stat().st_mtime)
    rows = [[f"checkpoints/{path.name}", f"{path.stat().st_size / 1e6:,.1f} MB"] for path in files]
    return _table(["file", "size"], rows, [1]) if rows else ""


def _commands(commands: Mapping[str, str]) -> str:
    inner = "".join(
        f'<p>{escape(purpose)}</p><pre class="command">{escape(redacted(command))}</pre>'
        for purpose, command in commands.items()
    )
    return f'<div class="card">{inner}</div>' if inner else ""


def _config(folder: Path) -> dict[str, str]:
    for name in ("config.yaml", "hparams.yaml"):
        text = (folder / name).read_text() if (folder / name).is_file() else ""
        if text.strip() not in ("", "{}"):
            return {name: f"<pre>{escape(redacted(text))}</pre>"}
    return {}
