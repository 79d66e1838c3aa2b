"""A callback that counts the CPU seconds of a training, and ends it after a number of them."""

from __future__ import annotations

import os
import time
from typing import Any

from lightning.pytorch import Callback, Trainer
from typing_extensions import override

from lightning_gans import arguments


class Budget(Callback):
    """Count the CPU seconds of a training, of all its parts if it was resumed, and end it after a number of them.

    CPU seconds are those of the process and its threads, pictures, scores and the monitor included. Unlike time on the
    clock they hardly change when other programs run beside it. On a GPU, for which the process waits, they are about
    the same as time on the clock.

    Args:
        limit: CPU seconds, above 0; None trains to the end.
        with_parent: whether to end the training at once when the process that started it has ended, as a trial should.

    Attributes:
        seconds: CPU seconds so far.

    Raises:
        ValueError: for a limit that is not above 0.
    """

    def __init__(self, limit: float | None = None, with_parent: bool = False) -> None:
        arguments.positive(self, limit=limit)
        self.limit = limit
        self.with_parent = with_parent
        self.seconds = 0.0
        self._start = 0.0
        self._parent = os.getppid()

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._start = time.process_time() - self.seconds

    @override
    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        self.seconds = time.process_time() - self._start
        if self.limit is not None and self.seconds > self.limit:
            trainer.should_stop = True
        if self.with_parent and os.getppid() != self._parent:
            raise SystemExit("the process that started this training has ended")

    @override
    def state_dict(self) -> dict[str, float]:
        return {"seconds": self.seconds}

    @override
    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        self.seconds = state_dict["seconds"]
