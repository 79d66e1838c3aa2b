"""Untrusted input: how many bad inputs were tried, and how many were refused in one line or skipped.

    python benchmarks/reliability_untrusted.py

Malicious checkpoints and configs (no code from them runs), folders of broken and unusual pictures (valid ones are read,
the others named), and random command lines (a run, or one line and exit code 2).
"""

import contextlib
import io
import logging
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).parents[1] / "tests" / "untrusted")]

import attacks  # noqa: E402
import bad_pictures  # noqa: E402
import command_lines  # noqa: E402

from lightning_gans import generation  # noqa: E402
from lightning_gans.data import ImageFolder  # noqa: E402
from lightning_gans.generation.training_data import data_of  # noqa: E402

COMMAND_LINES = 600
Row = tuple[str, int, int, float]


def refused(load, *args) -> bool:
    """Whether the call raises a ValueError of one line."""
    try:
        load(*args)
    except ValueError as error:
        return "\n" not in str(error)
    return False


def malicious_files(folder: Path) -> list[Row]:
    sentinel, rows = folder / "it_ran", []
    (folder / "trap_for_gans.py").write_text(attacks.TRAP.format(sentinel=str(sentinel)))
    sys.path.insert(0, str(folder))
    path = folder / "evil.ckpt"

    def saved(**parts):
        torch.save(attacks.base_checkpoint() | parts, path)

    def settings(name):
        saved(hyper_parameters=attacks.base_checkpoint()["hyper_parameters"] | attacks.class_paths(sentinel)[name])

    def config(name):
        (folder / "config.yaml").write_text(attacks.configs(sentinel)[name])

    for what, names, write, load in (
        ("pickled code in a checkpoint", attacks.pickles(sentinel), None, generation.load),
        ("classes that a checkpoint names", attacks.class_paths(sentinel), settings, generation.load),
        (
            "changes of networks that a checkpoint names",
            attacks.changes(sentinel),
            lambda name: saved(gan_network_changes=attacks.changes(sentinel)[name]),
            generation.load,
        ),
        ("configs beside a checkpoint", attacks.configs(sentinel), config, lambda path: data_of(str(path))),
    ):
        start, passed = time.monotonic(), 0
        for name in names:
            path.write_bytes(names[name]) if write is None else write(name)
            passed += refused(load, path) and not sentinel.exists() and "trap_for_gans" not in sys.modules
        rows.append((what, len(names), passed, time.monotonic() - start))
    sys.path.remove(str(folder))
    return rows


def pictures(folder: Path) -> list[Row]:
    start = time.monotonic()
    good = bad_pictures.unusual(folder / "pictures")
    broken = bad_pictures.broken(folder / "pictures")
    others = {path.name for path in (folder / "pictures").iterdir()}
    bad_pictures.not_pictures(folder / "pictures", folder / "outside")
    others = {path.name for path in (folder / "pictures").iterdir()} - others
    data = ImageFolder(str(folder / "pictures"), size=16, skip_corrupt=True, val_fraction=0.0, test_fraction=0.0)
    files = data.load("train")
    read = {path.relative_to(folder / "pictures").as_posix() for path in files.files}
    x = files.__getitems__(list(range(len(files))))
    seconds = time.monotonic() - start
    return [
        ("unusual pictures, which are read", len(good), len(read & set(good)) * int(x.isfinite().all()), seconds),
        ("broken pictures, which are named and skipped", len(broken), len(set(broken) - read), seconds),
        ("links, pipes and hidden files, which are ignored", len(others), len(others - read), seconds),
    ]


def lines(folder: Path, number: int = COMMAND_LINES) -> list[Row]:
    (folder / "lines").mkdir()
    counts: Counter = Counter()
    start = time.monotonic()
    with command_lines.at(folder / "lines"):
        command_lines.prepare(Path.cwd())
        for args, outcome in command_lines.fuzz(number):
            counts[outcome.what] += 1
            if outcome.what not in ("ran", "one line"):
                print(args, outcome, file=sys.stderr)
    seconds = time.monotonic() - start
    answered = number - counts["ran"]
    return [
        ("command lines with a mistake: one line, exit code 2", answered, counts["one line"], seconds),
        ("command lines without one: a run", counts["ran"], counts["ran"], seconds),
    ]


def main() -> list[Row]:
    """Print the table; return rows of (what, tried, passed, seconds)."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    os.environ["WANDB_MODE"] = "offline"
    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(io.StringIO()):
        rows = [*malicious_files(Path(place)), *pictures(Path(place)), *lines(Path(place))]
    print(f"{'bad input':56} {'tried':>6} {'passed':>7} {'seconds':>8}")
    for what, tried, passed, seconds in [*rows, ("all", sum(row[1] for row in rows), sum(row[2] for row in rows), 0.0)]:
        print(f"{what:56} {tried:6} {passed:7} {seconds:8.1f}")
    return rows


if __name__ == "__main__":
    sys.exit(any(tried != passed for _, tried, passed, _ in main()))
