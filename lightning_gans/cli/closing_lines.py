"""What the command line prints at the end of a run: where its results are, and what can be done with them."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from lightning_gans.attached import attached
from lightning_gans.callbacks import FailureMonitor


def print_closing_lines(trainer: Trainer, folder: Path, further: str) -> None:
    """Print the places of the results and the command that draws samples.

    Args:
        trainer: that of the run.
        folder: the folder of the run.
        further: what else that command needs, such as an `--import`.
    """
    print(f"\nThe run is in {folder}: config.yaml, metrics.csv, checkpoints/ and samples/.")
    report = folder / "report.html"
    if report.is_file():
        print(f"Open {os.path.relpath(report)} in a browser for a report of the run.")
    for monitor in attached(trainer, FailureMonitor):
        if monitor.state.remedies:
            page = os.path.relpath(folder / "health.md")
            print(f"The run ended in a failure: {monitor.state.name}. See {page} for its beginning and remedies.")
    _print_checkpoint(trainer.checkpoint_callback, further)


def _print_checkpoint(keeper: Any, further: str) -> None:
    shown = getattr(keeper, "last_model_path", "")
    if getattr(keeper, "monitor", None) and keeper.best_model_path and keeper.best_model_score is not None:
        shown = keeper.best_model_path
        print(f"The checkpoint with the best {keeper.monitor}, {keeper.best_model_score:.4g}: {os.path.relpath(shown)}")
    if shown:
        path = shlex.quote(os.path.relpath(shown))
        print(f"Draw new samples: lightning-gans sample --checkpoint {path} --out grid.png{further}")
