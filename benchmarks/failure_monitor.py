"""Whether the monitor names failures and is silent in healthy runs, whose truth other scores decide.

    python benchmarks/failure_monitor.py --pictures PATH      # every new set-up, two seeds; two hours on two CPU cores
    python benchmarks/failure_monitor.py --tasks "batch of 4"  # one family
    python benchmarks/failure_monitor.py --tasks tuned "held out"  # the set-ups of before, one seed is enough
    python benchmarks/failure_monitor.py --again       # the rules as they are now, on the readings of those runs

PATH is a folder with train/, and in it a folder for each of ten classes, such as CIFAR-10 as pictures; without it the
family of colour pictures is left out. MNIST is read from data/.

The set-ups are in families (`failure_families.py`) that took no part when the thresholds of the monitor were set, and
in two older halves (`failure_setups.py`) that did. How the scores decide is said in `failure_truth.py`. A failure may
be named by what is wrong in the scores of the last 300 batches by then, or by a state for which the set-up was made. It
is named in time where the monitor reports such a name within 500 batches of its beginning. A false alarm is any failure
that the monitor reports in a run that ends good, if it still stands at the end, or that it reports later than the
scores are good. A run that the scores leave undecided at its end trains on, up to three times as long. The last samples
of each run are in runs/benchmarks/failure_monitor, to look at.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from failure_families import families
from failure_setups import HELD_OUT, TUNED, Setup
from failure_truth import GOOD, UNCLEAR, Score, Scores, truth
from lightning.pytorch import Callback, Trainer, seed_everything
from PIL import Image
from training_runs import (
    HOME,
    RESULTS,
    THUMBNAIL,
    Run,
    append,
    parser,
    perform,
    require_known,
    rows_of,
    shown,
    thumbnail,
)

from lightning_gans.callbacks import FailureMonitor
from lightning_gans.callbacks.health.diagnosis import diagnose
from lightning_gans.callbacks.health.page import Event
from lightning_gans.callbacks.health.readings import Reading
from lightning_gans.callbacks.health.states import HEALTHY
from lightning_gans.callbacks.health.verdict import verdict as lasting_of
from lightning_gans.generation import picture, save_picture

WITHIN = 500
LONGEST = 3  # times as many batches as planned, which an undecided run makes
FOLDER = HOME / "runs" / "benchmarks" / "failure_monitor"
NAMED, LATE, OTHER, MISSED, ALARM, SILENT = "named", "late", "another name", "missed", "false alarm", "silent"
FIGURES = ["near", "missing", "spread", "right", "variety", "distance"]


class Silent(FailureMonitor):
    """The monitor, without its line on the console."""

    def announce(self, trainer: Trainer, text: str) -> None:
        pass


class UntilDecided(Callback):
    """End a run after its planned batches, or after twice as many where the scores had not decided.

    Args:
        scores: of the run.
        batches: planned; the Trainer's own limit is three times as many.
    """

    def __init__(self, scores: Scores, batches: int):
        self.scores, self.batches = scores, batches

    def on_train_batch_end(self, trainer: Trainer, gan: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if gan.batches_seen % self.batches == 0 and truth(self.scores.seen)[0] != UNCLEAR:
            trainer.should_stop = True


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
        max_steps=LONGEST * setup.batches,
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        callbacks=[*setup.stabilizers(), scores, UntilDecided(scores, setup.batches), monitor],
        **setup.trainer,
    )
    with contextlib.suppress(FloatingPointError):  # NaN or infinity ends a run
        trainer.fit(gan, data)
    if not scores.seen or scores.seen[-1].batch < gan.batches_seen:
        scores.take(gan)
    FOLDER.mkdir(parents=True, exist_ok=True)
    samples = scores.samples
    if samples.isfinite().all():
        real = None if samples.dim() == 4 else scores.real
        save_picture(picture(samples[:40] if samples.dim() == 4 else samples, real, 10), FOLDER / f"{run.name}.png")
    kept = {"readings": list(map(asdict, monitor.readings)), "scores": list(map(asdict, scores.seen))}
    (FOLDER / f"{run.name}.json").write_text(json.dumps(kept))
    return row(setup, scores.seen, monitor.events, round(time.process_time() - start))


def again(pictures: Path | None, rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return the rows of runs as they would be with the rules as they are, from the readings that were kept."""
    known, found = groups(pictures), []
    for old in rows:
        run = Run(old["task"], old["method"], int(old["seed"]))
        kept = json.loads((FOLDER / f"{run.name}.json").read_text())
        setup = next(one for one in known[run.task] if one.name == run.method)
        readings = [Reading(**reading) for reading in kept["readings"]]
        new = row(setup, [Score(**score) for score in kept["scores"]], replay(readings), int(old["CPU s"]))
        found.append({**old, **{name: shown(value) for name, value in new.items()}})
    return found


def replay(readings: Sequence[Reading]) -> list[Event]:
    """Return what the monitor reports on readings."""
    state, recent, events = HEALTHY, [], []
    for number, reading in enumerate(readings, 1):
        recent = [*recent, diagnose(readings[:number])][-8:]
        lasting = lasting_of(state, [one for one, _ in recent], 4, False)
        if lasting != state:
            state = lasting
            evidence = next(words for one, words in reversed(recent) if one == lasting)
            events.append(Event(reading.batch, state.name, evidence, []))
    return events


def row(setup: Setup, scores: Sequence[Score], events: Sequence[Event], seconds: int) -> dict[str, Any]:
    """Return what the scores and the monitor say of a run."""
    state, begins = truth(list(scores))
    found, decisive = verdict(state, begins, setup, scores, events)
    wrong = ", ".join(scores[-1].wrong) or scores[-1].state
    last = {"batches": scores[-1].batch, **{name: getattr(scores[-1], name) for name in FIGURES}}
    said = {"said": decisive.state if decisive else HEALTHY.name, "at": decisive.batch if decisive else ""}
    said["evidence"] = decisive.evidence if decisive else ""
    begun = {"truth": state, "wrong": wrong, "begins": begins or ""}
    reported = "; ".join(f"{event.batch} {event.state}" for event in events)
    return {"verdict": found, **begun, **said, **last, "reported": reported, "CPU s": seconds}


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
    first = (right or said or [None])[0]
    if state == UNCLEAR or begins is None:
        return UNCLEAR, first
    if right:
        return (NAMED if right[0].batch <= begins + WITHIN else LATE), first
    return (OTHER if said else MISSED), first


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


def draw(rows: Sequence[dict[str, str]], out: Path) -> None:
    """Save the last samples of the runs of seed 0 in one picture, each under what the monitor said of it.

    Green: named, or silent in a good run; red: late, another name, missed or a false alarm; grey: undecided.
    """
    found = [(one, FOLDER / f"{Run(one['task'], one['method'], 0).name}.png") for one in rows if one["seed"] == "0"]
    found = [(one, path) for one, path in found if path.is_file()]
    if not found:
        return
    columns, (width, height) = 10, THUMBNAIL
    page = Image.new("RGB", (columns * (width + 6), -(-len(found) // columns) * (height + 6)), "white")
    colours = {NAMED: "#1b7f4d", SILENT: "#1b7f4d", UNCLEAR: "#777777"}
    for place, (one, path) in enumerate(found):
        x, y = place % columns * (width + 6) + 3, place // columns * (height + 6)
        said = one["said"].partition(" (")[0]
        colour = colours.get(one["verdict"], "#b3361e")
        thumbnail(page, (x, y), path, [(one["task"], "black"), (one["method"], "black"), (said, colour)])
    page.save(out, quality=85)


def main() -> None:
    made = parser(__doc__, seeds=2)
    made.add_argument("--again", action="store_true", help="apply the rules as they are to the runs in the CSV")
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
    out = options.out or RESULTS / "failure_monitor.csv"
    if options.again:
        kept = [FOLDER / f"{Run(one['task'], one['method'], int(one['seed'])).name}.json" for one in rows_of(out)]
        if lost := [path.name for path in kept if not path.is_file()]:
            made.error(f"--again: {FOLDER} lacks the readings of {len(lost)} runs, such as {lost[0]}; make them again.")
        if not kept:
            made.error(f"--again: {out} has no runs; make some first.")
        rows = again(pictures, rows_of(out))
        part = out.with_suffix(".part")
        part.unlink(missing_ok=True)
        for row in rows:
            append(part, row)
        part.replace(out)
    else:
        rows = perform(runs, partial(work, pictures), out, options.jobs)
    report(rows)
    draw(rows, out.with_suffix(".jpg"))


if __name__ == "__main__":
    main()
