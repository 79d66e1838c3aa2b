"""Which figures of a run are drawn together, and what a newcomer reads under them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_gans.callbacks.report.curves import curves

Column = tuple[list[float], list[float]]
Columns = dict[str, Column]

_EVALUATED = {"discriminator_loss", "generator_loss", "real_logit", "fake_logit"}
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


GAME = (
    Chart(
        "Losses",
        {"generator": "loss/generator", "discriminator": "loss/discriminator"},
        "What each player minimises. Neither has to fall: players of equal strength hold each other where they are. "
        "How good the samples are cannot be read off here.",
    ),
    Chart(
        "Losses on held-out samples",
        {"generator": "val/generator_loss", "discriminator": "val/discriminator_loss"},
        "The same on samples that are not trained on. A discriminator whose loss rises here while it falls in training "
        "learns its training set by heart.",
    ),
    Chart(
        "Logits",
        {"real": "discriminator/real_logit", "generated": "discriminator/fake_logit"},
        "What the discriminator gives to real and to generated samples, on average: the higher, the more real it "
        "finds them. Lines that drift far apart say that it wins.",
    ),
    Chart(
        "Logits of held-out samples",
        {"real": "val/real_logit", "generated": "val/fake_logit"},
        "The same with real samples that are not trained on.",
    ),
    Chart(
        "Separation",
        {"": "discriminator/separation"},
        "How often the discriminator gives a real sample the higher logit of a pair: 0.5 if it cannot tell, 1 if it "
        "always can, below 0.5 if it is fooled.",
    ),
    Chart(
        "Gradient norms",
        {"generator": "gradients/generator", "discriminator": "gradients/discriminator"},
        "How strongly each player is pushed, before clipping, on a logarithmic scale. Near zero a player no longer "
        "learns; growth without end is an explosion.",
        log=True,
    ),
    Chart(
        "Learning rates",
        {"generator": "generator/learning_rate", "discriminator": "discriminator/learning_rate"},
        "The length of each player's steps, as its schedule sets it.",
        log=True,
    ),
)
_TERMS = "What stabilizers add to a loss, such as the penalty on the discriminator's slope."
_SCORES = {  # by the beginning of the name; the longest that fits
    "fd": "Fréchet distance between features of real and of generated samples. Lower is better.",
    "fid": "Fréchet Inception distance between real and generated samples. Lower is better.",
    "kd": "Kernel distance between features of real and of generated samples. Lower is better.",
    "kid": "Kernel Inception distance between real and generated samples. Lower is better.",
    "is": "Inception score: how sure a classifier is of each sample, and how varied its answers are. Higher is better.",
    "precision": "The share of generated samples that lie among real ones: their quality. Higher is better, up to 1.",
    "recall": "The share of real samples that lie among generated ones: their variety. Higher is better, up to 1.",
    "density": "How densely real samples surround generated ones: their quality. 1 is as dense as real samples.",
    "coverage": "The share of real samples with a generated one near by: their variety. Higher is better, up to 1.",
    "modes": "How many modes of the distribution the generator finds. Higher is better.",
    "classes": "How many classes the generator makes, by a classifier. Higher is better.",
    "confident": "The share of samples of which the classifier is sure: their quality. Higher is better, up to 1.",
    "confident_classes": "How many classes have a sample of which the classifier is sure. Higher is better.",
    "kl_real": "How unlike those of real samples the shares of classes are, in nats. Lower is better.",
    "high_quality": "The share of samples close to a mode. Higher is better, up to what real samples reach.",
    "reverse_kl": "How unevenly samples are spread over the modes, in nats. Lower is better; the floor is its least.",
    "kl_uniform": "How unevenly samples are spread over the classes, in nats. Lower is better; the floor is its least.",
    "sigma_ratio": "Spread of samples within a mode over the true one. 1 is right; less is too narrow.",
    "ndb": "The share of bins that hold too many or too few generated samples. Lower is better; the floor is chance.",
    "ndb_js": "Jensen-Shannon divergence between the bins of real and of generated samples. Lower is better.",
    "nn_closer": "How often a generated sample is nearer to real ones than a real one is: 0.5 if new, 1 for copies.",
    "nn_ratio": "Distance to the nearest real sample over that among real ones: about 1 if new, 0 for copies.",
    "diversity": "Mean distance between generated samples: their variety.",
    "lpips": "Mean perceptual distance between generated samples: their variety.",
    "ms_ssim": "Mean structural similarity of generated samples. The lower, the more varied they are.",
}
HEALTH = {
    "separation": "How often the discriminator ranks a real sample above a generated one: 0.5 cannot tell, 1 always.",
    "advantage": "How much the discriminator gains over one that cannot tell: 0 is nothing, 1 all there is to gain.",
    "margin": "Real logits less generated ones, in standard deviations. The larger, the surer the discriminator.",
    "score": "D(x) and D(G(z)): how probable the discriminator finds it that samples are real.",
    "gradient": "Norms of the gradients. A generator's near zero says that it has nothing to learn from.",
    "slope": "How steep the discriminator is at real and at generated samples.",
    "diversity": "Distance between generated samples over that between real ones. Near 0 all samples are alike.",
    "sensitivity": "How much a sample depends on its latent. Near 0 the generator ignores it.",
    "energy": "Distance between the distributions: 0 is the same, 1 is apart.",
    "coverage": "The share of real samples with a generated one near by. Low is missing modes.",
    "density": "How densely real samples surround generated ones. Low is poor samples.",
    "shift": "How far the whole distribution has moved since the last reading. High for long is an oscillation.",
    "movement": "How far the sample of one latent has moved since the last reading.",
    "pull": "How much the generator's loss still cares for the discriminator. 0 is saturated.",
    "finite": "1 while every figure is a number.",
    "loss": "Losses, averaged between readings.",
    "loss_change": "The later half of the losses between two readings, less the earlier half.",
    "loss_std": "How much the losses vary between readings.",
}


def read_columns(path: str | Path) -> Columns:
    """Every figure of a `metrics.csv` as (batches played so far, values); rows in which it is missing are left out."""
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
    """What there is to draw, by section: scores, the game, health, and whatever else was logged."""
    game = [_present(chart, columns) for chart in GAME]
    drawn = {column for chart in GAME for column in chart.lines.values()}
    game = [chart for chart in game if chart.lines and not _is_constant_rate(chart, columns)]
    terms = {name.removeprefix("loss/"): name for name in columns if name.startswith("loss/") and name not in drawn}
    if terms:
        game.insert(1, Chart("Terms of stabilizers", terms, _TERMS))
    drawn |= set(terms.values())
    scores = [name for name in columns if name.startswith("val/") and name.removeprefix("val/") not in _EVALUATED]
    health = [name for name in columns if name.startswith("health/")]
    drawn |= {*scores, *health} | {name for name in columns if name.startswith("progress/")}
    rest = [Chart(name, {"": name}) for name in columns if name not in drawn]
    sections = {"Scores": _scores(scores), "The game": game, "Health": _health(health), "Other figures": rest}
    return {title: found for title, found in sections.items() if found}


def draw(chart: Chart, columns: Columns, marks: Sequence[tuple[float, str]] = ()) -> str:
    """The panel of a chart as SVG."""
    lines = {line: columns[column] for line, column in chart.lines.items()}
    return curves({chart.title: lines}, marks, log=[chart.title] if chart.log else [])


def _present(chart: Chart, columns: Columns) -> Chart:
    lines = {line: column for line, column in chart.lines.items() if column in columns}
    return Chart(chart.title, lines, chart.caption, chart.log)


def _is_constant_rate(chart: Chart, columns: Columns) -> bool:
    return chart.title == "Learning rates" and all(len(set(columns[name][1])) == 1 for name in chart.lines.values())


def _scores(names: list[str]) -> list[Chart]:
    found = []
    for name in names:
        figure = name.removeprefix("val/")
        if figure.endswith("_floor") and name.removesuffix("_floor") in names:
            continue
        lines = {figure: name}
        if f"{name}_floor" in names:
            lines["floor"] = f"{name}_floor"
        found.append(Chart(figure, lines, _explained(figure, _SCORES), log=figure in ("fd", "fid")))
    return found


def _health(names: list[str]) -> list[Chart]:
    groups: dict[str, dict[str, str]] = {}
    for name in names:
        figure = name.removeprefix("health/")
        side = next((side for side in _SIDES if figure.startswith(side)), "")
        groups.setdefault(figure.removeprefix(side), {})[_SIDES.get(side, "")] = name
    order = [*_SIDES.values(), ""]
    groups = {
        figure: dict(sorted(lines.items(), key=lambda one: order.index(one[0]))) for figure, lines in groups.items()
    }
    named = {figure: figure.replace("_", " ").capitalize() for figure in groups}
    return [Chart(named[figure], lines, HEALTH.get(figure, "")) for figure, lines in groups.items()]


def _explained(figure: str, captions: dict[str, str]) -> str:
    if figure.endswith("_std"):
        return f"The standard deviation of {figure.removesuffix('_std')}."
    fitting = [name for name in captions if figure == name or figure.startswith(f"{name}_")]
    return captions[max(fitting, key=len)] if fitting else ""
