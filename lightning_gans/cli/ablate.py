"""The command `ablate`: what each stabilizer is worth, from a base, over several seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lightning_gans import stabilizers as shelf
from lightning_gans.cli.remedied import resolved
from lightning_gans.stabilizer import Stabilizer
from lightning_gans.trials import (
    ALONE,
    ENDLESS,
    Launcher,
    LocalProcesses,
    Outcome,
    Trial,
    effects_of,
    run_trials,
    write_effects,
    write_standings,
)
from lightning_gans.trials.trial import found_in

_BASE = "base"
_APART = (*ALONE, "--monitor.stop=false", "--monitor.rollbacks=0", "--samples.every_n_epochs=0", "--ckpt_path=null")


def ablate(
    fit: list[str],
    stabilizers: str = "all",
    seeds: int = 3,
    jobs: int = 1,
    seconds: float | None = None,
    out: str | None = None,
    launcher: Launcher = LocalProcesses(),  # noqa: B008 - it has no state
    sweep: bool = False,
) -> None:
    """Measure what stabilizers are worth: train a base with and without each, from several seeds, and compare.

    The base is what `lightning-gans fit` would train with the same options, such as --config base.yaml
    --trainer.max_steps 2000. A stabilizer that the base lacks is added to it, with its defaults; one that the base has
    is left out. Each training has one thread. The samples are scored against the data, 0 to 1, and compared seed by
    seed: effect ± standard error, a verdict (helps, harms, equal, unclear, fails), time and memory. The first seed of
    all is made first; what fails there is not repeated. Table, picture and every run are in the folder --out. The same
    command again resumes after a kill, and with more --seeds adds to what is there.

    Examples:
      lightning-gans ablate --config configs/vanilla_ring.yaml --stabilizers R1Penalty,Packing --seeds 5 --jobs 2
      lightning-gans ablate --config configs/best/mnist.yaml --trainer.max_steps 1000 --stabilizers all
      lightning-gans ablate --config my.yaml --stabilizers configs/stabilizers/packing.yaml,GeneratorEMA
      lightning-gans ablate --config my.yaml --launcher Submitit --launcher.parameters.slurm_partition gpu --jobs 40

    Args:
        fit: the options of `lightning-gans fit`; all options of the command that are not below.
        stabilizers: "all", or names of stabilizers and files such as configs/stabilizers/packing.yaml, with commas.
        seeds: trainings of each, from seed 0 on.
        jobs: trainings at a time.
        seconds: CPU seconds of each training; as long as the base says, if not given.
        out: folder of the results; by default runs/<experiment of the base>_ablation.
        launcher: where trainings are made: LocalProcesses, or Submitit for a cluster.
        sweep: write the same trainings as a W&B sweep, whose agents run anywhere, in place of making them.
    """
    if seeds < 1 or jobs < 1 or not (seconds is None or 0 < seconds < math.inf):
        raise ValueError(
            f"--seeds {seeds} --jobs {jobs} --seconds {seconds}: expected numbers above 0, such as 3, 1 and 60."
        )
    content = resolved(fit)
    base = yaml.safe_load(content)
    if not base.get("model"):
        raise ValueError("a base needs a model; give its --config, or name one with --model, such as --model DCGAN.")
    place = Path(out or Path(base.get("runs") or "runs") / f"{base.get('experiment') or _BASE}_ablation")
    ablation = _Ablation(place, seconds, _changes(stabilizers, base))
    ablation.write(content)
    if sweep:
        ablation.write_sweep(seeds)
        return
    print(
        f"{len(ablation.changes)} stabilizers, {seeds} seeds of each and of the base; at most "
        f"{(len(ablation.changes) + 1) * seeds} trainings, {jobs} at a time, in {place}"
    )
    ablation.make([_BASE], 1, jobs, launcher)
    for number in dict.fromkeys((1, seeds)):  # what fails in the first is left out of the others
        ablation.make([_BASE, *(one.name for one in ablation.changes)], number, jobs, launcher)
    ablation.report(seeds)


@dataclass(frozen=True)
class _Change:
    """A stabilizer that is added to the base, or left out of it: as a config on top of the base's."""

    name: str
    left_out: bool
    config: dict[str, Any]


class _Ablation:
    """The trainings of one ablation, in a folder."""

    def __init__(self, place: Path, seconds: float | None, changes: Sequence[_Change]) -> None:
        self.place = place
        self.seconds = seconds
        self.changes = changes
        self.outcomes: dict[str, list[Outcome]] = {}

    def write(self, base: str) -> None:
        """Write the configs of the base and of all changes; others than what was trained with are refused."""
        texts = {change.name: yaml.safe_dump(change.config, sort_keys=False) for change in self.changes}
        for name, text in {_BASE: base, **texts}.items():
            path = self._config(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file() and path.read_text(encoding="utf-8") != text and self._is_used(name):
                what = "base" if name == _BASE else name
                raise ValueError(f"{self.place} holds an ablation of another {what}; give another folder with --out.")
            path.write_text(text, encoding="utf-8")

    def _is_used(self, name: str) -> bool:
        """Return whether something was trained with a config, or is being trained, and has not failed."""
        asked = self.place.glob("*/trial.json" if name == _BASE else f"{name}_seed_*/trial.json")
        found = [found_in(path.parent) for path in asked]
        return any(one is None or not one.error for one in found)

    def make(self, names: Sequence[str], seeds: int, jobs: int, launcher: Launcher) -> None:
        """Make the trainings of the first seeds, but for those of changes that have failed."""
        names = [name for name in names if name not in self.outcomes or not self.outcomes[name][0].error]
        trials = {(name, seed): self._trial(name, seed) for seed in range(seeds) for name in names}
        found = dict(zip(trials, run_trials(list(trials.values()), self.place, jobs, launcher), strict=True))
        if seeds == 1:
            write_standings(list(trials.values()), list(found.values()), self.place)
        for name in names:
            self.outcomes[name] = [found[name, seed] for seed in range(seeds)]
        if self.outcomes[_BASE][0].error:
            raise ValueError(f"the base fails with: {self.outcomes[_BASE][0].error}")

    def report(self, seeds: int) -> None:
        """Write the table and its picture, and print the table."""
        base = self.outcomes.pop(_BASE)
        scores = [one.score for one in base if not one.error]
        title = f"Base: score {sum(scores) / len(scores):.3f}, mean of {len(scores)} of {seeds} seeds"
        effects = effects_of(base, self.outcomes, [one.name for one in self.changes if one.left_out])
        write_effects(effects, title, self.place)
        print((self.place / "effects.md").read_text(encoding="utf-8").partition("\n\n![")[0])
        print(f"As one picture: {self.place / 'effects.png'}; samples of the first seed: {self.place / 'trials.png'}")

    def write_sweep(self, seeds: int) -> None:
        """Write the trainings as a W&B sweep, in which each takes the config of a change, of the base an empty one."""
        path, unchanged = self.place / "sweep.yaml", self._config("unchanged")
        unchanged.write_text("trainer: {}\n", encoding="utf-8")
        options = [one for one in _APART if not one.startswith("--trainer.logger")]
        if self.seconds:
            clock = "--import=lightning_gans.trials", "--trainer.callbacks+=lightning_gans.trials.Budget"
            options += [*ENDLESS, *clock, f"--trainer.callbacks.limit={self.seconds}"]
        configs = [str(one.absolute()) for one in (unchanged, *(self._config(one.name) for one in self.changes))]
        sweep = {
            "program": "lightning-gans",
            "project": self.place.name,
            "method": "grid",
            "parameters": {"seed_everything": {"values": list(range(seeds))}, "config": {"values": configs}},
            "command": [
                *("${env}", "${program}", "fit", f"--config={self._config(_BASE).absolute()}", *options),
                *("--trainer.logger=WandbLogger", f"--trainer.logger.project={self.place.name}", "${args}"),
            ],
        }
        path.write_text(yaml.safe_dump(sweep, sort_keys=False), encoding="utf-8")
        print(f"Start the sweep with: wandb sweep {path}")

    def _config(self, name: str) -> Path:
        return self.place / "configs" / f"{name}.yaml"

    def _trial(self, name: str, seed: int) -> Trial:
        configs = [f"--config={self._config(one)}" for one in dict.fromkeys((_BASE, name))]
        options = (*configs, *(ENDLESS if self.seconds else ()), *_APART, f"--seed_everything={seed}")
        return Trial(f"{name}_seed_{seed}", options, self.seconds, name)


def _changes(given: str, base: dict[str, Any]) -> list[_Change]:
    """Return the changes that `--stabilizers` names."""
    known = [name for name in shelf.__all__ if issubclass(getattr(shelf, name), Stabilizer)]
    callbacks = base["trainer"].get("callbacks") or []
    used = [one["class_path"].rpartition(".")[2] for one in callbacks]
    names = known if given == "all" else list(dict.fromkeys(name.strip() for name in given.split(",")))
    changes: list[_Change] = []
    for name in names:
        if name.endswith((".yaml", ".yml")):
            if Path(name).stem in (_BASE, "unchanged", *(one.name for one in changes)):
                raise ValueError(f"--stabilizers: {name} has the name of another config; give it another one.")
            changes.append(_Change(Path(name).stem, False, _added_by(Path(name), used)))
        elif name in used:
            kept = [one for one, own in zip(callbacks, used, strict=True) if own != name]
            changes.append(_Change(name, True, {"trainer": {"callbacks": kept}}))
        elif name in known:
            changes.append(_Change(name, False, {"trainer": {"callbacks+": [{"class_path": name}]}}))
        else:
            raise ValueError(
                f"--stabilizers: '{name}' is neither a stabilizer nor a callback of the base; expected all, files such "
                f"as configs/stabilizers/packing.yaml, or some of {', '.join(known)}."
            )
    return changes


def _added_by(path: Path, used: Sequence[str]) -> dict[str, Any]:
    """Return the content of a file of stabilizers."""
    if not path.is_file():
        raise ValueError(
            f"--stabilizers: there is no file {path}; give a file such as configs/stabilizers/packing.yaml."
        )
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or list(_callbacks_in(content)) == []:
        raise ValueError(
            f"--stabilizers: {path} adds no callbacks; give a file such as configs/stabilizers/packing.yaml."
        )
    if doubled := [name for name in _callbacks_in(content) if name in used]:
        raise ValueError(
            f"--stabilizers: {path} adds {doubled[0]}, which the base has; give the name {doubled[0]} to leave it out."
        )
    return content


def _callbacks_in(content: dict[str, Any]) -> Iterator[str]:
    trainer = content.get("trainer")
    for key in ("callbacks", "callbacks+"):
        for one in (trainer.get(key) if isinstance(trainer, dict) else None) or []:
            yield str(one.get("class_path") if isinstance(one, dict) else one).rpartition(".")[2]
