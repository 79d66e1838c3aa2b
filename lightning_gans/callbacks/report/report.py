"""A callback that writes a page about the run, which opens without a network: report.html."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from typing_extensions import override

from lightning_gans.callbacks.report import facts
from lightning_gans.callbacks.report.page import page
from lightning_gans.callbacks.stopping import RunStopped
from lightning_gans.callbacks.trainer_attributes import data_module, is_trial
from lightning_gans.gan import GAN


class Report(Callback):
    """Write a page about the run, `report.html` in its folder: what W&B would show, in one file without a network.

    It shows how the run ended, the verdict of `FailureMonitor`, pictures of `SampleGrid`, scores of `Evaluation`,
    losses and every other figure that was logged, each with a line that says how to read it, checkpoints and commands
    that use them, the machine, and the whole config. It suits phones and wide screens, light and dark. Values of keys,
    tokens and passwords are hidden, and the home folder is `~`.

    The page is written when the run ends, also by an error or Ctrl-C, and at the end of an epoch when the last page is
    `every_n_minutes` old. Figures come from the `CSVLogger`, without which there is no page. Put the callback after
    those whose files it shows. A page takes about two seconds; if it cannot be written, a warning says why and
    training continues.

    Args:
        enabled: whether to write it.
        every_n_minutes: how old the page may become during the run, 0 or more; infinity (`.inf` in YAML) writes it at
            the end only.

    Raises:
        ValueError: for minutes below 0.
    """

    def __init__(self, enabled: bool = True, every_n_minutes: float = 10.0):
        if not every_n_minutes >= 0:
            raise ValueError(
                f"Report(every_n_minutes={every_n_minutes}): expected a number of at least 0, such as 10.0."
            )
        self.enabled = enabled
        self.every_n_minutes = every_n_minutes
        self._began: float | None = None
        self._written = 0.0

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._began = self._written = time.monotonic()

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        if time.monotonic() - self._written >= 60 * self.every_n_minutes:
            self._write(trainer, pl_module, "running", None)

    @override
    def on_fit_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._write(trainer, pl_module, "finished", True)

    @override
    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        if isinstance(exception, KeyboardInterrupt):
            self._write(trainer, pl_module, "stopped by Ctrl-C", None)
        elif isinstance(exception, SIGTERMException):
            by = "Ctrl-C" if isinstance(exception, RunStopped) and exception.number == signal.SIGINT else "a signal"
            self._write(trainer, pl_module, f"stopped by {by}; it can be resumed", None)
        else:
            words = " ".join(str(exception).split())[:300]
            self._write(trainer, pl_module, f"failed: {type(exception).__name__}: {words}", False)

    def _write(self, trainer: Trainer, gan: GAN, status: str, succeeded: bool | None) -> None:
        logger = next((one for one in trainer.loggers if isinstance(one, CSVLogger)), None)
        silent = not self.enabled or is_trial(trainer) or not trainer.is_global_zero
        if silent or logger is None or self._began is None:
            return
        path = Path(logger.log_dir, "report.html")
        try:
            logger.save()
            data = data_module(trainer)
            subtitle = type(gan).__name__ + (f" on {type(data).__name__}" if data is not None else "")
            html = page(
                path.parent,
                f"{logger.name} {path.parent.name}".strip(),
                subtitle,
                status,
                succeeded,
                facts.progress(trainer, gan, time.monotonic() - self._began),
                facts.environment(trainer, gan),
                facts.commands(trainer, path.parent),
            )
            unfinished = path.with_suffix(".tmp")
            unfinished.write_text(html, encoding="utf-8")
            os.replace(unfinished, path)
        except Exception as error:
            rank_zero_warn(f"Report: {path} was not written: {type(error).__name__}: {error}", category=UserWarning)
        self._written = time.monotonic()
