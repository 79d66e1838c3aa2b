"""Measure the cost of each stabilizer: milliseconds per step with and without it, in one run.

    python benchmarks/stabilizer_cost.py            # all of it, a quarter of an hour on one CPU core
    python benchmarks/stabilizer_cost.py --quick    # a smoke test; its figures mean nothing

Three workloads, trained by `gan.train_batch`, without a Trainer, on one thread: DCGAN-64 (64 × 64 colour images, width
64, batch 64, BatchNorm), DCGAN-32 (the same at 32 × 32, without a norm in D, as penalties want it) and MLPs on points
(128-128, batch 512). Each stabilizer has its default arguments, and R1 its cheaper forms too. In every
round every GAN is trained for a few steps, in an order that rotates; a ratio is taken within its round, to the mean of
two GANs without a stabilizer, the first and the last of the order. "none again" is the last: the distance of its ratio
from 1 is the noise of the machine. "does nothing" is a bare `Stabilizer`, which shows the cost of the hooks. CPU time
is measured, which other programs disturb less than wall-clock time. A stabilizer that refuses a workload is left out
of it, and its message is printed.
"""

import argparse
import csv
import gc
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

import lightning_gans.stabilizers
from lightning_gans import GAN, Stabilizer
from lightning_gans.networks import DCGANDiscriminator, DCGANGenerator, MLPDiscriminator, MLPGenerator
from lightning_gans.optimizers import Adam
from lightning_gans.stabilizers import R1Penalty

RESULTS = Path(__file__).parent / "results" / "stabilizer_cost.csv"
HEADER = ["workload", "stabilizer", "ms/step median", "ratio to none", "lowest", "highest", "rounds", "steps"]
LAYOUT = "{:<11}{:<48}{:>15}{:>14}{:>9}{:>9}{:>8}{:>7}"


def adam(params: Iterator[nn.Parameter]) -> Adam:
    return Adam(params, lr=2e-4, beta1=0.5)


def dcgan_64() -> tuple[GAN, Tensor]:
    shape = (3, 64, 64)
    networks = DCGANGenerator(shape, latents=100, width=64), DCGANDiscriminator(shape, width=64)
    return GAN(*networks, generator_optimizer=adam, discriminator_optimizer=adam), torch.rand(64, *shape) * 2 - 1


def dcgan_32() -> tuple[GAN, Tensor]:
    shape = (3, 32, 32)
    networks = DCGANGenerator(shape, latents=100, width=64), DCGANDiscriminator(shape, width=64, norm=None)
    return GAN(*networks, generator_optimizer=adam, discriminator_optimizer=adam), torch.rand(64, *shape) * 2 - 1


def mlp() -> tuple[GAN, Tensor]:
    networks = MLPGenerator((2,), latents=2), MLPDiscriminator((2,))
    return GAN(*networks, generator_optimizer=adam, discriminator_optimizer=adam), torch.randn(512, 2)


WORKLOADS: dict[str, tuple[Callable[[], tuple[GAN, Tensor]], int, int, int]] = {  # rounds, steps a round, warm-up
    "DCGAN-64": (dcgan_64, 7, 2, 2),
    "DCGAN-32": (dcgan_32, 7, 1, 1),
    "MLPs": (mlp, 31, 40, 50),
}


CHEAPER = [{"sigma": 0.01}, {"share": 0.25}, {"share": 0.25, "sigma": 0.01}]  # forms of R1


def stabilizers() -> dict[str, Callable[[], Stabilizer | None]]:
    kinds = [getattr(lightning_gans.stabilizers, name) for name in sorted(lightning_gans.stabilizers.__all__)]
    return {
        "none": lambda: None,
        "does nothing": Stabilizer,
        **{kind.__name__: kind for kind in kinds},
        **{str(given): partial(R1Penalty, **given) for given in CHEAPER},
        "none again": lambda: None,
    }


class Timed:
    """A GAN with one stabilizer, and the times of its steps."""

    def __init__(self, make: Callable[[], tuple[GAN, Tensor]], stabilizer: Stabilizer | None):
        torch.manual_seed(0)
        self.gan, self.batch = make()
        if stabilizer is not None:
            self.gan.stabilizers.append(stabilizer)
            stabilizer.apply_to(self.gan)
        self.optimizers = self.gan.configure_optimizers()[0]
        self.times: list[float] = []

    def train(self, steps: int) -> None:
        start = time.process_time()
        for _ in range(steps):
            self.gan.train_batch(self.batch, *self.optimizers)
        self.times.append(1000 * (time.process_time() - start) / steps)


def measure(name: str, quick: bool) -> list[list]:
    make, rounds, steps, warm_up = WORKLOADS[name]
    rounds, steps, warm_up = (2, 1, 1) if quick else (rounds, steps, warm_up)
    gans = {}
    for label, stabilizer in stabilizers().items():
        try:
            gans[label] = Timed(make, stabilizer())
            gans[label].train(warm_up)
        except ValueError as error:
            gans.pop(label, None)
            print(f"{name}, left out: {str(error).splitlines()[0]}", flush=True)
        else:
            gans[label].times.clear()
    for number in range(rounds):
        gc.collect()
        labels = [label for label in gans if not label.startswith("none")]
        rotated = labels[number % len(labels) :] + labels[: number % len(labels)]
        for label in ["none", *rotated, "none again"]:
            gans[label].train(steps)
    base = [(a + b) / 2 for a, b in zip(gans["none"].times, gans["none again"].times, strict=True)]
    rows = []
    for label, timed in gans.items():
        ratios = [own / plain for own, plain in zip(timed.times, base, strict=True)]
        figures = [statistics.median(timed.times), statistics.median(ratios), min(ratios), max(ratios)]
        shown = label if label in ("none", "none again", "does nothing") else repr(timed.gan.stabilizers[0])
        rows.append([name, shown, *(f"{figure:.3f}" for figure in figures), rounds, steps])
        print(LAYOUT.format(*[shown[:46] if part is shown else part for part in rows[-1]]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 rounds of one step, as a smoke test")
    parser.add_argument("--only", choices=WORKLOADS, help="one workload only; not written")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    print(f"torch {torch.__version__}, 1 thread", LAYOUT.format(*HEADER), sep="\n", flush=True)
    rows = [row for name in WORKLOADS if options.only in (None, name) for row in measure(name, options.quick)]
    if options.quick or options.only:
        return
    with open(RESULTS, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([[*HEADER, "torch", "threads"], *([*row, torch.__version__, 1] for row in rows)])
    print(f"written to {RESULTS.relative_to(Path(__file__).parents[1])}")


if __name__ == "__main__":
    main()
