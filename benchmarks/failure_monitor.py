"""Whether the monitor names failures and is silent in healthy runs, whose truth other scores decide.

    python benchmarks/failure_monitor.py --pictures PATH      # every new set-up, two seeds; two hours on two CPU cores
    python benchmarks/failure_monitor.py --tasks "batch of 4"  # one family
    python benchmarks/failure_monitor.py --tasks tuned "held out"  # the set-ups of before, one seed is enough

PATH is a folder with train/, and in it a folder for each of ten classes, such as CIFAR-10 as pictures; without it the
family of colour pictures is left out. MNIST is read from data/.

The set-ups are in families (`failure_families.py`) that played no part when the thresholds of the monitor were set, and
in two older halves (`failure_setups.py`) that did. How the scores decide is said in `failure_truth.py`. A failure may
be named by what is wrong in the scores of the last 300 batches by then, or by a state for which the set-up was made. It
is named in time where the monitor reports such a name within 500 batches of its beginning. A false alarm is any failure
that the monitor reports in a run that ends good, if it still stands at the end, or that it reports later than the
scores are good. The last samples of each run are in runs/benchmarks/failure_monitor, to look at.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from failure_families import families
from failure_setups import HELD_OUT, TUNED, Setup
from failure_truth import GOOD, UNCLEAR, Score, Scores, truth
from lightning.pytorch import Trainer, seed_everything
from training_runs import HOME, RESULTS, Run, parser, perform, require_known

from lightning_gans.callbacks import FailureMonitor
from lightning_gans.callbacks.health.page import Event
from lightning_gans.callbacks.health.states import HEALTHY
from lightning_gans.generation import picture, save_picture

WITHIN = 500
FOLDER = HOME / "runs" / "benchmarks" / "failure_monitor"
NAMED, LATE, OTHER, MISSED, ALARM, SILENT = "named", "late", "another name", "missed", "false alarm", "silent"
FIGURES = ["near", "missing", "spread", "right", "variety", "distance"]


class Silent(FailureMonitor):
    """The monitor, without its line on the console."""

    def announce(self, trainer: Trainer, text: str) -> None:
        pass


def groups(pictures: Path | None) -> dict[str, list[Setup]]:
    """Return all set-ups by family."""
    return {**families(pictures), "tuned": TUNED, "held out": HELD_OUT}


def work(pictures: Path | None, run: Run) -> dict[str, Any]:
    """Train once; compare what the monitor reports with the truth by the scores."""
    setup = next(one for one in groups(pictures)[run.task] if one.name == run.method)
    seed_everything(run.seed, verbose=False)
    data, gan = setup.data(), setup.make()
    scores, monitor = Scores(data, FOLDER), Silent()
    start = time.process_time()
    trainer = Trainer(
        max_steps=setup.batches,
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        callbacks=[*setup.stabilizers(), scores, monitor],
        **setup.trainer,
    )
    with contextlib.suppress(FloatingPointError):  # NaN or infinity ends a run
        trainer.fit(gan, data)
    if not scores.seen or scores.seen[-1].batch < gan.batches_seen:
        scores.take(gan)
    if scores.samples.dim() == 4 and scores.samples.isfinite().all():
        FOLDER.mkdir(parents=True, exist_ok=True)
        save_picture(picture(scores.samples[:40], columns=10), FOLDER / f"{run.name}.png")
    state, begins = truth(scores.seen)
    found, shown = verdict(state, begins, setup, scores.seen, monitor.events)
    wrong = ", ".join(scores.seen[-1].wrong) or scores.seen[-1].state
    last = {name: getattr(scores.seen[-1], name) for name in FIGURES}
    said = {"said": shown.state if shown else HEALTHY.name, "at": shown.batch if shown else ""}
    said["evidence"] = shown.evidence if shown else ""
    begun = {"truth": state, "wrong": wrong, "begins": begins or ""}
    events = "; ".join(f"{event.batch} {event.state}" for event in monitor.events)
    return {"verdict": found, **begun, **said, **last, "reported": events, "CPU s": round(time.process_time() - start)}


def verdict(
    state: str, begins: int | None, setup: Setup, scores: Sequence[Score], events: Sequence[Event]
) -> tuple[str, Event | None]:
    """Return how the reports of a run compare with the truth, and the event that decides it."""
    said = [event for event in events if event.state != HEALTHY.name]
    if state == GOOD:
        since = good_since(scores)
        alarms = [event for event in said if event.batch > since]
        if events and events[-1].state != HEALTHY.name:
            alarms = alarms or [events[-1]]
        return (ALARM, alarms[0]) if alarms else (SILENT, None)
    right = [event for event in said if event.state in allowed(setup, scores, event.batch)]
    shown = (right or said or [None])[0]
    if state == UNCLEAR or begins is None:
        return UNCLEAR, shown
    if right:
        return (NAMED if right[0].batch <= begins + WITHIN else LATE), shown
    return (OTHER if said else MISSED), shown


def allowed(setup: Setup, scores: Sequence[Score], batch: int) -> set[str]:
    """Return the names that a failure may have at a batch."""
    recent = [score for score in scores if batch - 300 <= score.batch <= batch] or [scores[-1]]
    causes = {cause.name for cause in setup.cause} if any(score.wrong for score in recent) else set()
    return causes.union(*(score.names for score in recent))


def good_since(scores: Sequence[Score]) -> int:
    """Return the batch from which on scores are good to the end, but for single ones."""
    for index in range(len(scores)):
        rest = [score.state for score in scores[index:]]
        if rest.count(GOOD) >= 0.8 * len(rest) and rest[0] == GOOD:
            return scores[index].batch
    return scores[-1].batch


def report(rows: list[dict[str, str]]) -> None:
    """Print a line for each family, and one for all."""
    columns = [NAMED, LATE, OTHER, MISSED, SILENT, ALARM, UNCLEAR]
    print(f"\n{'':<24}" + "".join(f"{name:>14}" for name in columns) + f"{'batches to name':>18}")
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    for task in [*tasks, "all"] if len(tasks) > 1 else tasks:
        own = [row for row in rows if task in ("all", row["task"])]
        counts = Counter(row["verdict"] for row in own)
        delays = [max(0, int(row["at"]) - int(row["begins"])) for row in own if row["verdict"] == NAMED]
        delay = f"{statistics.median(delays):.0f}" if delays else "-"
        print(f"{task:<24}" + "".join(f"{counts[name]:>14}" for name in columns) + f"{delay:>18}")
    counts = Counter(row["verdict"] for row in rows)
    failing, good = sum(counts[name] for name in (NAMED, LATE, OTHER, MISSED)), counts[SILENT] + counts[ALARM]
    print(
        f"{counts[NAMED]} of {failing} failures named within {WITHIN} batches; {counts[ALARM]} false alarms in {good} "
        f"good runs; {counts[UNCLEAR]} undecided"
    )


def main() -> None:
    made = parser(__doc__, seeds=2)
    made.add_argument("--pictures", type=Path, help="colour pictures, with train/ and a folder for each of ten classes")
    options = made.parse_args()
    pictures = options.pictures and options.pictures.resolve()
    if pictures and not (pictures / "train").is_dir():
        made.error(f"--pictures {pictures}; expected a folder with train/.")
    known = groups(pictures)
    tasks = options.tasks or list(families(pictures))
    require_known(made, tasks, list(known))
    names = {setup.name for task in tasks for setup in known[task]}
    require_known(made, options.methods or [], sorted(names))
    runs = [
        Run(task, setup.name, seed)
        for seed in range(options.seeds)
        for task in tasks
        for setup in known[task]
        if not options.methods or setup.name in options.methods
    ]
    rows = perform(runs, partial(work, pictures), options.out or RESULTS / "failure_monitor.csv", options.jobs)
    report(rows)


if __name__ == "__main__":
    main()
