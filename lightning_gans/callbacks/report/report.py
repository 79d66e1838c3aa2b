"""A callback that writes a page about the run, which opens without a network: report.html."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from typing_extensions import override

from lightning_gans.callbacks.report.page import page
from lightning_gans.callbacks.trainer_attributes import data_module, is_trial
from lightning_gans.callbacks.versions import installed_version
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
        every_n_minutes: how old the page may become during the run, 0 or more; infinity writes it at the end only.

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
            self._write(trainer, pl_module, "stopped by a signal; it can be resumed", None)
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
                self._facts(trainer, gan),
                _environment(trainer, gan),
                _commands(trainer, path.parent),
            )
            unfinished = path.with_suffix(".tmp")
            unfinished.write_text(html, encoding="utf-8")
            os.replace(unfinished, path)
        except Exception as error:
            rank_zero_warn(f"Report: {path} was not written: {type(error).__name__}: {error}", category=UserWarning)
        self._written = time.monotonic()

    def _facts(self, trainer: Trainer, gan: GAN) -> dict[str, str]:
        seconds = time.monotonic() - (self._began or time.monotonic())
        batches = gan.batches_seen
        sizes = {
            f"parameters of {name}": sum(parameter.numel() for parameter in getattr(gan, name).parameters())
            for name in ("generator", "discriminator")
        }
        before = str(trainer.ckpt_path or "")
        resumed = {"resumed from": before if "://" in before else os.path.relpath(before)} if before else {}
        return {
            **resumed,
            "duration": _duration(seconds),
            "epochs": f"{trainer.current_epoch:,}",
            "batches": f"{batches:,}",
            "samples seen": f"{gan.samples_seen:,}",
            "generator updates": f"{gan.generator_updates:,}",
            "discriminator updates": f"{gan.discriminator_updates:,}",
            **{name: f"{size:,}" for name, size in sizes.items()},
            "page written": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        }


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _environment(trainer: Trainer, gan: GAN) -> dict[str, str]:
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    found = {
        "command": _command_line(sys.argv),
        "lightning-gans": installed_version("lightning-gans"),
        "commit": _commit(),
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "system": f"{platform.system()} {platform.release()}",
        "device": f"{device.type} ({name})",
        "processes": str(trainer.world_size),
        "threads": str(torch.get_num_threads()),
        "precision": str(trainer.precision),
        "seed": str(gan.run_seed),
    }
    return {name: value for name, value in found.items() if value}


def _command_line(argv: list[str]) -> str:
    program = Path(argv[0]).name
    ours = program in ("lightning-gans", "__main__.py")
    return shlex.join(["lightning-gans" if ours else program, *argv[1:]])


def _commit() -> str:
    """Return the git commit of the folder from which the run was started, "" without one."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=5)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        return f"{commit}, with changes" if commit and git("status", "--porcelain", "-uno") else commit
    except (OSError, subprocess.SubprocessError):
        return ""


def _commands(trainer: Trainer, folder: Path) -> dict[str, str]:
    last = getattr(trainer.checkpoint_callback, "last_model_path", "")
    if not last or not (folder / "config.yaml").is_file():
        return {}
    longer = 2 * max(trainer.current_epoch, 1)
    checkpoint, config = (shlex.quote(os.path.relpath(path)) for path in (last, folder / "config.yaml"))
    return {
        "Draw new samples:": f"lightning-gans sample --checkpoint {checkpoint} --out grid.png",
        "Score it on the test split:": f"lightning-gans test --config {config} --ckpt_path {checkpoint}",
        "Train longer:": f"lightning-gans fit --config {config} --ckpt_path {checkpoint} --trainer.max_epochs {longer}",
    }
