"""Measure the cost of a stochastic layer relative to the ordinary layer, forward and backward.

    python benchmarks/stochastic_layers.py            # all of it, a few minutes on one CPU core
    python benchmarks/stochastic_layers.py --quick    # a smoke test; its figures mean nothing

A batch of 64 (linear: 512) goes through `nn.ConvTranspose2d` (`nn.Linear`) and through the stochastic layer of
the same shape with 16 groups: one group for the batch, four for four chunks, one per sample, drawn anew in every
round. Included: forward, and backward to input, weights and bias, from gradients set to None. Not included: the
optimizer, which has 16 times as many weights to update. The variants are interleaved; a ratio is taken within its
round. Torch has one thread, so CPU time, which other programs on the machine disturb less, equals wall-clock time on
an idle machine.

The gradient of a filter bank is as large as the bank. From 32 MiB on, glibc requests new memory from the kernel at
every step and returns it. Where a layer has many weights for little computation (256 to 128 channels at 4 × 4) this is
a large part of the time. Everything is therefore measured twice: with the default memory settings ("default"), and with
MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ set so that the process keeps its memory ("kept").
"""

import argparse
import csv
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from lightning_gans.networks import StochasticConvTranspose2d, StochasticLinear

GROUPS = 16
ROUTES = {"one per batch": 1, "four per batch": 4, "one per sample": None}
KEEP = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**32)}
MEMORY: dict[str, dict[str, str]] = {"default": {}, "kept": KEEP}
HEADER = ["layer", "memory", "variant", "ms median", "min", "ratio to ordinary", "rounds"]
LAYOUT = "{:<24}{:<9}{:<16}{:>10}{:>9}{:>19}{:>8}"


def convolution(channels: int, out: int, side: int) -> tuple[nn.Module, nn.Module, Tensor]:
    plain = nn.ConvTranspose2d(channels, out, kernel_size=4, stride=2, padding=1)
    return plain, StochasticConvTranspose2d(channels, out, GROUPS), torch.randn(64, channels, side, side)


def linear(before: int, after: int) -> tuple[nn.Module, nn.Module, Tensor]:
    return nn.Linear(before, after), StochasticLinear(before, after, GROUPS), torch.randn(512, before)


LAYERS = {
    "conv 128 to 64, 7 × 7": lambda: convolution(128, 64, 7),
    "conv 256 to 128, 8 × 8": lambda: convolution(256, 128, 8),
    "conv 256 to 128, 4 × 4": lambda: convolution(256, 128, 4),
    "linear 128 to 128": lambda: linear(128, 128),
}


def milliseconds(layer: nn.Module, *inputs: Tensor) -> float:
    """Return the CPU time of one forward and backward."""
    inputs[0].grad = None
    layer.zero_grad()
    start = time.process_time()
    y = layer(*inputs)
    y.backward(torch.ones_like(y))
    return 1000 * (time.process_time() - start)


def measure(name: str, rounds: int, warm_up: int) -> dict[str, list[float]]:
    """Return milliseconds for each variant, one value per round."""
    torch.manual_seed(0)
    plain, bank, x = LAYERS[name]()
    x.requires_grad_()
    figures: dict[str, list[float]] = {variant: [] for variant in ["ordinary", *ROUTES]}
    for number in range(warm_up + rounds):
        for variant in [*figures][number % 4 :] + [*figures][: number % 4]:
            if variant == "ordinary":
                taken = milliseconds(plain, x)
            else:
                taken = milliseconds(bank, x, torch.randint(GROUPS, (ROUTES[variant] or len(x),)))
            if number >= warm_up:
                figures[variant].append(taken)
    return figures


def write_rows(memory: str, quick: bool, out: Path) -> None:
    """Measure in this process, print the rows and append them to the CSV."""
    torch.set_num_threads(1)
    for name in LAYERS:
        rounds = 2 if quick else 200 if name.startswith("linear") else 25
        figures = measure(name, rounds, warm_up=1 if quick else 5)
        for variant, own in figures.items():
            ratio = statistics.median(a / b for a, b in zip(own, figures["ordinary"], strict=True))
            numbers = [f"{number:.3f}" for number in (statistics.median(own), min(own), ratio)]
            row = [name, memory, variant, *numbers, rounds]
            print(LAYOUT.format(*row), flush=True)
            with open(out, "a", newline="") as file:
                csv.writer(file).writerow([*row, torch.__version__, torch.get_num_threads()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 rounds each, as a smoke test")
    default = Path(__file__).parent / "results" / "stochastic_layers.csv"
    parser.add_argument("--out", type=Path, default=default, help="the CSV; by default in results/ beside this script")
    parser.add_argument("--memory", choices=MEMORY, help=argparse.SUPPRESS)  # for the processes that this script starts
    options = parser.parse_args()
    if options.memory:
        return write_rows(options.memory, options.quick, options.out)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with open(options.out, "w", newline="") as file:
        csv.writer(file).writerow([*HEADER, "torch", "threads"])
    print(f"torch {torch.__version__}, 1 thread", LAYOUT.format(*HEADER), sep="\n", flush=True)
    for memory, variables in MEMORY.items():
        again = [sys.executable, __file__, "--memory", memory, "--out", str(options.out)]
        subprocess.run(again + ["--quick"] * options.quick, env={**os.environ, **variables}, check=True)
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
