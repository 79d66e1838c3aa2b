"""Lines on the console during training."""

from __future__ import annotations

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ProgressBar


def print_line(trainer: Trainer, text: str) -> None:
    """Print a line, above the progress bar where there is one."""
    bar = trainer.progress_bar_callback
    if isinstance(bar, ProgressBar) and getattr(bar, "is_enabled", False):
        bar.print(text)
    else:
        print(text, flush=True)
