"""What the benchmarks of whole trainings share: runs of the command line, a row of a CSV each, that survive a kill.

A run has a task, a method and a seed. It is one `lightning-gans fit`, in runs/benchmarks/<task>_<method>_<seed>, with
one thread. Its row is written as it ends. A benchmark that was killed continues: a run that has a row is not repeated,
and one that has a checkpoint is resumed from it. CPU seconds are those of the training, pictures and monitor included.
"""

import argparse
import csv
import logging
import math
import os
import statistics
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from tqdm import tqdm

from lightning_gans import GAN
from lightning_gans.generation import load, picture, save_picture
from lightning_gans.trials import train

HOME = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, order=True)
class Run:
    """One training: what it is trained on, how, and from which seed."""

    task: str
    method: str
    seed: int

    @property
    def name(self) -> str:
        """Its experiment in runs/benchmarks."""
        return "".join(one if one.isalnum() else "_" for one in f"{self.task}_{self.method}_{self.seed}")

    @property
    def folder(self) -> Path:
        """Where its checkpoints are, and the picture of its samples."""
        return HOME / "runs" / "benchmarks" / self.name


@dataclass(frozen=True)
class Trained:
    """A trained GAN and what it cost."""

    gan: GAN
    updates: int
    cpu_seconds: float


def parser(description: str | None, seeds: int) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks of trainings have."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--seeds", type=at_least_one, default=seeds, help=f"runs of each method, from seed 0 on; default {seeds}"
    )
    made.add_argument("--jobs", type=at_least_one, default=1, help="runs at a time, one thread each; default 1")
    made.add_argument("--tasks", nargs="+", metavar="TASK", help="only these")
    made.add_argument("--methods", nargs="+", metavar="METHOD", help="only these")
    made.add_argument("--out", type=Path, help="the CSV; by default in results/ beside this script")
    return made


def at_least_one(text: str) -> int:
    """Return a whole number of an option."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}'; expected a whole number of at least 1")
    return int(text)


def require_known(made: argparse.ArgumentParser, given: Sequence[str], known: Sequence[str]) -> None:
    """Refuse tasks or methods that there are not, in one line."""
    if unknown := [one for one in given if one not in known]:
        made.error(f"unknown {', '.join(unknown)}; expected some of {', '.join(known)}.")


def fit(run: Run, arguments: Sequence[str], cpu_limit: float | None = None) -> Trained:
    """Train by `lightning-gans fit` with these arguments, or resume a run that was stopped; load its last weights."""
    options = [*arguments, f"--seed_everything={run.seed}", "--threads=1"]
    trained = train(options, HOME / "runs" / "benchmarks", run.name, cpu_limit)
    gan = load(trained.checkpoint)
    return Trained(gan, int(gan.generator_updates), trained.seconds)


def perform(runs: list[Run], work: Callable[[Run], dict[str, Any]], out: Path, jobs: int) -> list[dict[str, str]]:
    """Call `work`, which returns the figures of a run, for each run without a row; return the rows of all of them."""
    rows = {Run(row["task"], row["method"], int(row["seed"])): row for row in rows_of(out)}
    missing = [run for run in runs if run not in rows]
    print(f"{len(runs)} runs, of which {len(runs) - len(missing)} are in {out}; torch {torch.__version__}, 1 thread")
    failed = 0
    with ProcessPoolExecutor(jobs, get_context("spawn"), _one_thread, (os.getpid(),)) as pool:
        waiting = {pool.submit(work, run): run for run in missing}
        for done in tqdm(as_completed(waiting), total=len(waiting), unit="run", disable=not missing):
            run = waiting[done]
            if error := done.exception():
                failed += 1
                tqdm.write(f"{run} has failed: {error!r}")
                continue
            row = {"task": run.task, "method": run.method, "seed": str(run.seed)}
            row |= {name: shown(figure) for name, figure in done.result().items()}
            row["torch"] = torch.__version__
            append(out, row)
            rows[run] = row
            tqdm.write("  ".join(f"{name} {figure}" for name, figure in row.items()))
    if failed:
        sys.exit(f"{failed} of {len(runs)} runs have failed, see above; start again to repeat these.")
    return [rows[run] for run in runs]


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV, none if there is no such file."""
    if not path.is_file():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def append(path: Path, row: dict[str, str]) -> None:
    """Add a row to a CSV, and its header where the file is new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.is_file()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)
        file.flush()
        os.fsync(file.fileno())


def shown(figure: Any) -> str:
    """Return a figure with four digits, whole numbers whole."""
    return f"{figure:.4g}" if isinstance(figure, float) else str(figure)


def table(rows: list[dict[str, str]], figures: Sequence[str]) -> None:
    """Print mean ± standard error of the figures, a line for each task and method."""
    groups = list(dict.fromkeys((row["task"], row["method"]) for row in rows))
    print(f"\n{'':<44}{'seeds':>6}" + "".join(f"{name:>20}" for name in figures))
    for group in groups:
        own = [row for row in rows if (row["task"], row["method"]) == group]
        columns = [summary([float(row[name]) for row in own]) for name in figures]
        print(f"{', '.join(group):<44}{len(own):>6}" + "".join(f"{column:>20}" for column in columns))


def summary(values: Sequence[float], digits: int = 4) -> str:
    """Return mean ± standard error of the values that are numbers."""
    kept = [value for value in values if not math.isnan(value)]
    if not kept:
        return "-"
    if len(kept) == 1:
        return f"{kept[0]:.{digits}g}"
    return f"{statistics.mean(kept):.{digits}g} ± {statistics.stdev(kept) / math.sqrt(len(kept)):.2g}"


def save_samples(run: Run, samples: Tensor, columns: int = 8) -> None:
    """Save a picture of samples for the sheet, of the first seed only."""
    if run.seed == 0:
        run.folder.mkdir(parents=True, exist_ok=True)
        save_picture(picture(samples, columns=columns), run.folder / "samples.png")


def sheet(out: Path, columns: int, methods: Sequence[str] = (), name: str = "") -> None:
    """Save the pictures of the runs in a CSV side by side, each under its name, in a PNG beside the CSV.

    Args:
        out: the CSV.
        columns: pictures in a row.
        methods: those to show; all if there are none.
        name: of the PNG, in place of the CSV's.
    """
    runs = [Run(row["task"], row["method"], 0) for row in rows_of(out) if row["seed"] == "0"]
    runs = [run for run in runs if not methods or run.method in methods]
    runs = [run for run in runs if (run.folder / "samples.png").is_file()]
    pictures = [Image.open(run.folder / "samples.png") for run in runs]
    if not pictures:
        return
    width, height = pictures[0].size
    columns = min(columns, len(pictures))
    page = Image.new("RGB", (columns * (width + 8), math.ceil(len(pictures) / columns) * (height + 24)), "white")
    for place, (run, one) in enumerate(zip(runs, pictures, strict=True)):
        corner = (place % columns * (width + 8) + 4, place // columns * (height + 24) + 18)
        page.paste(one, corner)
        ImageDraw.Draw(page).text((corner[0], corner[1] - 14), f"{run.task}, {run.method}", fill="black")
    page.save(out.with_name(name) if name else out.with_suffix(".png"))


THUMBNAIL = (150, 194)
"""Width and height of a `thumbnail`, its text included, in pixels."""


def thumbnail(page: Image.Image, corner: tuple[int, int], path: Path, lines: Sequence[tuple[str, str]]) -> None:
    """Put a picture, cropped to a square, on a page below lines of text, each with its colour, if there is one."""
    (x, y), (side, height), font = corner, THUMBNAIL, ImageFont.load_default(11)
    for place, (words, colour) in enumerate(lines):
        ImageDraw.Draw(page).text((x, y + 2 + 13 * place), words[:26], colour, font)
    if path.is_file():
        shown = Image.open(path).convert("RGB")
        least = min(shown.size)
        page.paste(shown.crop((0, 0, least, least)).resize((side, side)), (x, y + height - side))


def _end_with(parent: int) -> None:
    """End this process when its parent has been killed, or it would train the runs that wait behind its own."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _one_thread(parent: int) -> None:
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(1)
    os.chdir(HOME)
