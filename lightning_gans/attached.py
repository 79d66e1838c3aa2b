"""The callbacks of a Trainer, by kind."""

from __future__ import annotations

from typing import TypeVar

from lightning.pytorch import Callback, Trainer

Kind = TypeVar("Kind", bound=Callback)


def attached(trainer: Trainer, kind: type[Kind]) -> list[Kind]:
    """Return the Trainer's callbacks of a class or its subclasses, in the order in which they run."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined] # set by one of the Trainer's parts
    return [callback for callback in callbacks if isinstance(callback, kind)]
