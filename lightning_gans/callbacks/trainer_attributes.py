"""Attributes of a Trainer that Lightning sets on it from its connectors, where its type does not show them."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Trainer


def is_trial(trainer: Trainer) -> bool:
    """Whether it is a trial run (`fast_dev_run`), which writes nothing."""
    return bool(getattr(trainer, "fast_dev_run", False))


def data_module(trainer: Trainer) -> Any:
    """Return the data module, None where the Trainer was given loaders."""
    return getattr(trainer, "datamodule", None)
