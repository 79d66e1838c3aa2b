"""Test whether each score detects defects: real MNIST against real MNIST with four defects, at four strengths each.

    python benchmarks/metrics.py            # 5 seeds; two minutes on one idle CPU core
    python benchmarks/metrics.py --quick    # a smoke test; its figures mean nothing

For each seed, 2,500 training digits serve as real samples and 2,500 others as generated ones. The latter are unchanged,
which gives each score's floor at this number of samples, or are

- blurred: by a Gaussian of 0.5, 1, 1.5 or 2 pixels;
- noisy: N(0, σ²) is added to images in [−1, 1], σ 0.1, 0.2, 0.4 or 0.8, and they are clamped;
- without 1, 2, 4 or 8 of the ten classes, digits 0, 1, …; the same number of samples, from the other classes;
- duplicates: only 1 in 2, 8, 32 or 128 of them is drawn, and repeated as often.

Scores use the 128 DigitFeatures, or the classes of the digit classifier. They are the library's with their defaults,
except that KernelDistance uses 20 subsets instead of 100. The Fréchet distance must rise from strength to strength,
by more than two standard errors of the mean difference over the seeds.
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
    """The digit classifier's last layer, applied to features instead of images."""

    input_shape = (1, 1, 128)

    def __init__(self, features: DigitFeatures):
        super().__init__()
        self.head = features.network.classifier.head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


def scores(features: DigitFeatures, subset: int) -> list[Score]:
    """Return the scores, for samples that are features already."""
    by_features = [FrechetDistance(), PrecisionRecall(), DensityCoverage(), NDB(), PairwiseDiversity()]
    by_features += [NearestNeighbour(), KernelDistance(subsets=20, subset_size=subset)]
    return [*by_features, ClassCoverage(Head(features)), InceptionScore(Head(features))]


def extract(features: DigitFeatures, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch.cat([features(part) for part in images.split(500)]).clone()


def as_images(digits: Tensor) -> Tensor:
    return digits.float() / 127.5 - 1


def blurred(x: Tensor, sigma: float) -> Tensor:
    from torchvision.transforms.functional import gaussian_blur

    return gaussian_blur(x, [2 * math.ceil(3 * sigma) + 1] * 2, [sigma] * 2)


def degraded(
    defect: str, strength: float, drawn: Tensor, pool: Tensor, digits: Tensor, y: Tensor, features: Tensor
) -> Tensor:
    """Return the features of the digits with indices `drawn` after a defect; `features` are those of all digits."""
    if defect.startswith("classes"):
        drawn = pool[y[pool] >= strength][: len(drawn)]
        return features[drawn]
    if defect.startswith("repeated"):
        return features[drawn[: math.ceil(len(drawn) / strength)].repeat(int(strength))[: len(drawn)]]
    x = as_images(digits[drawn])
    if defect.startswith("noisy"):
        x = (x + strength * torch.randn_like(x)).clamp(-1, 1)
    return extract(DigitFeatures(), blurred(x, strength) if defect.startswith("blurred") else x)


def figures(real: Tensor, fake: Tensor, features: DigitFeatures, subset: int) -> dict[str, float]:
    values = {}
    for score in scores(features, subset):
        for x, kind in (real, True), (fake, False):
            by_classes = isinstance(score, ClassCoverage | InceptionScore)
            score.update(x.view(-1, 1, 1, 128) if by_classes else x, real=kind)
        values |= {name: float(value) for name, value in score.figures().items()}
    return values


def mean_and_error(values: list[float]) -> tuple[float, float]:
    return statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def draw(table: dict[tuple[str, float], dict[str, list[float]]], about: str, path: Path) -> None:
    """Draw one panel per score and one line per defect, from the floor on the left to the strongest defect."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 9), layout="constrained")
    axes = figure.subplots(3, 5).flatten()
    for axis, name in zip(axes, SHOWN, strict=False):
        for defect, strengths in STRENGTHS.items():
            points = [mean_and_error(table[key][name]) for key in [("none", 0.0), *((defect, s) for s in strengths)]]
            mean, error = zip(*points, strict=True)
            label = f"{defect} ({', '.join(map(str, strengths))})"
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
    of_all = extract(features, as_images(digits))
    table: dict[tuple[str, float], dict[str, list[float]]] = {}
    for seed in range(seeds):
        torch.manual_seed(seed)
        order = torch.randperm(len(digits))
        real, pool = of_all[order[:size]], order[size:]
        drawn = pool[:size]
        defects = [(defect, strength) for defect, strengths in STRENGTHS.items() for strength in strengths]
        for defect, strength in [("none", 0.0), *defects]:
            unchanged = defect == "none"
            fake = of_all[drawn] if unchanged else degraded(defect, strength, drawn, pool, digits, y, of_all)
            for name, value in figures(real, fake, features, min(1000, size)).items():
                table.setdefault((defect, strength), {}).setdefault(name, []).append(value)
    about = (
        f"{size:,} real MNIST digits and {size:,} others, through DigitFeatures; {seeds} seeds, mean ± standard error"
    )
    rows = []
    for (defect, strength), values in table.items():
        shown = ["{:.3g} ± {:.2g}".format(*mean_and_error(values[name])) for name in SHOWN]
        rows.append([defect, strength, size, seeds, *shown])
    print(about)
    for part in (slice(0, 5), slice(5, 10), slice(10, None)):
        print(f"\n{'':<24}" + "".join(f"{name:>21}" for name in SHOWN[part]))
        for defect, strength, _, _, *shown in rows:
            title = "unchanged: the floor" if defect == "none" else f"{defect} {strength}"
            print(f"{title:<24}" + "".join(f"{figure:>21}" for figure in shown[part]))
    print()
    for defect, strengths in STRENGTHS.items():
        keys = [("none", 0.0), *((defect, strength) for strength in strengths)]
        holds = True
        for before, after in pairwise(keys):
            gain, error = mean_and_error([b - a for a, b in zip(table[before]["fd"], table[after]["fd"], strict=True)])
            holds &= gain > 2 * error
        print(f"fd, {defect}: {'rises at each strength' if holds else 'DOES NOT RISE at each strength'}")
    if arguments.quick:
        return
    with open(RESULTS / "metrics.csv", "w", newline="") as file:
        header = ["defect", "strength", "samples", "seeds", *SHOWN, "torch"]
        csv.writer(file, lineterminator="\n").writerows([header, *([*row, torch.__version__] for row in rows)])
    draw(table, about, RESULTS / "metrics.png")
    print("written to benchmarks/results/metrics.csv and metrics.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    main(parser.parse_args())
