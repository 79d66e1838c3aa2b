"""What the command line prints at the end of a run: where its results are, and what can be done with them."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from lightning_gans.attached import attached
from lightning_gans.callbacks import FailureMonitor, SampleGrid
from lightning_gans.callbacks.health.states import classes_of
from lightning_gans.training.checks import is_gan
from lightning_gans.training.kept_checkpoints import best_or_last, folders, monitoring


def print_closing_lines(trainer: Trainer, folder: Path, further: str) -> None:
    """Print the places of the results and the command that draws samples.

    Args:
        trainer: that of the run.
        folder: the folder of the run, which there is only with a logger.
        further: what else that command needs, such as an `--import`.
    """
    home = folder if trainer.loggers else Path(trainer.default_root_dir)
    elsewhere = [place for place in map(_shown, folders(trainer)) if place != _shown(home / "checkpoints")]
    written = _written(trainer, home)
    if trainer.loggers:
        print(f"\nThe run is in {folder}{': ' if written else ''}{_listed(written)}.")
        if elsewhere:
            print(f"Its checkpoints are in {_listed(elsewhere)}.")
    else:
        files = _listed([_shown(home / name) + "/" for name in written] + elsewhere) or "no files"
        print(f"\nWithout a logger the run has no folder of its own; it wrote {files}.")
    report = folder / "report.html"
    if trainer.loggers and report.is_file():
        print(f"Open {os.path.relpath(report)} in a browser for a report of the run.")
    for monitor in attached(trainer, FailureMonitor):
        if monitor.state.remedies:
            page = folder / "health.md"
            more = f" See {os.path.relpath(page)} for its beginning and remedies." if page.is_file() else ""
            print(f"The run ended in a failure: {monitor.state.name}.{more}")
            left = monitor.state.left({*classes_of(trainer.lightning_module), trainer.precision})  # type: ignore[arg-type]
            if (folder / "config.yaml").is_file() and any(remedy.name for remedy in left):
                print(f"Try these side by side: lightning-gans rescue --run {os.path.relpath(folder)}")
    _print_checkpoint(trainer, further)


def _written(trainer: Trainer, home: Path) -> list[str]:
    """Return what of a run is in a folder."""
    names = [name for name in ("config.yaml", "metrics.csv") if trainer.loggers and (home / name).is_file()]
    if _shown(home / "checkpoints") in map(_shown, folders(trainer)):
        names.append("checkpoints/")
    if any(grid.every_n_epochs for grid in attached(trainer, SampleGrid)) and (home / "samples").is_dir():
        names.append("samples/")
    return names


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _print_checkpoint(trainer: Trainer, further: str) -> None:
    for keeper in monitoring(trainer):
        score = f"{keeper.best_model_score:.4g}"
        print(f"The checkpoint with the best {keeper.monitor}, {score}: {_shown(keeper.best_model_path)}")
    shown = best_or_last(trainer)
    if shown:
        path = shlex.quote(_shown(shown))
        module: Any = trainer.lightning_module
        if not is_gan(module):
            teacher = f"--model.classifier TrainedClassifier --model.classifier.checkpoint {path}"
            sides = ",".join(map(str, module.input_shape))
            shape = f"--data.image_shape=[{sides}] --data.num_classes={module.num_classes}"
            config = "configs/sepgan_digits_robust.yaml"
            print(f"Teach a generator with it: lightning-gans fit --config {config} {teacher} {shape}")
            return
        print(f"Draw new samples: lightning-gans sample --checkpoint {path} --out grid.png{further}")


def _shown(path: str | Path) -> str:
    return str(path) if "://" in str(path) else os.path.relpath(path)
