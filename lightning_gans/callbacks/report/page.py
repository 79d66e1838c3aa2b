"""The page that a run leaves behind: one HTML text with everything inside it, made from the run's folder."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from lightning_gans.callbacks.report.charts import Columns, charts, draw, read_columns

_PICTURE_BYTES = 120_000  # a larger picture is embedded as JPEG
_PICTURE_SIDE = 720
_ALL_BYTES = 1_200_000  # an animation that would exceed this, together with the pictures, is linked
_FRAMES = 6
_EVENTS = 12  # more are left to health.json
_SECRET = re.compile(
    r"""(?ix) ( (?:^|[\s\-_.{,"']) (?:[\w\-]*[_\-])? (?:api[_\-]?key|token|secret|passw(?:or)?d|credentials?) ["']? )
    (\s*[:=]\s*|\s+) (?!null\b|None\b) ( "[^"]*" | '[^']*' | [^\s,}]+ )"""
)
_IN_ADDRESS = re.compile(r"(://)[^/\s:@]+:[^/\s@]+@")

_STYLE = """
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--text:#1d2229;--soft:#5c6670;--line:#dfe3e8;--link:#1f66b3;
--good:#1b7f4d;--bad:#b3361e;--calm:#5c6670}
@media(prefers-color-scheme:dark){:root{--page:#101418;--card:#181d23;--text:#e4e8ec;--soft:#9aa5b0;--line:#2b333b;
--link:#7db5f0;--good:#54c48b;--bad:#f08a74;--calm:#9aa5b0}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1160px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:36px 0 12px}
h3{font-size:1rem;margin:0 0 6px}
p{margin:0 0 8px}
p,li{overflow-wrap:anywhere}
a{color:var(--link)}
.soft,figcaption{color:var(--soft);font-size:.875rem}
.pill{display:inline-block;border:1px solid currentColor;border-radius:14px;padding:1px 12px;font-size:.875rem;
font-weight:600;margin-top:8px}
.good{color:var(--good)}.bad{color:var(--bad)}.calm{color:var(--calm)}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px;margin:0;min-width:0}
.grid{display:grid;gap:16px;grid-template-columns:repeat(auto-fill,minmax(min(100%,440px),1fr))}
.strip{display:grid;gap:12px;grid-template-columns:repeat(auto-fill,minmax(min(calc(50% - 6px),230px),1fr))}
.strip figure{padding:10px}
.strip img{width:100%;height:auto;display:block;border-radius:5px;background:#fff}
.chart svg{width:100%;height:auto;display:block;color:var(--text)}
figcaption{margin-top:6px}
dl{display:grid;gap:12px 24px;grid-template-columns:repeat(auto-fill,minmax(130px,1fr));margin:0}
dt{color:var(--soft);font-size:.8125rem}
dd{margin:0;font-weight:600;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
dl.wide{grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr))}
.verdict{border-left:5px solid currentColor}
.verdict>p:not(.soft),.verdict>ul{color:var(--text)}
.verdict h3{font-size:1.1rem}.verdict>:last-child{margin-bottom:0}
.verdict ul{margin:0 0 10px;padding-left:22px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9375rem}
th,td{text-align:left;padding:6px 18px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600;font-size:.8125rem}
td.number,th.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
tr:last-child td{border-bottom:0}
pre{margin:0;overflow-x:auto;font:13px/1.55 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.command{background:var(--page);border-radius:6px;padding:8px 10px;margin:0 0 12px}
summary{cursor:pointer;font-weight:600}
details[open] summary{margin-bottom:12px}
"""


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
    """The report of a run as HTML that needs nothing beside it; whatever is missing in the folder is left out.

    Args:
        folder: the run's, with metrics.csv, health.json, samples/, checkpoints/ and config.yaml.
        title: the run's name.
        subtitle: what it trains on what.
        status: how it has ended.
        succeeded: whether that is as it should be; None where that cannot be said, as while it runs.
        facts: name → how long it ran and how far it came.
        environment: name → where and with what it ran.
        commands: what one can do next → the command.
    """
    columns = read_columns(folder / "metrics.csv") if (folder / "metrics.csv").is_file() else {}
    health = _health(folder / "health.json")
    marks = [(float(event["batch"]), str(number)) for number, event in enumerate(health.get("events", []), 1)]
    tone = "calm" if succeeded is None else "good" if succeeded else "bad"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(subtitle)}</p>',
        f'<p><span class="pill {tone}">{escape(shown(status))}</span></p>',
        _section("", f'<div class="card">{_list(facts)}</div>'),
        _section("Verdict", _verdict(health)),
        _section("Samples", _samples(folder / "samples")),
    ]
    sections = charts(columns)
    if "Scores" in sections:
        parts.append(_section("Scores", _scores(columns), *_figures(sections.pop("Scores"), columns, marks)))
    elif not columns:
        parts.append(_section("Curves", '<p class="soft">Nothing was logged: the run ended before the first line.</p>'))
    parts += [_section(name, *_figures(found, columns, marks)) for name, found in sections.items()]
    parts += [
        _section("Checkpoints", _checkpoints(folder)),
        _section("What to do next", _commands(commands)),
        _section("Environment", f'<div class="card">{_list(environment, "wide")}</div>'),
        _section("Config", _config(folder)),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def shown(text: str) -> str:
    """A text without what is nobody's business: values of keys and tokens, passwords in addresses, the home folder."""
    text = _SECRET.sub(r"\1\2(hidden)", text)
    text = _IN_ADDRESS.sub(r"\1(hidden)@", text)
    home = str(Path.home())
    return text if len(home) < 4 else re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)


def _section(title: str, *parts: str) -> str:
    body = "\n".join(part for part in parts if part)
    heading = f"<h2>{escape(title)}</h2>\n" if title else ""
    return f"<section>\n{heading}{body}\n</section>" if body else ""


def _list(entries: Mapping[str, str], kind: str = "") -> str:
    inner = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(shown(value))}</dd></div>" for name, value in entries.items()
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
            '<div class="card verdict calm"><h3>not watched</h3><p class="soft">Nobody looked for mode collapse, '
            "vanishing gradients and the like in this run. FailureMonitor does, and names them.</p></div>"
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
    note = "The numbers are those of the dashed lines in the curves below." if blocks else "No failure was seen."
    tone = "good" if verdict == "healthy" else "bad"
    return (
        f'<div class="card verdict {tone}"><h3>{escape(verdict)}</h3>{"".join(blocks)}<p class="soft">{note}</p></div>'
    )


# ---------------------------------------------------------------- pictures


def _samples(folder: Path) -> str:
    frames = sorted(folder.glob("epoch_*.png"))
    chosen = [frames[round(i * (len(frames) - 1) / (_FRAMES - 1))] for i in range(_FRAMES)] if frames else []
    captions = {path: f"epoch {int(path.stem.rpartition('_')[2])}" for path in chosen}
    if (folder / "real.png").is_file():
        captions[folder / "real.png"] = "real samples"
    figures = [_picture(path, caption) for path, caption in captions.items()]
    animation = folder / "training.gif"
    moves = animation.is_file()
    fits = moves and animation.stat().st_size + sum(map(len, figures)) * 3 / 4 <= _ALL_BYTES
    if fits:
        figures.append(_figure(animation.read_bytes(), "gif", animation, "the whole run"))
    strip = f'<div class="strip">{"".join(figures)}</div>' if figures else ""
    if moves and not fits:
        strip += '<p class="soft">The whole run moves in <a href="samples/training.gif">samples/training.gif</a>.</p>'
    same = "The same latents in every picture, so that one sees the generator learn." if len(chosen) > 1 else ""
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
    linked = f'<a href="samples/{path.name}">{image}</a>'
    return f'<figure class="card">{linked}<figcaption>{escape(caption)}</figcaption></figure>'


# ---------------------------------------------------------------- figures


def _figures(found: Sequence[Any], columns: Columns, marks: Sequence[tuple[float, str]]) -> list[str]:
    cards = [
        f'<figure class="card chart">{draw(chart, columns, marks)}'
        f"<figcaption>{escape(chart.caption)}</figcaption></figure>"
        for chart in found
    ]
    return [f'<div class="grid">{"".join(cards)}</div>'] if cards else []


def _scores(columns: Columns) -> str:
    names = [line for chart in charts(columns)["Scores"] for line in chart.lines.values()]
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
    return f'<div class="card">{_table(["file", "size"], rows, [1])}</div>' if rows else ""


def _commands(commands: Mapping[str, str]) -> str:
    inner = "".join(
        f'<p>{escape(purpose)}</p><pre class="command">{escape(shown(command))}</pre>'
        for purpose, command in commands.items()
    )
    return f'<div class="card">{inner}</div>' if inner else ""


def _config(folder: Path) -> str:
    for name in ("config.yaml", "hparams.yaml"):
        text = (folder / name).read_text() if (folder / name).is_file() else ""
        if text.strip() not in ("", "{}"):
            return f'<details class="card"><summary>{name}</summary><pre>{escape(shown(text))}</pre></details>'
    return ""
