"""Train GANs on MNIST for ten CPU minutes each, and score their samples against the test digits.

    python benchmarks/images.py                        # the recipes, 3 seeds each; ten minutes a run on one core
    python benchmarks/images.py --methods all          # the papers' settings beside them, for as many CPU seconds
    python benchmarks/images.py --beside PATH          # and a public training script, see public_scripts.py
    python benchmarks/images.py --tasks cifar10 fashion_mnist --cpu-seconds 3600

Scored on 10,000 samples of the last checkpoint against the 10,000 test images; the floor is the score of as many
training images. FD is the Fréchet distance in the features of the digit classifier of this library (CIFAR-10 and
Fashion-MNIST: of EfficientNet-Lite0), which no recipe trains with: not to be compared with an FID. Precision and
recall are on 2,500 of each. Least and largest share: of a class among the samples, by the digit classifier, over its
share of the test digits. Of conditional GANs: the share of samples in whose class the classifier agrees, and the
spread inside a class, the mean distance of two samples of one class in pixels over that of two training digits of the
class, mean over the classes and least of them. CPU seconds are those of the whole command, pictures, report and
monitor included, without the import of torch.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from public_scripts import samples_of
from torch import Tensor, nn
from training_runs import HOME, RESULTS, Run, fit, parser, perform, sheet, table

from lightning_gans.data import CIFAR10, MNIST, FashionMNIST
from lightning_gans.generation import columns_of, draw, picture
from lightning_gans.metrics import FrechetDistance, PrecisionRecall
from lightning_gans.networks import DigitClassifier, DigitFeatures, ImageNetFeatures

SAMPLES, NEIGHBOURS = 10_000, 2_500


@dataclass(frozen=True)
class Task:
    """Data, the network in whose features samples are compared, and the configs."""

    data: type[MNIST | CIFAR10]
    features: type[nn.Module]
    methods: dict[str, str]


TASKS = {
    "mnist": Task(
        MNIST,
        DigitFeatures,
        {"best": "best/mnist.yaml", "dcgan_mnist": "dcgan_mnist.yaml", "wgan_gp_mnist": "wgan_gp_mnist.yaml"},
    ),
    "fashion_mnist": Task(FashionMNIST, ImageNetFeatures, {"dcgan_mnist": "dcgan_mnist.yaml"}),
    "cifar10": Task(
        CIFAR10, ImageNetFeatures, {"dcgan_cifar10": "dcgan_cifar10.yaml", "wgan_gp_cifar10": "wgan_gp_cifar10.yaml"}
    ),
}
FIGURES = ["FD", "precision", "recall", "least share", "largest share", "right %", "spread", "least spread", "CPU s"]


def images(task: Task, split: str) -> tuple[Tensor, Tensor]:
    """Return up to 10,000 images of a split, in [−1, 1], and their classes."""
    data = task.data(labels=True, batch_size=500)
    data.prepare_data()
    data.setup("fit" if split == "train" else "test")
    loader = data.train_dataloader() if split == "train" else data.test_dataloader()
    batches = [batch for batch, _ in zip(loader, range(SAMPLES // 500), strict=False)]
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


def scores(task: Task, samples: Tensor, labels: Tensor | None) -> dict[str, float]:
    """Return the figures of samples, labelled or not."""
    (real, classes), (training, training_classes) = images(task, "test"), images(task, "train")
    features = task.features()
    distance, overlap = FrechetDistance(features), PrecisionRecall(features)
    for x, is_real in ((real, True), (samples, False)):
        for part in x.split(500):
            distance.update(part, real=is_real)
        for part in x[:NEIGHBOURS].split(500):
            overlap.update(part, real=is_real)
    found = {name: float(figure) for score in (distance, overlap) for name, figure in score.figures().items()}
    figures = {"FD": found["fd"], "precision": found["precision"], "recall": found["recall"]}
    if task.features is DigitFeatures:
        classifier = DigitClassifier().eval()
        with torch.no_grad():
            guesses = torch.cat([classifier(part).argmax(1) for part in samples.split(500)])
        shares = guesses.bincount(minlength=10) / len(samples) / (classes.bincount(minlength=10) / len(classes))
        figures |= {"least share": shares.min().item(), "largest share": shares.max().item()}
        if labels is not None:
            figures["right %"] = 100 * (guesses == labels).double().mean().item()
    if labels is not None:
        spread = spread_by_class(samples, labels) / spread_by_class(training, training_classes)
        figures |= {"spread": spread.mean().item(), "least spread": spread.min().item()}
    return {name: figures.get(name, float("nan")) for name in FIGURES if name != "CPU s"}


def spread_by_class(x: Tensor, labels: Tensor) -> Tensor:
    """Return the mean distance of two of 300 samples of each class, in pixels."""
    return torch.stack([torch.pdist(x[labels == label].flatten(1)[:300]).mean() for label in labels.unique()])


def work(cpu_seconds: float, scripts: dict[str, Path], run: Run) -> dict[str, Any]:
    """Train and score once; save a picture of the samples."""
    task = TASKS[run.task]
    if run.method == "real training images":
        samples, labels, updates, taken = *images(task, "train"), 0, 0.0
    elif run.method in task.methods:
        config = task.methods[run.method]
        limit = ["--import=training_runs", "--trainer.callbacks+=training_runs.CPULimit"]
        limit += [f"--trainer.callbacks.seconds={cpu_seconds}"]
        trained = fit(run, [f"--config=configs/{config}", *(limit if "best" not in config else [])])
        updates, taken = trained.updates, trained.cpu_seconds
        samples, labels = draw(trained.gan, SAMPLES, seed=run.seed)
    else:
        samples, updates, taken = samples_of(scripts[run.method], cpu_seconds, run.seed, SAMPLES)
        samples = nn.functional.interpolate(samples, task.data().sample_shape[1:], mode="bilinear", antialias=True)
        labels = None
    if run.seed == 0:
        path = picture_of(run)
        path.parent.mkdir(parents=True, exist_ok=True)
        order = torch.arange(80) if labels is None else by_class(labels, 8)
        Image.fromarray(picture(samples[order], columns=columns_of(10)).numpy()).save(path)
    return {**scores(task, samples, labels), "N": len(samples), "updates": updates, "CPU s": round(taken)}


def by_class(labels: Tensor, rows: int) -> Tensor:
    """Return the places of the first samples of each class, so that every column of a picture is one class."""
    places = [(labels == label).nonzero().flatten()[:rows] for label in labels.unique()]
    return torch.stack(places, 1).flatten()


def picture_of(run: Run) -> Path:
    return HOME / "runs" / "benchmarks" / run.name / "samples.png"


def main() -> None:
    made = parser(__doc__, seeds=3)
    made.add_argument("--cpu-seconds", type=float, default=600.0, help="of a run of a paper's settings; default 600")
    made.add_argument(
        "--beside", nargs="+", default=[], metavar="SCRIPT", help="training scripts of public collections"
    )
    options = made.parse_args()
    tasks = options.tasks or ["mnist"]
    if unknown := [task for task in tasks if task not in TASKS]:
        made.error(f"unknown task {', '.join(unknown)}; expected some of {', '.join(TASKS)}.")
    if missing := [script for script in options.beside if not Path(script).is_file()]:
        made.error(f"no script at {', '.join(missing)}; clone the collection first, see public_scripts.py.")
    scripts = {f"public {Path(script).name}": Path(script).resolve() for script in options.beside}
    runs = []
    for task in tasks:
        known = TASKS[task].methods
        methods = [one for one in options.methods or ["best"] if one != "all"] or list(known)
        if unknown := [one for one in methods if one not in known]:
            made.error(f"unknown method {', '.join(unknown)} of {task}; expected some of {', '.join(known)}.")
        runs += [Run(task, "real training images", 0)]
        runs += [Run(task, method, seed) for seed in range(options.seeds) for method in [*methods, *scripts]]
    out = options.out or RESULTS / "images.csv"
    rows = perform(runs, partial(work, options.cpu_seconds, scripts), out, options.jobs)
    print(f"\n{SAMPLES:,} samples against as many test images; the first line is the floor")
    table(rows, FIGURES)
    pictures = {f"{run.task}, {run.method}": picture_of(run) for run in runs if run.seed == 0}
    sheet(RESULTS / "images.png", {name: Image.open(path) for name, path in pictures.items() if path.is_file()}, 2)


if __name__ == "__main__":
    main()
