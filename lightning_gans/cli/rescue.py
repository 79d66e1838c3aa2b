"""The command `rescue`: try what is recommended against the failure of a run, and write the config of the best."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lightning_gans.callbacks.health.remedies import Remedy
from lightning_gans.callbacks.health.states import HEALTHY, STALLED, STATES, State
from lightning_gans.cli import imports
from lightning_gans.cli.remedied import changes, classes_in, config_of, without_clock, write_config
from lightning_gans.generation.training_data import data_of
from lightning_gans.trials import ALONE, ENDLESS, Outcome, Trial, run_trials, write_standings

_UNCHANGED = "unchanged"
_BETTER = 0.02  # by which the score of a remedy must be above that of the unchanged run
_GOOD = 0.5  # score below which a healthy trial is still to be made better
TRIAL = (*ENDLESS, *ALONE, "--monitor.stop=false", "--monitor.rollbacks=0", "--ckpt_path=null")


def rescue(run: str, seconds: float = 60.0, jobs: int = 1, state: str | None = None, rounds: int = 3) -> None:
    """Try what is recommended against the failure of a run, side by side, and write the config of the best.

    Each remedy of the failure that the monitor has named, and the run unchanged, is trained for the same CPU time, on
    one thread: from the run's last healthy checkpoint where there is one and the remedy leaves the networks as they
    are, else anew. The samples are scored against the data, 0 to 1. If the best has a failure too, the remedies of that
    one are tried on top of it in the next round; if it is healthy and its score low, those of stalled learning. Table,
    picture and the winner's config are in <run>/rescue; the run itself is left as it is. The same command again
    resumes after a kill.

    Args:
        run: folder of a run of `lightning-gans fit`, such as runs/dcgan_mnist/version_0.
        seconds: CPU seconds of each trial; a trial should be as long as it takes a good run to get on its way.
        jobs: trials at a time.
        state: the failure, a few letters of its name, if not the one that the monitor has named last.
        rounds: how many remedies may be combined.
    """
    folder = Path(run)
    config, named = config_of(folder), _failure_of(folder)
    failure = _state(state) if state else named
    if failure is None or failure == HEALTHY:
        raise ValueError(
            f"the monitor has named no failure in {run}; name one with --state, such as --state '{STATES[1].name}'."
        )
    if not 0 < seconds < math.inf or jobs < 1 or rounds < 1:
        raise ValueError(
            f"--seconds {seconds:g} --jobs {jobs} --rounds {rounds}: expected numbers above 0, such as 60, 1 and 3."
        )
    imports.import_modules(imports.listed(config.get("import")))
    shape = data_of(str(folder / "checkpoints" / "last.ckpt"), trust=True).sample_shape
    if not any(remedy.name for remedy in failure.left(classes_in(config, shape))):
        raise ValueError(
            f"against '{failure.name}' nothing is left that a trial could show; do what {folder / 'health.md'} says."
        )
    tries = _Tries(folder, shape, seconds, folder / "rescue" / f"{_slug(failure.name)}_{seconds:g}s")
    base = _UNCHANGED
    for number in range(1, rounds + 1):
        remedies = tries.add(base, failure, config)
        if not remedies:
            break
        print(f"Round {number}, {failure.name}: {', '.join(remedies)}; {seconds:g} CPU seconds each, in {tries.place}")
        best = tries.make(jobs)
        if not tries.is_better(best, base) or (best.verdict in ("", HEALTHY.name) and best.score >= _GOOD):
            break
        base, config = best.name, config_of(Path(best.checkpoint).parents[1])
        failure = next((one for one in STATES[1:] if one.name == best.verdict), STALLED)
    tries.report()


@dataclass
class _Tries:
    """The trials of one rescue.

    Attributes:
        folder: of the run.
        shape: of a sample.
        seconds: of each trial.
        place: the folder of the trials.
        trials: all of them.
        remedies: what each tries, by its name.
        options: what each adds to the command line, by its name.
        ranked: the outcomes, the best first.
    """

    folder: Path
    shape: Sequence[int]
    seconds: float
    place: Path
    trials: list[Trial] = field(default_factory=list)
    remedies: dict[str, tuple[Remedy, ...]] = field(default_factory=dict)
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ranked: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.config = without_clock(self.folder, self.place)
        self._ask(_UNCHANGED, (), ())

    def add(self, base: str, failure: State, config: dict[str, object]) -> list[str]:
        """Add a trial for each remedy of a failure, on top of those of a trial with a config; return their names."""
        before, names = self.remedies[base], []
        for remedy in failure.left(classes_in(config, self.shape)):
            name = remedy.name if base == _UNCHANGED else f"{base} + {remedy.name}"
            if remedy.name and remedy not in before and name not in self.remedies:
                names.append(name)
                self._ask(name, (*before, remedy), (*self.options[base], *changes(remedy, config)))
        return names

    def make(self, jobs: int) -> Outcome:
        """Make the trials that have not been made; return the best of all."""
        self.ranked = write_standings(self.trials, run_trials(self.trials, self.place, jobs), self.place)
        return self.ranked[0]

    def is_better(self, best: Outcome, name: str) -> bool:
        """Return whether the best is clearly better than a trial, which may have failed."""
        other = next(one for one in self.ranked if one.name == name)
        return not best.error and best.score > (0 if other.error else other.score + _BETTER)

    def report(self) -> None:
        """Print the table, and write the config of the best, if it is better than the run unchanged."""
        print((self.place / "trials.md").read_text().partition("\n\n")[0])
        print(f"Pictures of their samples: {self.place / 'trials.png'}")
        best = self.ranked[0]
        if best.error:
            raise ValueError(f"every trial has failed, {best.name} with: {best.error}")
        if not self.is_better(best, _UNCHANGED):
            print(f"No remedy is better than the run unchanged by {_BETTER} or more; try longer with --seconds.")
            return
        winner = self.place / "winner.yaml"
        write_config(self.config, f"{self.folder.parent.name}_rescued", self.options[best.name], winner)
        print(f"The best is {best.name}, {best.verdict or 'not monitored'}. Train with it, from the beginning:")
        print(f"  lightning-gans fit --config {winner}")

    def _ask(self, name: str, remedies: tuple[Remedy, ...], options: tuple[str, ...]) -> None:
        """Add a trial: of the run's config, from its last healthy checkpoint if the networks fit."""
        start = [f"--config={self.config}"]
        healthy = self.folder / "checkpoints" / "healthy.ckpt"
        if healthy.is_file() and not any(remedy.restarts for remedy in remedies):
            start.append(f"--from={healthy}")
        self.remedies[name], self.options[name] = remedies, options
        self.trials.append(Trial(name, (*start, *options, *TRIAL), self.seconds, " ".join(options)))


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


def _slug(text: str) -> str:
    return "_".join("".join(one if one.isalnum() else " " for one in text).split())
