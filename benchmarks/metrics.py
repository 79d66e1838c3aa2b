"""Whether each score moves as it should: real MNIST against real MNIST, spoiled in four ways, at four strengths each.

    python benchmarks/metrics.py            # 5 seeds; two minutes on one idle CPU core
    python benchmarks/metrics.py --quick    # a smoke run, whose figures mean nothing

A seed draws 2,500 training digits as the reals and 2,500 others in the generator's place. These are left as they are,
which gives each score's floor at this number of samples, or are

- blurred: by a Gaussian of 0.5, 1, 1.5 or 2 pixels;
- noisy: N(0, σ²) is added to images in [−1, 1], σ 0.1, 0.2, 0.4 or 0.8, and they are clamped;
- without 1, 2, 4 or 8 of the ten classes, digits 0, 1, …; as many as before, of the others;
- duplicates: only 1 in 2, 8, 32 or 128 of them is drawn, and repeated as often.

Samples are seen through DigitFeatures, 128 of them, or classified by the digit classifier. The scores are the
library's with their defaults, but for KernelDistance, which takes 20 subsets in place of 100. The Fréchet distance
must rise from strength to strength, beyond two standard errors of the mean difference over the seeds.
"""

import argparse
import csv
import math
import statistics
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from lightning_gans.data import MNIST
from lightning_gans.metrics import (
    NDB,
    ClassCoverage,
    DensityCoverage,
    FrechetDistance,
    InceptionScore,
    KernelDistance,
    NearestNeighbour,
    PairwiseDiversity,
    PrecisionRecall,
    Score,
)
from lightning_gans.networks import DigitFeatures

RESULTS = Path(__file__).parent / "results"
STRENGTHS = {
    "blurred, pixels": (0.5, 1, 1.5, 2),
    "noisy, σ": (0.1, 0.2, 0.4, 0.8),
    "classes left out": (1, 2, 4, 8),
    "repeated, times": (2, 8, 32, 128),
}
SHOWN = [
    "fd",
    "kd",
    "precision",
    "recall",
    "density",
    "coverage",
    "ndb",
    "ndb_js",
    "diversity",
    "nn_ratio",
    "nn_closer",
    "is",
    "classes",
    "kl_real",
]


class Head(nn.Module):
    """The digit classifier's last layer, for features in the place of images."""

    input_shape = (1, 1, 128)

    def __init__(self, features: DigitFeatures):
        super().__init__()
        self.head = features.network.classifier.head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


def scores(features: DigitFeatures, subset: int) -> list[Score]:
    """The scores, for samples that are features already."""
    seen = [FrechetDistance(), PrecisionRecall(), DensityCoverage(), NDB(), PairwiseDiversity(), NearestNeighbour()]
    judged = [ClassCoverage(Head(features)), InceptionScore(Head(features))]
    return [*seen, KernelDistance(subsets=20, subset_size=subset), *judged]


def extract(features: DigitFeatures, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch.cat([features(part) for part in images.split(500)]).clone()


def as_images(digits: Tensor) -> Tensor:
    return digits.float() / 127.5 - 1


def blurred(x: Tensor, sigma: float) -> Tensor:
    from torchvision.transforms.functional import gaussian_blur

    return gaussian_blur(x, [2 * math.ceil(3 * sigma) + 1] * 2, [sigma] * 2)


def spoiled(way: str, strength: float, drawn: Tensor, pool: Tensor, digits: Tensor, y: Tensor, seen: Tensor) -> Tensor:
    """Indices of digits to features, as they are when spoiled; those of the whole training set are `seen`."""
    if way.startswith("classes"):
        drawn = pool[y[pool] >= strength][: len(drawn)]
        return seen[drawn]
    if way.startswith("repeated"):
        return seen[drawn[: math.ceil(len(drawn) / strength)].repeat(int(strength))[: len(drawn)]]
    x = as_images(digits[drawn])
    if way.startswith("noisy"):
        x = (x + strength * torch.randn_like(x)).clamp(-1, 1)
    return extract(DigitFeatures(), blurred(x, strength) if way.startswith("blurred") else x)


def figures(real: Tensor, fake: Tensor, features: DigitFeatures, subset: int) -> dict[str, float]:
    found = {}
    for score in scores(features, subset):
        for x, kind in (real, True), (fake, False):
            judged = isinstance(score, ClassCoverage | InceptionScore)
            score.update(x.view(-1, 1, 1, 128) if judged else x, real=kind)
        found |= {name: float(value) for name, value in score.figures().items()}
    return found


def mean_and_error(values: list[float]) -> tuple[float, float]:
    return statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def draw(table: dict[tuple[str, float], dict[str, list[float]]], about: str, path: Path) -> None:
    """One panel a score, one line a way of spoiling, from the floor on the left to the strongest."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 9), layout="constrained")
    axes = figure.subplots(3, 5).flatten()
    for axis, name in zip(axes, SHOWN, strict=False):
        for way, strengths in STRENGTHS.items():
            points = [mean_and_error(table[key][name]) for key in [("none", 0.0), *((way, s) for s in strengths)]]
            mean, error = zip(*points, strict=True)
            label = f"{way} ({', '.join(map(str, strengths))})"
            axis.errorbar(range(5), mean, [2 * e for e in error], marker="o", ms=3, lw=1.2, capsize=2, label=label)
        axis.set_title(name, fontsize=11)
        axis.set_xticks(range(5), ["floor", "1", "2", "3", "4"])
        axis.grid(alpha=0.3)
    axes[0].set_yscale("log")
    for axis in axes[len(SHOWN) :]:
        axis.axis("off")
    axes[-1].legend(
        *axes[0].get_legend_handles_labels(), loc="center", frameon=False, fontsize=9, title="strength 1 to 4"
    )
    figure.suptitle(about.replace("standard error", "2 standard errors"), fontsize=11)
    FigureCanvasAgg(figure).print_png(path)


def main(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    size, seeds = (200, 2) if arguments.quick else (2500, arguments.seeds)
    data = MNIST(val_size=0)
    digits, y = data.images("train")
    if arguments.quick:
        digits, y = digits[:2000], y[:2000]
    features = DigitFeatures()
    seen = extract(features, as_images(digits))
    table: dict[tuple[str, float], dict[str, list[float]]] = {}
    for seed in range(seeds):
        torch.manual_seed(seed)
        order = torch.randperm(len(digits))
        real, pool = seen[order[:size]], order[size:]
        drawn = pool[:size]
        for way, strength in [("none", 0.0), *((way, s) for way, all_ in STRENGTHS.items() for s in all_)]:
            fake = seen[drawn] if way == "none" else spoiled(way, strength, drawn, pool, digits, y, seen)
            for name, value in figures(real, fake, features, min(1000, size)).items():
                table.setdefault((way, strength), {}).setdefault(name, []).append(value)
    about = (
        f"{size:,} real MNIST digits and {size:,} others, through DigitFeatures; {seeds} seeds, mean ± standard error"
    )
    rows = []
    for (way, strength), found in table.items():
        shown = ["{:.3g} ± {:.2g}".format(*mean_and_error(found[name])) for name in SHOWN]
        rows.append([way, strength, size, seeds, *shown])
    print(about)
    for part in (slice(0, 5), slice(5, 10), slice(10, None)):
        print(f"\n{'':<24}" + "".join(f"{name:>21}" for name in SHOWN[part]))
        for way, strength, _, _, *shown in rows:
            title = "as they are: the floor" if way == "none" else f"{way} {strength}"
            print(f"{title:<24}" + "".join(f"{figure:>21}" for figure in shown[part]))
    print()
    for way, strengths in STRENGTHS.items():
        keys = [("none", 0.0), *((way, strength) for strength in strengths)]
        holds = True
        for before, after in pairwise(keys):
            gain, error = mean_and_error([b - a for a, b in zip(table[before]["fd"], table[after]["fd"], strict=True)])
            holds &= gain > 2 * error
        print(f"fd, {way}: {'rises at each strength' if holds else 'DOES NOT RISE at each strength'}")
    if arguments.quick:
        return
    with open(RESULTS / "metrics.csv", "w", newline="") as file:
        header = ["spoiled", "strength", "samples", "seeds", *SHOWN, "torch"]
        csv.writer(file, lineterminator="\n").writerows([header, *([*row, torch.__version__] for row in rows)])
    draw(table, about, RESULTS / "metrics.png")
    print("written to benchmarks/results/metrics.csv and metrics.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    main(parser.parse_args())
