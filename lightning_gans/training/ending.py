"""What a run that ends early tells its user: why, which checkpoint is left, and what helps."""

from __future__ import annotations

import os
from pathlib import Path

from lightning.pytorch import Callback, Trainer

from lightning_gans.attached import attached


def ending(trainer: Trainer, batch: int, words: str) -> str:
    """Return why the run ends, which checkpoint is left and what helps, in one line."""
    kept = last_checkpoint(trainer)
    left = f"the last good checkpoint is {kept}" if kept else "there is no checkpoint yet"
    precise = ", train in bf16-mixed or 32-true" if str(trainer.precision).startswith("16") else ""
    return (
        f"batch {batch}: {words}. The run ends here; {left}. Lower the learning rates, clip the gradients "
        f"(generator_clip, discriminator_clip){precise}, or find the operation with the Trainer's detect_anomaly."
    )


def last_checkpoint(trainer: Trainer) -> str:
    """Return the newest checkpoint of the run's callbacks, all of which are finite; "" for none."""
    folders = {getattr(callback, "dirpath", None) for callback in trainer.checkpoint_callbacks}
    files = [file for folder in folders if folder for file in Path(folder).glob("*.ckpt") if file.is_file()]
    healthy = [getattr(callback, "healthy_checkpoint", None) for callback in attached(trainer, Callback)]
    files += [file for file in healthy if file is not None and file.is_file()]
    if not files:
        return ""
    newest = max(files, key=lambda file: file.stat().st_mtime_ns)
    return os.path.relpath(newest) if newest.is_relative_to(Path.cwd()) else str(newest)
