"""What a classifier alone can teach a generator to draw, and what of the recipe makes it do so.

    python benchmarks/sepgan_robust.py            # three seeds of five set-ups; forty minutes of one core
    python benchmarks/sepgan_robust.py --ablation # and each part of the recipe left out or changed, one seed
    python benchmarks/sepgan_robust.py --quick    # a smoke test; its figures mean nothing

Each run is `lightning-gans fit --config configs/sepgan_digits_robust.yaml` with the arguments below. Scored are 2,000
samples, classes in turn, beside MNIST's 10,000 test digits, by the library's ordinary digit classifier, which has
taught none of the robust teacher's pupils: the share of samples in the class that was asked for (`right`), the mean
distance inside a class over that of real digits (`spread`), the same of the least varied class (`least`), and the
Fréchet distance in its features (`fd`; .1 of 2,000 training digits, whose spread is .99). Where the ordinary
classifier is the teacher its own figures are worth nothing; `robust right` is that of the robust one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from training_runs import HOME, RESULTS, Run, fit, parser, perform, require_known, rows_of, save_samples, sheet, table

from lightning_gans.data import MNIST
from lightning_gans.generation import draw
from lightning_gans.metrics import ClassCoverage, ClassSpread, FrechetDistance
from lightning_gans.networks import DigitFeatures, RobustDigitClassifier

CONFIG = "--config=configs/sepgan_digits_robust.yaml"
GENERATOR, CALLBACKS = "--model.generator", "--trainer.callbacks"
CONSTANT = [f"{GENERATOR}.latents=Constant", f"{GENERATOR}.latents.dim=49"]
PLAIN = [f"{GENERATOR}.groups=1"]
ORDINARY = ["--model.classifier=DigitClassifier"]
UNLABELLED = ["--data.num_classes=0"]
MAIN: dict[str, list[str]] = {
    "ensemble, robust teacher": [],
    "one network, robust teacher": [*PLAIN, *CONSTANT],
    "one network with noise, robust teacher": PLAIN,
    "ensemble, ordinary teacher": ORDINARY,
    "one network, ordinary teacher": [*ORDINARY, *PLAIN, *CONSTANT],
}
ABLATION: dict[str, list[str]] = {
    "constant input": CONSTANT,
    "4 groups": [f"{GENERATOR}.groups=4"],
    "64 groups": [f"{GENERATOR}.groups=64"],
    "first layer alone stochastic": [f"{GENERATOR}.stochastic_layers=1"],
    "eight routes for a batch": [f"{GENERATOR}.routes_per_batch=8"],
    "no learned map": [f"{GENERATOR}.learned_channels=0"],
    "classes of norm 1": [f"{GENERATOR}.class_norm=1"],
    "no background": ["--model.target.background=-100"],
    "no turns": [f"{CALLBACKS}.{name}=0" for name in ("rotation", "zoom", "shift")],
    "no image norm": ["--model.image_norm=0"],
    "image norm from the start": ["--model.image_norm=0.05"],
    "total variation .5": ["--model.total_variation=0.5"],
    "no background, turns or norm": [
        "--model.target.background=-100",
        *(f"{CALLBACKS}.{name}=0" for name in ("rotation", "zoom", "shift")),
        "--model.image_norm=0",
    ],
    "pulled apart": [f"{CALLBACKS}+=PullingAway", f"{CALLBACKS}.weight=0.5"],
    "marginal entropy": ["--model.target=MarginalEntropy", *UNLABELLED],
    "a class for each route": ["--model.target=PerRoute", "--model.target.background=8", *UNLABELLED],
}
TEACHERS: dict[str, Any] = {}


def work(run: Run) -> dict[str, Any]:
    """Train once, and score the samples."""
    options = {**MAIN, **ABLATION}[run.method]
    quick = ["--data.num_samples=128", "--trainer.max_epochs=1"] if run.task == "quick" else []
    trained = fit(run, [CONFIG, *options, *quick, "--samples.every_n_epochs=0"])
    samples, labels = draw(trained.gan, 200 if quick else 2_000, seed=0)
    save_samples(run, samples[:80], columns=10)
    figures = figures_of(samples, labels)
    return {**figures, "updates": trained.updates, "CPU s": round(trained.cpu_seconds)}


def figures_of(samples: Tensor, labels: Tensor | None) -> dict[str, float]:
    """Return the figures of samples beside real digits; without labels, `right` is the share of confident ones."""
    if not TEACHERS:
        TEACHERS["real"], TEACHERS["robust"] = MNIST().load("test").x / 127.5 - 1, RobustDigitClassifier().eval()
    spread, classes, distance = ClassSpread(), ClassCoverage(), FrechetDistance(DigitFeatures())
    for score in (spread, classes, distance):
        for part in TEACHERS["real"].split(1_000):
            score.update(part, real=True)
        score.update(samples, real=False, **({"labels": labels} if score.reads_labels and labels is not None else {}))
    inside, shares = spread.figures(), classes.figures()
    with torch.no_grad():
        again = TEACHERS["robust"](samples).softmax(1)
    robust = again.max(1).values.mean() if labels is None else (again.argmax(1) == labels).float().mean()
    return {
        "right": float(inside.get("right_class", shares["confident"])),
        "robust right": float(robust),
        "classes": int(shares["confident_classes"]),
        "spread": float(inside["class_spread"]),
        "least": float(inside["least_class_spread"]),
        "fd": float(distance.figures()["fd"]),
    }


def main() -> None:
    made = parser(__doc__, seeds=3)
    made.add_argument("--ablation", action="store_true", help="also the recipe with one part changed, one seed each")
    made.add_argument("--quick", action="store_true", help="a smoke test of every set-up")
    options = made.parse_args()
    known = {**MAIN, **ABLATION} if options.ablation or options.quick or options.methods else MAIN
    methods = options.methods or list(known)
    require_known(made, methods, list(known))
    out: Path = options.out or (HOME / "runs" / "sepgan_quick.csv" if options.quick else RESULTS / "sepgan_robust.csv")
    task = "quick" if options.quick else "digits"
    seeds = 1 if options.quick else options.seeds
    runs = [Run(task, name, seed) for name in methods for seed in range(seeds if name in MAIN else 1)]
    perform(runs, work, out, options.jobs)
    table(rows_of(out), ["right", "robust right", "classes", "spread", "least", "fd"])
    sheet(out, 3, list(MAIN))
    sheet(out, 4, list(ABLATION), f"{out.stem}_parts.png")


if __name__ == "__main__":
    main()
