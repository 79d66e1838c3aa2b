"""The command `rescue`: try what is recommended against the failure of a run, and write the config of the best."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lightning_gans.callbacks.health.remedies import Remedy
from lightning_gans.callbacks.health.states import HEALTHY, STATES, State
from lightning_gans.trials import Trial, run_trials, write_standings

_UNCHANGED = "unchanged"
_BETTER = 0.02  # by which the score of a remedy must be above that of the unchanged run
TRIAL = (  # in place of settings of the run that would end a trial early, change its cost, or log it elsewhere
    "--trainer.max_epochs=-1",
    "--trainer.max_steps=-1",
    "--trainer.max_time=null",
    "--trainer.devices=1",
    "--trainer.num_nodes=1",
    "--trainer.strategy=auto",
    "--trainer.logger=null",
    "--monitor.stop=false",
    "--monitor.rollbacks=0",
    "--report.enabled=false",
    "--threads=1",
    "--ckpt_path=null",
)


def rescue(run: str, seconds: float = 60.0, jobs: int = 1, state: str | None = None) -> None:
    """Try what is recommended against the failure of a run, side by side, and write the config of the best.

    Each remedy of the failure that the monitor has named, and the run unchanged, is trained for the same CPU time, on
    one thread: from the run's last healthy checkpoint where there is one and the remedy leaves the networks as they
    are, else anew. The samples are scored against the data, 0 to 1. Table, picture and the winner's config are in
    <run>/rescue; the run itself is left as it is. The same command again resumes after a kill.

    Args:
        run: folder of a run of `lightning-gans fit`, such as runs/dcgan_mnist/version_0.
        seconds: CPU seconds of each trial; a trial should be as long as it takes a good run to get on its way.
        jobs: trials at a time.
        state: the failure, a few letters of its name, if not the one that the monitor has named last.
    """
    folder = Path(run)
    config, named = config_of(folder), _failure_of(folder)
    failure = _state(state) if state else named
    if failure is None or failure == HEALTHY:
        raise ValueError(
            f"the monitor has named no failure in {run}; name one with --state, such as --state '{STATES[1].name}'."
        )
    if not seconds > 0 or jobs < 1:
        raise ValueError(f"--seconds {seconds:g} --jobs {jobs}: expected numbers above 0, such as 60 and 1.")
    remedies = [remedy for remedy in failure.left(classes_in(config)) if remedy.name]
    if not remedies:
        raise ValueError(
            f"against '{failure.name}' nothing is left that a trial could show; do what {folder / 'health.md'} says."
        )
    trials = [Trial(_UNCHANGED, (*_start(folder, restarts=False), *TRIAL), seconds)]
    for remedy in remedies:
        options = changes(remedy, config)
        start = _start(folder, remedy.restarts)
        trials.append(Trial(remedy.name, (*start, *options, *TRIAL), seconds, " ".join(options)))
    place = folder / "rescue" / f"{_slug(failure.name)}_{seconds:g}s"
    print(f"{failure.name}: {len(trials)} trials of {seconds:g} CPU seconds each, in {place}")
    ranked = write_standings(trials, run_trials(trials, place, jobs), place)
    print((place / "trials.md").read_text().partition("\n\n")[0])
    print(f"Pictures of their samples: {place / 'trials.png'}")
    best = ranked[0]
    unchanged = next(one for one in ranked if one.name == _UNCHANGED)
    if best.name == _UNCHANGED or not best.score > (0 if unchanged.error else unchanged.score + _BETTER):
        print(f"No remedy is better than the run unchanged by {_BETTER} or more; try longer with --seconds.")
        return
    remedy = next(one for one in remedies if one.name == best.name)
    winner = place / "winner.yaml"
    _write_config(folder, changes(remedy, config), winner)
    print(f"The best is {best.name}, {best.verdict or 'not monitored'}. Train with it, from the beginning:")
    print(f"  lightning-gans fit --config {winner}")


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


def _failure_of(folder: Path) -> State | None:
    """Return the failure that the monitor has named last, None where it has named none."""
    path = folder / "health.json"
    events = json.loads(path.read_text())["events"] if path.is_file() else []
    names = [event["state"] for event in events if event["state"] != HEALTHY.name]
    return next((state for state in STATES if names and state.name == names[-1]), None)


def _state(text: str) -> State:
    """Return the state whose name contains a text.

    Raises:
        ValueError: where none does, or several do.
    """
    found = [state for state in STATES if text.lower() in state.name.lower()]
    exact = [state for state in found if state.name.lower() == text.lower()]
    if len(exact or found) != 1:
        names = ", ".join(state.name for state in found or STATES if state != HEALTHY)
        raise ValueError(f"--state '{text}': expected one of {names}.")
    return (exact or found)[0]


def _start(folder: Path, restarts: bool) -> tuple[str, ...]:
    """Return the options with which a trial begins: the run's config, and its last healthy checkpoint, if it fits."""
    healthy = folder / "checkpoints" / "healthy.ckpt"
    config = f"--config={folder / 'config.yaml'}"
    return (config,) if restarts or not healthy.is_file() else (config, f"--from={healthy}")


def changes(remedy: Remedy, config: dict[str, Any]) -> tuple[str, ...]:
    """Return the options of a remedy, with learning rates that are a multiple of the run's."""
    rates = []
    for player, factor in zip(("generator", "discriminator"), remedy.rates, strict=True):
        optimizer = config["model"].get("init_args", {}).get(f"{player}_optimizer")
        rate = optimizer.get("init_args", {}).get("lr") if isinstance(optimizer, dict) else None
        if factor != 1 and isinstance(rate, int | float):
            rates.append(f"--model.{player}_optimizer.lr={rate * factor:g}")
    return (*remedy.arguments, *rates)


def classes_in(part: Any) -> set[str]:
    """Return the names of the classes in a config, and the precision of the Trainer."""
    return set(_named(part)) | {str(part["trainer"].get("precision"))}


def _named(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(path := part.get("class_path"), str):
            yield path.rpartition(".")[2]
        part = list(part.values())
    for one in part if isinstance(part, list) else ():
        yield from _named(one)


def _write_config(folder: Path, options: tuple[str, ...], path: Path) -> None:
    """Write the config of the run with some changes.

    Raises:
        ValueError: where the command line refuses it.
    """
    command = [sys.executable, "-m", "lightning_gans", "fit", f"--config={folder / 'config.yaml'}"]
    name = f"--experiment={folder.parent.name}_rescued"
    made = subprocess.run(
        [*command, *options, name, "--ckpt_path=null", "--print_config"], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise ValueError(made.stderr.strip().splitlines()[-1])
    path.write_text(made.stdout, encoding="utf-8")


def _slug(text: str) -> str:
    return "_".join("".join(one if one.isalnum() else " " for one in text).split())
