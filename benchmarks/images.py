"""Train GANs on MNIST for ten CPU minutes each, and score their samples against the test digits.

    python benchmarks/images.py                        # the recipes, 3 seeds each; ten minutes a run on one core
    python benchmarks/images.py --methods all          # the papers' settings beside them, for as many CPU seconds
    python benchmarks/images.py --beside PATH          # and a public training script, see public_scripts.py
    python benchmarks/images.py --tasks fashion_mnist
    python benchmarks/images.py --tasks cifar10 --pictures PATH
    python benchmarks/images.py --tasks cifar10 --gpu --samples 50000   # the published scale: whole configs, FID

PATH is CIFAR-10 as pictures, train/ and test/ with a folder for each class; without it the published files are used.

Scored on 10,000 samples of the last checkpoint (2,500 where the features are slow on a CPU) against as many test
images; with more samples than these against training images. The floor is the score of as many training images. FD is
the Fréchet distance in the features of the digit classifier of this library, with which no recipe trains; on other
data in those of Inception, where its weights can be downloaded, which makes it an FID, and else of EfficientNet-Lite0.
Precision and recall are on 2,500 of each. Least and largest share: of a class among the samples, by the digit
classifier, over its share of the test digits. Of conditional GANs: the share of samples in whose class the classifier
agrees, and the spread inside a class, the mean distance of two samples of one class in pixels over that of two training
images of the class, mean over the classes and least of them. CPU seconds are those of the training, pictures and
monitor included.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from public_scripts import samples_of
from torch import Tensor, nn
from training_runs import (
    RESULTS,
    Run,
    at_least_one,
    fit,
    parser,
    perform,
    require_known,
    rows_of,
    save_samples,
    sheet,
    table,
)

from lightning_gans.data import CIFAR10, MNIST, FashionMNIST, GANData, ImageFolder
from lightning_gans.generation import columns_of, draw
from lightning_gans.metrics import FrechetDistance, PrecisionRecall
from lightning_gans.networks import DigitClassifier, DigitFeatures, ImageNetFeatures, InceptionFeatures

NEIGHBOURS = 2_500
REAL = "real training images"


def photograph_features() -> nn.Module:
    """Return Inception, or EfficientNet-Lite0 where its weights cannot be had."""
    try:
        return InceptionFeatures()
    except ValueError as error:
        print(error)
        return ImageNetFeatures()


@dataclass(frozen=True, eq=False)
class Task:
    """Data, the network in whose features samples are compared, and the configs."""

    data: Callable[..., GANData]
    features: Callable[[], nn.Module]
    methods: dict[str, list[str]]  # the options of `lightning-gans fit`; those of a paper are stopped after a time
    samples: int  # to score, unless another number is asked for


TASKS = {
    "mnist": Task(
        MNIST,
        DigitFeatures,
        {
            "best": ["--config=configs/best/mnist.yaml"],
            "best, without labels": ["--config=configs/best/mnist.yaml", "--data.labels=false"],
            "dcgan_mnist": ["--config=configs/dcgan_mnist.yaml"],
            "wgan_gp_mnist": ["--config=configs/wgan_gp_mnist.yaml"],
        },
        samples=10_000,
    ),
    "fashion_mnist": Task(
        FashionMNIST,
        photograph_features,
        {
            "best": ["--config=configs/best/fashion_mnist.yaml"],
            "dcgan_mnist": ["--config=configs/dcgan_mnist.yaml", "--data=FashionMNIST"],
        },
        samples=2_500,
    ),
    "cifar10": Task(
        CIFAR10,
        photograph_features,
        {
            "best": ["--config=configs/best/cifar10.yaml"],
            "dcgan_cifar10": ["--config=configs/dcgan_cifar10.yaml"],
            "wgan_gp_cifar10": ["--config=configs/wgan_gp_cifar10.yaml"],
        },
        samples=2_500,
    ),
}
FIGURES = ["FD", "precision", "recall", "least share", "largest share", "right %", "spread", "least spread", "CPU s"]


@cache
def task_of(name: str, samples: int | None, pictures: Path | None) -> Task:
    """Return a task, one object for the same arguments, with another number of samples or on pictures in a folder."""
    task = TASKS[name]
    if samples is not None:
        task = replace(task, samples=samples)
    if pictures is not None:
        place = ["--data=ImageFolder", f"--data.root={pictures}", "--data.size=32", "--data.num_workers=0"]
        methods = {name: options + place for name, options in task.methods.items()}
        task = replace(task, data=partial(ImageFolder, str(pictures), size=32), methods=methods)
    return task


@dataclass(frozen=True)
class Settings:
    """What the options ask of every run."""

    cpu_seconds: float
    samples: int | None
    gpu: bool
    scripts: dict[str, Path]
    pictures: Path | None

    @property
    def device(self) -> str:
        """Where samples are drawn and scored."""
        return "cuda" if self.gpu else "cpu"

    def task(self, name: str) -> Task:
        """Return a task, with the number of samples and on the pictures that were asked for."""
        return task_of(name, self.samples, self.pictures)

    def contradiction(self, rows: list[dict[str, str]], task: str) -> str | None:
        """Return which rows of a task in the CSV these settings would not have made."""
        rows = [row for row in rows if row["task"] == task]
        if other := {row["N"] for row in rows} - {str(self.task(task).samples)}:
            return f"{', '.join(other)} samples; use them with --samples"
        stopped = [row["CPU s"] for row in rows if row["method"] != REAL and not row["method"].startswith("best")]
        if not self.gpu and any(abs(float(taken) / self.cpu_seconds - 1) > 0.05 for taken in stopped):
            return f"{', '.join(stopped)} CPU seconds; use as many with --cpu-seconds"
        return None


def images(task: Task, split: str, num: int) -> tuple[Tensor, Tensor]:
    """Return up to `num` images of a split, in [−1, 1], and their classes."""
    data = task.data(labels=True, batch_size=500)
    data.prepare_data()
    data.setup("fit" if split == "train" else "test")
    loader = data.train_dataloader() if split == "train" else data.test_dataloader()
    batches = [batch for batch, _ in zip(loader, range(num // 500), strict=False)]
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


@cache
def reference(task: Task, device: str) -> tuple[Tensor, Tensor]:
    """Return the features of the images that samples are compared with, and their classes; computed once."""
    real, classes = images(task, "test" if task.samples <= 10_000 else "train", task.samples)
    return extracted(task.features(), real, device), classes


def extracted(features: nn.Module, x: Tensor, device: str) -> Tensor:
    """Return the features of images; on a CPU ten at a time, which stay in its cache."""
    with torch.no_grad():
        parts = x.split(500 if device == "cuda" else 10)
        return torch.cat([features.to(device)(part.to(device)) for part in parts])


def scores(task: Task, samples: Tensor, labels: Tensor | None, device: str) -> dict[str, Any]:
    """Return the figures of samples, labelled or not."""
    (real, classes), features = reference(task, device), task.features()
    distance, overlap = FrechetDistance().to(device), PrecisionRecall().to(device)
    for one, is_real in ((real, True), (extracted(features, samples, device), False)):
        distance.update(one, real=is_real)
        overlap.update(one[:NEIGHBOURS], real=is_real)
    found = {name: float(figure) for score in (distance, overlap) for name, figure in score.figures().items()}
    figures = {"FD": found["fd"], "precision": found["precision"], "recall": found["recall"]}
    if isinstance(features, DigitFeatures):
        classifier = DigitClassifier().eval()
        with torch.no_grad():
            guesses = torch.cat([classifier(part).argmax(1) for part in samples.split(500)])
        shares = guesses.bincount(minlength=10) / len(samples) / (classes.bincount(minlength=10) / len(classes))
        figures |= {"least share": shares.min().item(), "largest share": shares.max().item()}
        if labels is not None:
            figures["right %"] = 100 * (guesses == labels).double().mean().item()
    if labels is not None:
        spread = spread_by_class(samples, labels) / spread_by_class(*images(task, "train", 10_000))
        figures |= {"spread": spread.mean().item(), "least spread": spread.min().item()}
    return {name: figures.get(name, float("nan")) for name in FIGURES if name != "CPU s"} | {
        "features": type(features).__name__
    }


def spread_by_class(x: Tensor, labels: Tensor) -> Tensor:
    """Return the mean distance of two of 300 samples of each class, in pixels."""
    return torch.stack([torch.pdist(x[labels == label].flatten(1)[:300]).mean() for label in labels.unique()])


def work(settings: Settings, run: Run) -> dict[str, Any]:
    """Train and score once; save a picture of the samples."""
    task = settings.task(run.task)
    labels: Tensor | None = None
    updates, taken = 0, 0.0
    if run.method == REAL:
        samples, labels = images(task, "train", task.samples)
    elif run.method in task.methods:
        options = task.methods[run.method] + ["--config=configs/trainer/gpu.yaml"] * settings.gpu
        whole = run.method.startswith("best") or settings.gpu
        trained = fit(run, options, None if whole else settings.cpu_seconds)
        updates, taken = trained.updates, trained.cpu_seconds
        samples, labels = draw(trained.gan.to(settings.device), task.samples, seed=run.seed)
    else:
        script = settings.scripts[run.method]
        samples, updates, taken = samples_of(script, settings.cpu_seconds, run.seed, task.samples)
        samples = nn.functional.interpolate(samples, task.data().sample_shape[1:], mode="bilinear", antialias=True)
    order = torch.arange(80) if labels is None else by_class(labels, 8)
    save_samples(run, samples[order], columns=columns_of(10))
    figures = scores(task, samples, labels, settings.device)
    return {**figures, "N": len(samples), "updates": updates, "CPU s": round(taken)}


def by_class(labels: Tensor, rows: int) -> Tensor:
    """Return the places of the first samples of each class, so that every column of a picture is one class."""
    places = [(labels == label).nonzero().flatten()[:rows] for label in labels.unique()]
    return torch.stack(places, 1).flatten()


def main() -> None:
    made = parser(__doc__, seeds=3)
    made.add_argument("--cpu-seconds", type=float, default=600.0, help="of a run of a paper's settings; default 600")
    made.add_argument("--samples", type=at_least_one, help="to score; default 10000 of MNIST, 2500 of others")
    made.add_argument("--gpu", action="store_true", help="train the whole configs on a GPU, and score there")
    made.add_argument(
        "--beside", nargs="+", default=[], metavar="SCRIPT", help="training scripts of public collections"
    )
    made.add_argument("--pictures", type=Path, help="CIFAR-10 as pictures, in train/ and test/, for the task cifar10")
    options = made.parse_args()
    tasks = options.tasks or ["mnist"]
    require_known(made, tasks, list(TASKS))
    if options.pictures and tasks != ["cifar10"]:
        made.error(f"--pictures with the tasks {', '.join(tasks)}; use it with --tasks cifar10 alone.")
    if options.pictures and not (options.pictures / "test").is_dir():
        made.error(f"--pictures {options.pictures}; expected a folder with train/ and test/.")
    if missing := [script for script in options.beside if not Path(script).is_file()]:
        made.error(f"no script at {', '.join(missing)}; clone the collection first, see public_scripts.py.")
    scripts = {f"public {Path(script).name}": Path(script).resolve() for script in options.beside}
    if len(scripts) < len(options.beside):
        made.error(
            f"two scripts of --beside have one name, {', '.join(scripts)}; give one at a time, with its own --out."
        )
    if options.samples is not None and options.samples < NEIGHBOURS:
        made.error(f"--samples {options.samples}; expected at least {NEIGHBOURS}, on which precision and recall are.")
    pictures = options.pictures and options.pictures.resolve()
    settings = Settings(options.cpu_seconds, options.samples, options.gpu, scripts, pictures)
    out = options.out or RESULTS / "images.csv"
    runs = []
    for task in tasks:
        if found := settings.contradiction(rows_of(out), task):
            made.error(f"{out.name} has rows of {task} of {found}, or another file as --out.")
        known = TASKS[task].methods
        recipes = [method for method in known if method.startswith("best")]
        methods = list(known) if options.methods == ["all"] else options.methods or recipes
        require_known(made, methods, list(known))
        runs += [Run(task, REAL, 0)]
        runs += [Run(task, method, seed) for seed in range(options.seeds) for method in [*methods, *scripts]]
    rows = perform(runs, partial(work, settings), out, options.jobs)
    print(f"\n{REAL} are the floor")
    table(rows, [*FIGURES, "N"])
    sheet(out, columns=2)


if __name__ == "__main__":
    main()
