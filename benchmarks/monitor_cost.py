"""What the failure monitor adds to the time of a step, over whole rounds of readings; one CPU thread.

    python benchmarks/monitor_cost.py

The processor time of the monitor's hooks over that of the rest of the training: a DCGAN-64, and MLPs on points, about
the smallest networks in use. The one-off set-up, which compares real samples with one another, is part of it.
"""

import argparse
import csv
import time
from pathlib import Path
from typing import Any

import torch
from failure_setups import plain
from lightning.pytorch import Trainer, seed_everything
from torch.utils.data import DataLoader

from lightning_gans import DCGAN
from lightning_gans.callbacks import FailureMonitor

OUT = Path(__file__).parent / "results" / "monitor_cost.csv"


class Timed(FailureMonitor):
    """The monitor, which measures the processor time of its own hooks."""

    seconds = 0.0

    def on_before_optimizer_step(self, *args: Any) -> None:
        start = time.process_time()
        super().on_before_optimizer_step(*args)
        self.seconds += time.process_time() - start

    def on_train_batch_end(self, *args: Any) -> None:
        start = time.process_time()
        super().on_train_batch_end(*args)
        self.seconds += time.process_time() - start


def measure(quick: bool) -> None:
    """Measure what the monitor adds to the time of a step, over whole rounds of readings."""
    torch.set_num_threads(1)
    setups = {
        "DCGAN-64, batch 64": (lambda: DCGAN((3, 64, 64), width=64), torch.rand(64, 3, 64, 64) * 2 - 1, 100),
        "MLPs, batch 512": (lambda: plain(2), torch.randn(512, 2), 2000),
        "MLPs, batch 64": (lambda: plain(2), torch.randn(64, 2), 4000),
    }
    rows = []
    for name, (make, batch, batches) in setups.items():
        monitor = Timed()
        trainer = Trainer(
            max_steps=10 if quick else batches,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[monitor],
        )
        seed_everything(0, verbose=False)
        gan = make()
        start = time.process_time()
        trainer.fit(gan, DataLoader([batch] * batches, batch_size=None))
        training = time.process_time() - start - monitor.seconds
        milliseconds = 1e3 * training / batches, 1e3 * monitor.seconds / batches
        rows.append([name, batches, *milliseconds, 1 + monitor.seconds / training])
        print("{:<26}{:>6} batches {:>9.3f} ms training {:>8.4f} ms monitor, ratio {:.4f}".format(*rows[-1]))
    if not quick:
        with OUT.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["training", "batches", "ms/step training", "ms/step monitor", "ratio"])
            writer.writerows([[*row[:2], *(f"{value:.4f}" for value in row[2:])] for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run, with meaningless figures")
    measure(parser.parse_args().quick)


if __name__ == "__main__":
    main()
