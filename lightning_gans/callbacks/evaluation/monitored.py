"""Callbacks that monitor a figure of an evaluation, and whether they will find it."""

from __future__ import annotations

from collections.abc import Collection

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_gans.attached import attached


def monitored(trainer: Trainer, split: str) -> list[tuple[ModelCheckpoint, str]]:
    """Return the checkpoints that monitor a figure of a split, not a loss or logit of the model, and its name."""
    found = [(one, one.monitor or "") for one in trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint)]
    return [(one, name) for one, name in found if _is_figure(name, split)]


def _is_figure(name: str, split: str) -> bool:
    return name.startswith(f"{split}/") and not name.endswith(("loss", "logit"))


def check_epochs(trainer: Trainer, split: str, every_n_epochs: int) -> None:
    """Refuse a checkpoint or `EarlyStopping` that needs a figure in epochs that are not evaluated."""
    for checkpoint, monitor in monitored(trainer, split):
        every = checkpoint.every_n_epochs or 0
        if every % every_n_epochs:
            raise ValueError(
                f"Evaluation(every_n_epochs={every_n_epochs}): the checkpoint monitors {monitor} every {every} epochs, "
                f"expected a multiple of {every_n_epochs}; use --checkpoint.every_n_epochs {every_n_epochs}."
            )
    every = trainer.check_val_every_n_epoch or 1
    for stopping in attached(trainer, EarlyStopping):
        if _is_figure(stopping.monitor, split) and every % every_n_epochs:
            raise ValueError(
                f"Evaluation(every_n_epochs={every_n_epochs}): {type(stopping).__name__} reads {stopping.monitor} "
                f"after every {f'{every} epochs' if every > 1 else 'epoch'}, and would see old figures or none; use "
                f"--trainer.check_val_every_n_epoch {every_n_epochs}, which lets it read as often."
            )


def check_names(trainer: Trainer, split: str, figures: Collection[str]) -> None:
    """Refuse a checkpoint that monitors a figure which is neither among these nor logged by the model."""
    for _, monitor in monitored(trainer, split):
        if monitor not in {*figures, *trainer.callback_metrics}:
            raise MisconfigurationException(
                f"The checkpoint monitors {monitor}, which is not logged; use one of {', '.join(figures)}."
            )
