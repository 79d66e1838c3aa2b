"""Measure the cost of a training step: a plain PyTorch loop, `GAN` without a Trainer, and `GAN` in a Trainer.

    python benchmarks/overhead.py             # all of it, a few minutes on two CPU cores
    python benchmarks/overhead.py --logging   # the cost of logging: never, and at every batch
    python benchmarks/overhead.py --quick     # a smoke test; its figures mean nothing

The three train the same networks from the same weights on the same loader with the same Adam:

- plain loop: the loop of PyTorch's DCGAN example. It runs backward on real samples and on fakes separately, uses one
  batch of fakes for both players, and does not freeze the discriminator in the generator's step. Unlike the example it
  keeps no losses and prints nothing, which makes it faster. It also runs without an environment variable that
  Lightning sets for the whole process and that slows Adam down without a GPU.
- no Trainer: `gan.train_batch(batch, generator_optimizer, discriminator_optimizer)`.
- Trainer: with the defaults of the command line, that is CSVLogger, SampleGrid, FailureMonitor, ModelCheckpoint, the
  report and a progress bar of refresh rate 20, written to the null device.

The loader records the time whenever it yields a batch; a step is the time between two of these, in all three.
Included: the data, both players, every hook of a batch, the progress bar, and the logging of every 50th batch
(DCGAN-64 is too short for that). Not included: construction of networks, optimizers and Trainer, the first steps, and
everything after the last batch is yielded, hence pictures and checkpoints, which belong to the end of an epoch. Rounds
of the three are interleaved, and each begins with the next of them; a ratio is taken within its round. Torch has one
thread, so CPU time, which other programs on the machine disturb less, equals wall-clock time on an idle machine.

With `--logging` the Trainer runs without logging and with logging at every batch. The command line logs every 50th
batch, which costs a fiftieth of the difference.
"""

import argparse
import contextlib
import copy
import csv
import functools
import gc
import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import lightning
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from lightning_gans import GAN
from lightning_gans.callbacks import FailureMonitor, Report, SampleGrid
from lightning_gans.data import GaussianRing
from lightning_gans.networks import DCGANDiscriminator, DCGANGenerator, MLPDiscriminator, MLPGenerator
from lightning_gans.optimizers import Adam

CLOCKS = {"cpu": time.process_time, "wall": time.perf_counter}
HEADER = ["workload", "variant", "ms/step median", "min", "ratio to plain loop", "rounds", "steps"]
LAYOUT = "{:<10}{:<12}{:>16}{:>10}{:>21}{:>8}{:>7}"


class Clocked:
    """A loader that records when it yields each batch."""

    def __init__(self, loader: DataLoader, clock: Callable[[], float]):
        self.loader, self.clock = loader, clock
        self.times: list[float] = []

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Tensor]:
        for batch in self.loader:
            self.times.append(self.clock())
            yield batch


@patch.dict(os.environ, PYTORCH_NVML_BASED_CUDA_CHECK="0")
def plain_loop(gan: GAN, loader: Clocked) -> list[Optimizer]:
    generator, discriminator, latent_dim = gan.generator, gan.discriminator, gan.generator.latent_dim
    (generator_optimizer, discriminator_optimizer), _ = gan.configure_optimizers()
    criterion = nn.BCEWithLogitsLoss()
    for real in loader:
        discriminator_optimizer.zero_grad()
        label = torch.full((len(real),), 1.0)
        criterion(discriminator(real), label).backward()
        fake = generator(torch.randn(len(real), latent_dim))
        label.fill_(0.0)
        criterion(discriminator(fake.detach()), label).backward()
        discriminator_optimizer.step()

        generator_optimizer.zero_grad()
        label.fill_(1.0)
        criterion(discriminator(fake), label).backward()
        generator_optimizer.step()
    return [generator_optimizer, discriminator_optimizer]


def without_trainer(gan: GAN, loader: Clocked) -> list[Optimizer]:
    optimizers, _ = gan.configure_optimizers()
    for batch in loader:
        gan.train_batch(batch, *optimizers)
    return optimizers


def with_trainer(gan: GAN, loader: Clocked, log_every_n_steps: int = 50) -> list[Optimizer]:
    defaults = [SampleGrid(), FailureMonitor(), Report(), ModelCheckpoint(save_last=True)]
    callbacks = [TQDMProgressBar(refresh_rate=20), *defaults]
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as null:
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=1,
            logger=CSVLogger(folder),
            callbacks=callbacks,
            log_every_n_steps=log_every_n_steps,
        )
        with contextlib.redirect_stdout(null), contextlib.redirect_stderr(null):
            trainer.fit(gan, loader)
    return trainer.optimizers


Variants = dict[str, Callable[[GAN, Clocked], list[Optimizer]]]
VARIANTS: Variants = {"plain loop": plain_loop, "no Trainer": without_trainer, "Trainer": with_trainer}
LOGGING: Variants = {
    "no logging": functools.partial(with_trainer, log_every_n_steps=0),
    "every batch": functools.partial(with_trainer, log_every_n_steps=1),
}


def adam(params: Iterator[nn.Parameter]) -> Adam:
    return Adam(params, lr=2e-4, beta1=0.5)


def dcgan_64(batches: int) -> tuple[GAN, DataLoader]:
    shape = (3, 64, 64)
    networks = DCGANGenerator(shape, latents=100, width=64), DCGANDiscriminator(shape, width=64)
    images = torch.rand(64 * batches, *shape) * 2 - 1
    loader = DataLoader(images, batch_size=64, shuffle=True)  # type: ignore[arg-type]
    return GAN(*networks, generator_optimizer=adam, discriminator_optimizer=adam), loader


def mlp_ring(batches: int) -> tuple[GAN, DataLoader]:
    networks = MLPGenerator((2,), latents=2, width=128, depth=2), MLPDiscriminator((2,), width=128, depth=2)
    loader = GaussianRing(num_samples=512 * batches, batch_size=512).train_dataloader()
    return GAN(*networks, generator_optimizer=adam, discriminator_optimizer=adam), loader


@dataclass
class Workload:
    """Networks and data for a number of batches, and the length of the measurement."""

    make: Callable[[int], tuple[GAN, DataLoader]]
    rounds: int
    steps: int
    warm_up: int


WORKLOADS = {"DCGAN-64": Workload(dcgan_64, 7, 4, 1), "MLP ring": Workload(mlp_ring, 31, 100, 50)}


def measure(work: Workload, clock: Callable[[], float], variants: Variants) -> dict[str, list[float]]:
    """Return milliseconds per step for each variant, one value per round."""
    torch.manual_seed(0)
    batches = work.warm_up + work.steps + 1  # the end of the last batch is not recorded
    gan, loader = work.make(batches)
    figures: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(work.rounds):
        first = number % len(variants)
        for name in [*variants][first:] + [*variants][:first]:
            gc.collect()
            clocked = Clocked(loader, clock)
            optimizers = variants[name](copy.deepcopy(gan), clocked)
            taken = {int(state["step"]) for optimizer in optimizers for state in optimizer.state.values()}
            if len(clocked.times) != batches or taken != {batches}:
                raise RuntimeError(f"{name}: {len(clocked.times)} batches and {taken} steps, not {batches}")
            figures[name].append(1000 * (clocked.times[-1] - clocked.times[work.warm_up]) / work.steps)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 short rounds each, as a smoke test")
    parser.add_argument("--logging", action="store_true", help="the cost of logging, in place of the three")
    parser.add_argument("--only", choices=WORKLOADS, help="one workload only")
    parser.add_argument("--clock", choices=CLOCKS, default="cpu", help="CPU time or wall-clock time")
    parser.add_argument("--out", type=Path, help="the CSV; by default in results/ beside this script")
    options = parser.parse_args()
    variants = LOGGING if options.logging else VARIANTS
    first, name = next(iter(variants)), "logging.csv" if options.logging else "overhead.csv"
    out = options.out or Path(__file__).parent / "results" / name
    header = [*HEADER[:4], f"ratio to {first}", *HEADER[5:]]

    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    versions = {"torch": torch.__version__, "lightning": lightning.__version__, "threads": torch.get_num_threads()}
    print(*(f"{name} {version}" for name, version in versions.items()), f"clock {options.clock}", sep=", ")
    print(LAYOUT.format(*header), flush=True)
    rows = []
    for workload in [options.only] if options.only else WORKLOADS:
        work = Workload(WORKLOADS[workload].make, 2, 2, 1) if options.quick else WORKLOADS[workload]
        figures = measure(work, CLOCKS[options.clock], variants)
        for name, own in figures.items():
            ratio = statistics.median(a / b for a, b in zip(own, figures[first], strict=True))
            numbers = [f"{number:.3f}" for number in (statistics.median(own), min(own), ratio)]
            rows.append([workload, name, *numbers, work.rounds, work.steps])
            print(LAYOUT.format(*rows[-1]), flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    with open(out, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*header, *versions, "clock"])
        writer.writerows([*row, *versions.values(), options.clock] for row in rows)
    print(f"written to {out}")


if __name__ == "__main__":
    main()
