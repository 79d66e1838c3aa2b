"""Whether a frozen classifier beside the discriminator helps a GAN that has few images: 100 digits of MNIST.

    python benchmarks/few_digits.py            # three seeds of nine set-ups; an hour of one core
    python benchmarks/few_digits.py --quick    # a smoke test; its figures mean nothing

A DCGAN of width 16 is trained for 1,500 batches of 50, an average of the generator beside it (`configs/best/mnist.yaml`
with 100 images). Scored are 2,000 samples beside MNIST's 10,000 test digits as in `sepgan_robust.py`, which has the
definitions: `right`, `spread`, `least`, `fd`; and `nearest`, the mean distance of a sample from the nearest of the 100
training digits over that of test digits, below 1 where samples are copies.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sepgan_robust import figures_of
from torch import Tensor
from training_runs import HOME, RESULTS, Run, fit, parser, perform, require_known, rows_of, save_samples, sheet, table

from lightning_gans.data import MNIST
from lightning_gans.generation import draw

DIGITS, BATCHES = 100, 1_500
SCHEDULES = [f"--model.{player}_scheduler.T_max={BATCHES}" for player in ("generator", "discriminator")]
FEW = ["--config=configs/best/mnist.yaml", f"--data.val_size={60_000 - DIGITS}", "--data.batch_size=50", *SCHEDULES]
CALLBACK = "--trainer.callbacks"
AUGMENTED = [f"{CALLBACK}+=DifferentiableAugmentation", f"{CALLBACK}.color=0", f"{CALLBACK}.cutout=0"]


def guided(weight: float, classifier: str = "RobustDigitClassifier") -> list[str]:
    """Return the arguments that add a classifier."""
    target = [f"{CALLBACK}.target=Labels", f"{CALLBACK}.target.background=8"]
    return [
        f"{CALLBACK}+=ClassifierGuidance",
        f"{CALLBACK}.classifier={classifier}",
        *target,
        f"{CALLBACK}.weight={weight}",
    ]


METHODS: dict[str, list[str]] = {
    "GAN": [],
    "robust classifier .1": guided(0.1),
    "robust classifier .5": guided(0.5),
    "ordinary classifier .1": guided(0.1, "DigitClassifier"),
    "augmented": AUGMENTED,
    "adaptively augmented": [f"{CALLBACK}+=AdaptiveAugmentation"],
    "adaptively, shifts alone": [
        f"{CALLBACK}+=AdaptiveAugmentation",
        f"{CALLBACK}.augmentations=[{{class_path: DifferentiableAugmentation, init_args: {{color: 0, cutout: 0}}}}]",
    ],
    "augmented, robust classifier .1": [*AUGMENTED, *guided(0.1)],
    "augmented, robust classifier .5": [*AUGMENTED, *guided(0.5)],
}


def work(run: Run) -> dict[str, Any]:
    """Train once, and score the samples."""
    batches = 20 if run.task == "quick" else BATCHES
    ends = [f"--trainer.max_steps={batches}", "--trainer.max_epochs=-1", "--trainer.limit_val_batches=0"]
    trained = fit(run, [*FEW, *ends, *METHODS[run.method], "--samples.every_n_epochs=0"])
    samples, labels = draw(trained.gan, 200 if run.task == "quick" else 2_000, seed=0)
    save_samples(run, samples[:80], columns=10)
    figures = figures_of(samples, labels) | {"nearest": nearest(samples)}
    return {**figures, "updates": trained.updates, "CPU s": round(trained.cpu_seconds)}


def nearest(samples: Tensor) -> float:
    """Return how far samples are from the nearest training digit, over how far test digits are."""
    data = MNIST(val_size=60_000 - DIGITS)
    known, others = (data.load(split).x[:2_000].flatten(1) / 127.5 - 1 for split in ("train", "test"))
    fakes, reals = (torch.cdist(x.flatten(1), known).min(1).values.mean() for x in (samples, others))
    return float(fakes / reals)


def main() -> None:
    made = parser(__doc__, seeds=3)
    made.add_argument("--quick", action="store_true", help="a smoke test of every set-up")
    options = made.parse_args()
    methods = options.methods or list(METHODS)
    require_known(made, methods, list(METHODS))
    out: Path = options.out or (HOME / "runs" / "few_quick.csv" if options.quick else RESULTS / "few_digits.csv")
    task, seeds = ("quick", 1) if options.quick else ("100 digits", options.seeds)
    perform([Run(task, name, seed) for name in methods for seed in range(seeds)], work, out, options.jobs)
    table(rows_of(out), ["right", "robust right", "classes", "spread", "least", "fd", "nearest"])
    sheet(out, 4)


if __name__ == "__main__":
    main()
