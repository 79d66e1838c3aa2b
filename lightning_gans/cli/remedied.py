"""The config of a run with a remedy: what it uses already, and what a remedy changes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from lightning_gans.callbacks.health.remedies import Remedy, kind_of
from lightning_gans.trials import Budget


def config_of(folder: Path) -> dict[str, Any]:
    """Return the config of a run.

    Raises:
        ValueError: where the folder is not that of a run of the command line.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        runs = sorted(str(one.parent) for one in Path("runs").glob("*/version_*/config.yaml"))
        hint = f"such as {runs[-1]}" if runs else "which has a config.yaml"
        raise ValueError(f"--run {folder}: expected the folder of a run of `lightning-gans fit`, {hint}.")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or "model" not in content:
        raise ValueError(f"{path} does not hold the config of a run; give the folder of another run.")
    return content


def changes(remedy: Remedy, config: dict[str, Any]) -> tuple[str, ...]:
    """Return the options of a remedy, with learning rates that are a multiple of the run's."""
    rates = []
    for player, factor in zip(("generator", "discriminator"), remedy.rates, strict=True):
        optimizer = config["model"].get("init_args", {}).get(f"{player}_optimizer")
        rate = optimizer.get("init_args", {}).get("lr") if isinstance(optimizer, dict) else None
        if factor != 1 and isinstance(rate, int | float):
            rates.append(f"--model.{player}_optimizer.lr={rate * factor:g}")
    return (*remedy.arguments, *rates)


def without_clock(folder: Path, place: Path) -> Path:
    """Return the path of a run's config, or, where the run was a trial, of a copy in a place without its `Budget`."""
    config = config_of(folder)
    callbacks = config["trainer"].get("callbacks") or []
    kept = [one for one in callbacks if Budget.__name__ not in _named(one)]
    if len(kept) == len(callbacks):
        return folder / "config.yaml"
    config["trainer"]["callbacks"] = kept
    place.mkdir(parents=True, exist_ok=True)
    path = place / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path


def classes_in(config: dict[str, Any], shape: Sequence[int]) -> set[str]:
    """Return the names of the classes in a config, the precision of the Trainer, and whether on points or images.

    Args:
        config: of a run.
        shape: of a sample.
    """
    return {*_named(config), str(config["trainer"].get("precision"))} | kind_of(shape)


def _named(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(path := part.get("class_path"), str):
            yield path.rpartition(".")[2]
        part = list(part.values())
    for one in part if isinstance(part, list) else ():
        yield from _named(one)


def write_config(config: Path, experiment: str, options: tuple[str, ...], path: Path) -> None:
    """Write a config with some changes, and another experiment.

    Raises:
        ValueError: where the command line refuses it.
    """
    changed = [f"--config={config}", *options, f"--experiment={experiment}", "--ckpt_path=null"]
    path.write_text(resolved(changed), encoding="utf-8")


def resolved(options: Sequence[str]) -> str:
    """Return the whole config that the options of `lightning-gans fit` amount to, as YAML.

    Raises:
        ValueError: where the command line refuses them.
    """
    made = subprocess.run(
        [sys.executable, "-m", "lightning_gans", "fit", *options, "--print_config"],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise ValueError(made.stderr.strip().splitlines()[-1].removeprefix("lightning-gans: error: "))
    return made.stdout
