"""Kill runs at random moments, resume them, and compare their end with that of an uninterrupted run.

    python benchmarks/reliability_resume.py

Every model is trained on forty batches by `lightning-gans fit`, with stabilizers that have a state, readings and
pictures. The process gets SIGKILL at a random moment, a new one resumes with `--ckpt_path last`, and so on. The end is
compared bit for bit with that of an uninterrupted run from the same seed: everything in the checkpoint except
Lightning's counters of restarts, every row of metrics.csv, every picture, every reading. A kill passes if the run that
it hit ends identical. In the last row the kill comes when half of a checkpoint is written.
"""

from __future__ import annotations

import csv
import os
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "resume"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from kills import COMMON, MIDDLE, MODELS, compare, finish, fit, seeded, start, timed, until_done
from test_exact import TRIED, WAYS
from test_saving import half

import lightning_gans.cli.commands  # noqa: F401 - imported once, before the forks

KILLS = 50
RESULTS = Path(__file__).parent / "results" / "reliability_resume.csv"
Row = tuple[str, int, int, float]


def killed(folder: Path, name: str, way: str, kills: int) -> tuple[int, bool, float]:
    """Return how often a run was killed, whether its end is identical, and the seconds."""
    arguments, ranks = WAYS[way]
    args, began = [*COMMON, *MODELS[name], *arguments], time.monotonic()
    seconds = timed(folder / "whole", args, ranks)
    hits = until_done(folder / "killed", args, seconds, kills, seeded(name, way), ranks)
    found = compare(folder / "killed", folder / "whole")
    print(f"| {name} | {way} | {hits} | {'yes' if not found else 'NO: ' + ', '.join(found[:3])} |", flush=True)
    return hits, not found, time.monotonic() - began


def killed_while_saving(folder: Path, name: str) -> tuple[int, bool, float]:
    """Return the same for a run that is killed half-way through its fourth save, of last.ckpt after checkpoint 2."""
    args, began = [*COMMON, *MODELS[name], *MIDDLE], time.monotonic()

    def before():
        real, count = torch.save, [0]

        def save(*args, **kwargs):
            count[0] += 1
            (half(real) if count[0] == 4 else real)(*args, **kwargs)

        torch.save = save

    fit(folder / "whole", args)
    hit = finish(start(folder / "killed", args, before=before)) == [-signal.SIGKILL]
    fit(folder / "killed", [*args, "--ckpt_path=last"])
    found = compare(folder / "killed", folder / "whole")
    print(
        f"| {name} | while saving | {int(hit)} | {'yes' if not found else 'NO: ' + ', '.join(found[:3])} |", flush=True
    )
    return int(hit), not found, time.monotonic() - began


def rows(folder: Path) -> list[Row]:
    """Return for each kind of interruption the number of kills and how many runs ended identical."""
    print("| model | resumed | kills | identical end |\n|---|---|---|---|")
    found: dict[str, list[tuple[int, bool, float]]] = {way: [] for way in WAYS}
    total = 0
    for number, (name, way) in enumerate(TRIED):
        kills = -(-(KILLS - total) // (len(TRIED) - number))  # what is left, shared among the runs that are left
        found[way].append(killed(folder / str(number), name, way, max(2, kills)))
        total += found[way][-1][0]
    found["in the middle of a save"] = [killed_while_saving(folder / f"saving_{name}", name) for name in MODELS]
    return [
        (
            f"kills, resumed {way}" if way in WAYS else f"kills {way}",
            sum(hits for hits, _, _ in tried),
            sum(hits for hits, identical, _ in tried if identical),
            round(sum(seconds for _, _, seconds in tried), 1),
        )
        for way, tried in found.items()
    ]


def main() -> list[Row]:
    """Print the tables; return the rows for reliability.py."""
    warnings.simplefilter("ignore")
    os.environ["WANDB_MODE"] = "offline"
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = rows(Path(folder))
    print("\n| what | tried | passed | seconds |\n|---|---|---|---|")
    for what, tried, passed, seconds in found:
        print(f"| {what} | {tried} | {passed} | {seconds:.1f} |")
    with RESULTS.open("w", newline="") as file:
        csv.writer(file).writerows([("what", "tried", "passed", "seconds"), *found])
    return found


if __name__ == "__main__":
    main()
