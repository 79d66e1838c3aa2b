"""Several trials in one folder, a few at a time; those that have ended well are not repeated, others are resumed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from lightning_gans.trials.launchers import Launcher, LocalProcesses
from lightning_gans.trials.trial import Outcome, Trial, ask, asked_in, found_in


def run_trials(
    trials: Sequence[Trial],
    folder: Path,
    jobs: int = 1,
    launcher: Launcher = LocalProcesses(),  # noqa: B008 - it has no state
) -> list[Outcome]:
    """Make all trials that have not ended well yet, each in a process of its own; return all outcomes, in their order.

    Each trial has a folder with its `trial.json`, from which `python -m lightning_gans.trials FOLDER` makes it, on
    any machine that sees the folder, and with its `outcome.json` once it has ended. After a kill, the same
    call resumes: a trial that has ended is not repeated, one that has begun continues from its last checkpoint, and one
    that has failed, such as for lack of memory, is tried again.

    Args:
        trials: of different names.
        folder: that of all of them.
        jobs: trials at a time.
        launcher: where they are made.

    Raises:
        ValueError: where a folder holds another trial of the same name, or another process makes trials in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            return _run(trials, folder, jobs, launcher)
    except Timeout:
        raise ValueError(f"another process makes the trials in {folder}; wait until it has ended.") from None


def _run(trials: Sequence[Trial], folder: Path, jobs: int, launcher: Launcher) -> list[Outcome]:
    for trial in trials:
        asked = asked_in(folder / trial.name)
        if asked is not None and asked != trial:
            raise ValueError(
                f"{folder / trial.name} holds a trial with other settings; give another folder, or remove this one."
            )
        ask(folder / trial.name, trial)
    known = {trial.name: found_in(folder / trial.name) for trial in trials}
    missing = [trial for trial in trials if (found := known[trial.name]) is None or found.error]
    bar = tqdm(total=len(trials), initial=len(trials) - len(missing), unit="trial", disable=not missing)
    with bar, ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(_outcome, launcher, folder / trial.name): trial for trial in missing}
        try:
            for done in as_completed(waiting):
                known[waiting[done].name] = outcome = done.result()
                bar.update()
                bar.write(line(outcome))
        except BaseException:  # such as Ctrl-C: those that have not begun are left
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [outcome for outcome in known.values() if outcome is not None]


def line(outcome: Outcome) -> str:
    """Return an outcome in one line."""
    if outcome.error:
        return f"{outcome.name}: failed, {outcome.error}"
    return f"{outcome.name}: score {outcome.score:.3f}, {outcome.verdict}; {outcome.batches} batches"


def _outcome(launcher: Launcher, folder: Path) -> Outcome:
    said = launcher.make(folder)
    return found_in(folder) or Outcome(folder.name, error=said)
