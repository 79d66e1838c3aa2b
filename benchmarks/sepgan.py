"""Test whether a stochastic ensemble gives variety where one network would collapse, in SEP-GAN.

    python benchmarks/sepgan.py               # with the digit classifier; a quarter of an hour on two cores
    python benchmarks/sepgan.py --imagenet    # with EfficientNet-Lite0, one seed; half an hour
    python benchmarks/sepgan.py --quick       # a smoke test; its figures mean nothing

The generator is trained for 600 steps (ImageNet: 2,400) of 16 images with a frozen classifier; Adam 1e-3, beta1 0.5.
Compared are ensembles of R groups in two stochastic layers (R^2 routes), where R = 1 is a plain network of the same
active width; a plain network of about as many parameters as R = 16 ("wide"); and R = 16 with groups that start
identical ("alike"). Distances are mean pairwise Euclidean distances, divided by that of real images (MNIST's test
digits; for ImageNet, crops of the two photographs that ship with scikit-learn):

- within: among 16 samples of one route, mean over 8 routes;
- across: among up to 64 routes at one latent vector, mean over 4 latent vectors;
- total: among 256 samples, each on its own route; in pixels, and in the classifier's features.

Classes are those to which the classifier assigns at least 1 % of the 256 samples; confidence is the mean largest
probability.
"""

import argparse
import csv
import math
import statistics
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from training_runs import summary

from lightning_gans import SEPGAN
from lightning_gans.data import MNIST
from lightning_gans.generation import draw, draw_by_route, picture
from lightning_gans.networks import (
    Constant,
    DigitClassifier,
    FrozenClassifier,
    StochasticEnsembleGenerator,
    StochasticLayer,
    efficientnet_lite0,
)
from lightning_gans.optimizers import Adam
from lightning_gans.targets import Classes, MarginalEntropy, OwnGuess, PerRoute, Target

RESULTS = Path(__file__).parent / "results"
BATCH, WIDTH = 16, 16
SET_UPS: dict[str, tuple[bool, Target]] = {  # whether the input is constant, and the target
    "one class, constant input": (True, Classes([3])),
    "one class, noise input": (False, Classes([3])),
    "class per route, constant input": (True, PerRoute()),
    "class per route, noise input": (False, PerRoute()),
    "marginal entropy, noise input": (False, MarginalEntropy()),
    "own guess, constant input": (True, OwnGuess()),
}
GENERATORS = ["R = 1", "R = 4", "R = 16", "R = 64", "wide"]
DIGITS = {
    "one class, constant input": [*GENERATORS, "alike"],
    "one class, noise input": GENERATORS,
    "class per route, constant input": ["R = 4", "R = 16", "R = 64"],
    "class per route, noise input": ["R = 16"],
    "marginal entropy, noise input": ["R = 1", "R = 16", "wide"],
    "own guess, constant input": ["R = 1", "R = 16"],
}
IMAGENET = {
    "one class, constant input": GENERATORS,
    "class per route, constant input": ["R = 16"],
    "marginal entropy, noise input": ["R = 1", "R = 16"],
}
FIGURES = ["loss", "within", "across", "total", "total in features", "classes", "confidence", "saturated"]


def make(kind: str, constant: bool, imagenet: bool) -> StochasticEnsembleGenerator:
    """Return a generator; torch must be seeded."""
    shape, depth = ((3, 64, 64), 3) if imagenet else ((1, 28, 28), 3)
    cells = 64 if imagenet else 16  # 8 × 8 and 4 × 4, the input maps

    def ensemble(groups: int, width: int = WIDTH) -> StochasticEnsembleGenerator:
        latents = Constant(cells) if constant else None
        return StochasticEnsembleGenerator(
            shape, latents, width=width, groups=groups, stochastic_layers=2, doublings=depth
        )

    if kind == "wide":
        weights = count(ensemble(16))
        return ensemble(1, min(range(WIDTH, 10 * WIDTH), key=lambda width: abs(count(ensemble(1, width)) - weights)))
    generator = ensemble(16 if kind == "alike" else int(kind.split()[-1]))
    for layer in generator.layers if kind == "alike" else ():
        if isinstance(layer, StochasticLayer):
            layer.direction.data[:] = layer.direction.data[:1].clone()
    return generator


def count(network: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def features(classifier: FrozenClassifier, x: Tensor) -> Tensor:
    """Return the input of the classifier's last layer for images (N, C, H, W)."""
    network: Any = classifier.network
    with torch.no_grad():
        if isinstance(network, DigitClassifier):
            return network.features(x)
        return network.extract_features(torch.nn.functional.interpolate(x, classifier.input_shape[1:])).mean((2, 3))


def spread(x: Tensor) -> float:
    """Return the mean distance of all pairs."""
    return torch.pdist(x.flatten(1).double()).mean().item() if len(x) > 1 else math.nan


def real_images(imagenet: bool) -> Tensor:
    if imagenet:
        from sklearn.datasets import load_sample_images

        torch.manual_seed(0)
        photos = [torch.from_numpy(photo).permute(2, 0, 1) / 127.5 - 1 for photo in load_sample_images().images]
        corners = [(int(torch.randint(427 - 64, ())), int(torch.randint(640 - 64, ()))) for _ in range(256)]
        return torch.stack([photos[i % 2][:, y : y + 64, x : x + 64] for i, (y, x) in enumerate(corners)])
    data = MNIST(batch_size=256)
    data.prepare_data()
    data.setup("test")
    return next(iter(data.test_dataloader()))


def run(set_up: str, kind: str, seed: int, imagenet: bool, length: int) -> tuple[list, Tensor]:
    """Train once; return the row of the table, and samples by route."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    constant, target = SET_UPS[set_up]
    generator = make(kind, constant, imagenet)
    classifier = (
        FrozenClassifier(efficientnet_lite0(), (3, 64, 64)) if imagenet else FrozenClassifier(DigitClassifier())
    )
    gan = SEPGAN(generator, classifier, target, generator_optimizer=lambda params: Adam(params, lr=1e-3))
    (optimizer,), _ = gan.configure_optimizers()
    blank = torch.zeros(BATCH, *generator.sample_shape)
    losses = [gan.train_batch(blank, optimizer)["generator"].loss.item() for _ in range(length)]
    real = real_images(imagenet)
    routes = min(64, generator.num_routes)
    rows = draw_by_route(gan, routes, 16, seed=0)
    samples = draw(gan, 256, seed=0)[0]
    with torch.no_grad():
        probabilities = torch.cat([gan.classifier(part) for part in samples.split(64)]).softmax(1)
    shares = torch.bincount(probabilities.argmax(1)).double() / len(samples)
    of_samples = torch.cat([features(gan.classifier, part) for part in samples.split(64)])
    figures = [
        statistics.mean(losses[-20:]),
        statistics.mean(spread(row) for row in rows[:8]) / spread(real),
        statistics.mean(spread(rows[:, place]) for place in range(4)) / spread(real) if routes > 1 else math.nan,
        spread(samples) / spread(real),
        spread(of_samples) / spread(features(gan.classifier, real)),
        int((shares >= 0.01).sum()),
        probabilities.max(1).values.mean().item(),
        (samples.abs() > 0.99).double().mean().item(),
    ]
    row = [set_up, kind, seed, generator.num_routes, count(generator), *(float(f"{figure:.4g}") for figure in figures)]
    return row, rows[:8, :4].flatten(0, 1) if routes > 1 else samples[:32]


def main(arguments: argparse.Namespace) -> None:
    real_images(arguments.imagenet)  # a download, where needed, happens in one process
    plan = IMAGENET if arguments.imagenet else DIGITS
    plan = {"one class, constant input": ["R = 1", "R = 4"]} if arguments.quick else plan
    length = 5 if arguments.quick else 2_400 if arguments.imagenet else 600
    seeds = 1 if arguments.imagenet or arguments.quick else arguments.seeds
    pairs = [(set_up, kind) for set_up, kinds in plan.items() for kind in kinds]
    jobs = [(*pair, seed, arguments.imagenet, length) for seed in range(seeds) for pair in pairs]
    rows, pictures = [], {}
    with ProcessPoolExecutor(arguments.workers) as pool:
        for done in as_completed([pool.submit(run, *job) for job in jobs]):
            row, samples = done.result()
            rows.append(row)
            print(f"{len(rows)}/{len(jobs)}", *row, flush=True)
            if row[2] == 0:
                pictures[row[0], row[1]] = samples
    rows.sort(key=lambda row: (pairs.index((row[0], row[1])), row[2]))
    print(f"\nmean ± standard error over {seeds} seed(s); distances as fractions of those among real images")
    print(f"{'':<44}" + "".join(f"{name:>18}" for name in FIGURES))
    for pair in pairs:
        found = [row[5:] for row in rows if (row[0], row[1]) == pair]
        print(
            f"{', '.join(pair):<44}"
            + "".join(f"{summary(column, digits=3):>18}" for column in zip(*found, strict=True))
        )
    if arguments.quick:
        return
    name = "sepgan_imagenet" if arguments.imagenet else "sepgan_digits"
    header = ["set-up", "generator", "seed", "routes", "parameters", *FIGURES, "torch"]
    with open(RESULTS / f"{name}.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *([*row, torch.__version__] for row in rows)])
    sheet(RESULTS / f"{name}.png", pictures, pairs)


def sheet(path: Path, pictures: dict[tuple[str, str], Tensor], pairs: list[tuple[str, str]]) -> None:
    """Draw samples of seed 0: eight routes down, four latents across, for each set-up and generator."""
    plots = [Image.fromarray(picture(pictures[pair], columns=4).numpy()) for pair in pairs]
    width, height = max(plot.width for plot in plots) + 12, max(plot.height for plot in plots) + 34
    columns = 6
    page = Image.new("RGB", (columns * width, math.ceil(len(plots) / columns) * height), "white")
    for place, (pair, plot) in enumerate(zip(pairs, plots, strict=True)):
        corner = (place % columns * width, place // columns * height)
        page.paste(plot, (corner[0] + 4, corner[1] + 28))
        ImageDraw.Draw(page).text((corner[0] + 4, corner[1] + 2), "\n".join(pair), fill="black")
    page.resize((page.width // 2, page.height // 2)).save(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=sys.modules[__name__].__doc__.splitlines()[0])
    parser.add_argument("--imagenet", action="store_true", help="EfficientNet-Lite0 instead of the digit classifier")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--quick", action="store_true")
    main(parser.parse_args())
