"""What the failure monitor adds to the time of a step, over whole rounds of readings; one CPU thread.

    python benchmarks/monitor_cost.py

The processor time of the monitor's hooks over that of the rest of the training: a DCGAN-64, and MLPs on points, about
the smallest networks in use. The one-off set-up, which compares real samples with one another, is in a column of its
own. A first, short training, which imports what the set-up needs, is not counted; nor is the check for NaN, which the
model makes as often without the monitor.
"""

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from failure_setups import plain
from lightning.pytorch import Trainer, seed_everything
from torch.utils.data import DataLoader

from lightning_gans import DCGAN, GAN
from lightning_gans.attached import attached
from lightning_gans.callbacks import FailureMonitor
from lightning_gans.training.non_finite import NonFiniteGuard

OUT = Path(__file__).parent / "results" / "monitor_cost.csv"


class Timed(FailureMonitor):
    """The monitor, which measures the processor time of its own hooks.

    Attributes:
        seconds: of each call.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_before_optimizer_step(self, *args: Any) -> None:
        start = time.process_time()
        super().on_before_optimizer_step(*args)
        self.seconds.append(time.process_time() - start)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        if pl_module.batches_seen % self.every_n_steps == 0:
            for guard in attached(trainer, NonFiniteGuard):
                guard.check(trainer, pl_module)
        start = time.process_time()
        super().on_train_batch_end(trainer, pl_module, *args)
        self.seconds.append(time.process_time() - start)


SETUPS: dict[str, tuple[Callable[[], GAN], tuple[int, ...], int]] = {  # model, a batch, number of batches
    "DCGAN-64, batch 64": (lambda: DCGAN((3, 64, 64), width=64), (64, 3, 64, 64), 100),
    "MLPs, batch 512": (lambda: plain(2), (512, 2), 2000),
    "MLPs, batch 64": (lambda: plain(2), (64, 2), 4000),
}


def train(make: Callable[[], GAN], shape: tuple[int, ...], batches: int) -> tuple[float, Timed]:
    """Return the processor time of a training on new samples in each batch, and its monitor."""
    seed_everything(0, verbose=False)
    monitor = Timed()
    trainer = Trainer(
        max_steps=batches,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[monitor],
    )
    gan, data = make(), [torch.randn(shape).clamp(-3, 3) / 3 for _ in range(batches)]
    start = time.process_time()
    trainer.fit(gan, DataLoader(data, batch_size=None))
    return time.process_time() - start, monitor


def measure(quick: bool) -> None:
    """Measure what the monitor adds to the time of a step, over whole rounds of readings."""
    torch.set_num_threads(1)
    train(lambda: plain(2), (64, 2), 1100)
    rows = []
    for name, (make, shape, batches) in SETUPS.items():
        seconds, monitor = train(make, shape, 10 if quick else batches)
        own, setup = sum(monitor.seconds), max(monitor.seconds)
        milliseconds = 1e3 * (seconds - own) / batches, 1e3 * own / batches
        rows.append([name, batches, *milliseconds, 1e3 * setup, own / (seconds - own), (own - setup) / (seconds - own)])
        print(
            "{:<20}{:>5} batches of {:.3f} ms, monitor {:.4f} ms (set-up {:.0f} ms): {:.2%}, later {:.2%}".format(
                *rows[-1]
            )
        )
    if not quick:
        with OUT.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(
                ["training", "batches", "ms/step training", "ms/step monitor", "ms set-up", "share", "share later"]
            )
            writer.writerows([[*row[:2], *(f"{value:.4f}" for value in row[2:])] for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run, with meaningless figures")
    measure(parser.parse_args().quick)


if __name__ == "__main__":
    main()
