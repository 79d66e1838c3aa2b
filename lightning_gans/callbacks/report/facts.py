"""What the page about a run says of its progress, its environment, and what can be done next."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import lightning
import torch
from lightning.pytorch import Trainer

from lightning_gans.callbacks.versions import installed_version
from lightning_gans.gan import GAN
from lightning_gans.training.kept_checkpoints import best_or_last, last_saved


def progress(trainer: Trainer, gan: GAN, seconds: float) -> dict[str, str]:
    """Return how long a run took and how far it came, by name."""
    sizes = {
        f"parameters of {name}": sum(parameter.numel() for parameter in getattr(gan, name).parameters())
        for name in ("generator", "discriminator")
    }
    before = str(trainer.ckpt_path or "")
    resumed = {"resumed from": before if "://" in before else os.path.relpath(before)} if before else {}
    return {
        **resumed,
        "duration since the resume" if resumed else "duration": duration(seconds),
        "epochs": f"{trainer.current_epoch:,}",
        "batches": f"{gan.batches_seen:,}",
        "samples seen": f"{gan.samples_seen:,}",
        "generator updates": f"{gan.generator_updates:,}",
        "discriminator updates": f"{gan.discriminator_updates:,}",
        **{name: f"{size:,}" for name, size in sizes.items()},
        "page written": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }


def duration(seconds: float) -> str:
    """Return a duration in words, such as "2 h 5 min"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def environment(trainer: Trainer, gan: GAN) -> dict[str, str]:
    """Return with what and where a run is done, by name."""
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    found = {
        "command": command_line(sys.argv),
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


def command_line(argv: list[str]) -> str:
    """Return the command that a process was started with, without the folder of the program."""
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


def commands(trainer: Trainer, folder: Path) -> dict[str, str]:
    """Return what can be done next → the command; empty without a checkpoint and a config.

    Samples and scores are those of the best checkpoint, where a metric is monitored; training continues from the last.
    """
    last = last_saved(trainer)
    if not last or not (folder / "config.yaml").is_file():
        return {}
    longer = 2 * max(trainer.current_epoch, 1)
    paths = (best_or_last(trainer), last, folder / "config.yaml")
    checkpoint, last, config = (shlex.quote(os.path.relpath(path)) for path in paths)
    return {
        "Draw new samples:": f"lightning-gans sample --checkpoint {checkpoint} --out grid.png",
        "Score it on the test split:": f"lightning-gans test --config {config} --ckpt_path {checkpoint}",
        "Train longer:": f"lightning-gans fit --config {config} --ckpt_path {last} --trainer.max_epochs {longer}",
    }
