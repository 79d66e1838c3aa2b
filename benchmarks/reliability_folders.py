"""Start runs together, and kill and resume runs that monitor a metric and log to W&B: one folder and history each.

    python benchmarks/reliability_folders.py        # nine minutes on two cores
    python benchmarks/reliability_folders.py 12     # of one that was stopped: the chains from 12 on

Eight runs of one experiment are started at the same moment, five times; a run passes if it has a folder of its own with
all of its batches and its own seed. Then runs with schedules, `--checkpoint.monitor` and W&B offline are killed twice
at random moments and resumed; a chain passes if its one folder ends like that of an uninterrupted run: `metrics.csv`
byte for byte, the best checkpoint by name and score, weights, optimizers and pictures bit for bit, one run at W&B.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "resume"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from kills import BATCHES, COMMON, CONFIGS, MODELS, compare, finish, seeded, start, timed, until_done

import lightning_gans.cli.commands  # noqa: F401 - imported once, before the forks

ROUNDS, TOGETHER, CHAINS = 5, 8, 20
MONITORS = (  # what the best checkpoint is chosen by, and when: at the ends of epochs, and in their middle
    ["--checkpoint.monitor=val/generator_loss"],
    ["--checkpoint.monitor=loss/generator", "--checkpoint.every_n_train_steps=7"],
)
RESULTS = Path(__file__).parent / "results" / "reliability_folders.csv"
Row = tuple[str, int, int, float]


def together(folder: Path) -> int:
    """Start runs of one experiment at once, and return how many are whole."""
    pids = []
    for seed in range(TOGETHER):
        pids += start(folder, [*COMMON, *MODELS["UnrolledGAN"], f"--seed_everything={seed}"])
    codes = finish(pids, timeout=600)
    seeds = set()
    for run in folder.glob("runs/one/version_*"):
        saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
        with (run / "metrics.csv").open() as file:
            steps = {int(row["step"]) for row in csv.DictReader(file) if row["loss/generator"]}
        config = yaml.safe_load((run / "config.yaml").read_text())
        if saved["global_step"] == BATCHES and steps == set(range(BATCHES)):
            seeds.add((config["seed_everything"], saved["gan_seed"]))
    return min(codes.count(0), sum(asked == used for asked, used in seeds))


def chain(folder: Path, whole: Path, args: list[str], number: int, seconds: float) -> list[str]:
    """Kill a run twice and resume it; return where its end differs from the uninterrupted one."""
    until_done(folder, args, seconds, 2, seeded("chain", number))
    found = compare(folder, whole)
    run = max(folder.glob("runs/one/version_*"), key=lambda path: int(path.name.split("_")[1]))
    ids = {path.name.rpartition("-")[2] for path in run.glob("wandb/*run-*")}
    return found + ([] if len(ids) == 1 else [f"runs at W&B: {sorted(ids)}"])


def main(first: int = 0) -> list[Row]:
    """Print a table; return its rows for reliability.py. With `first`, only the chains from this one on."""
    warnings.simplefilter("ignore")
    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    torch.set_num_threads(1)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as place:
        since = time.monotonic()
        if not first:
            whole_runs = sum(together(Path(place, f"together_{number}")) for number in range(ROUNDS))
            rows.append(("runs started together", ROUNDS * TOGETHER, whole_runs, time.monotonic() - since))
            print(rows[-1], flush=True)
        since, passed = time.monotonic(), 0
        for number in range(first, CHAINS):
            name = list(MODELS)[number % len(MODELS)]
            monitor = MONITORS[1 if name == "SEPGAN" else number % 2]  # SEPGAN has no validation batches
            args = [*COMMON, *MODELS[name], f"--config={CONFIGS / 'logger' / 'wandb.yaml'}", *monitor]
            if name != "GAN":  # which has two schedules
                args += ["--model.generator_scheduler=ExponentialLR", "--model.generator_scheduler.gamma=0.99"]
            whole = Path(place, f"whole_{number}")
            seconds = timed(whole, args)
            found = chain(Path(place, f"chain_{number}"), whole, args, number, seconds)
            passed += not found
            print(f"chain {number}, {name}: {found[:4] or 'identical'}", flush=True)
        rows.append(("kill, resume, kill, resume", CHAINS - first, passed, time.monotonic() - since))
    print("\n| what | tried | passed | seconds |\n|---|---|---|---|")
    for what, tried, good, seconds in rows:
        print(f"| {what} | {tried} | {good} | {seconds:.1f} |")
    with RESULTS.open("a" if first else "w", newline="") as file:
        csv.writer(file).writerows([*([] if first else [("what", "tried", "passed", "seconds")]), *rows])
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "first", type=int, nargs="?", default=0, choices=range(CHAINS), metavar="CHAIN", help="to start with"
    )
    main(parser.parse_args().first)
