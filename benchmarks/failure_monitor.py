"""Whether the monitor names failures and is silent in healthy runs, whose truth other scores decide.

    python benchmarks/failure_monitor.py               # every set-up of both halves, an hour on two CPU cores
    python benchmarks/failure_monitor.py --half "held out"     # one half; printed, not written
    python benchmarks/failure_monitor.py --only ring   # those whose name contains a word; printed, not written
    python benchmarks/failure_monitor.py --cost        # what the monitor adds to the time of a step

Some of the set-ups (`failure_setups.py`) were made to fail, by a discriminator that is too fast, a saturating loss, no
normalisation and a high rate, a generator that is too small, players that chase each other, float16, or swapped
labels. The thresholds were set on the half TUNED; the half HELD_OUT was run once, afterwards. MNIST is read from data/.

The truth follows from scores alone, every 100 batches, on samples of latents that the monitor does not use:

- points, 2,500 samples: `ModeCoverage` with circles of a quarter of the modes' distance gives the share of samples
  inside, relative to that of real ones, and the number of modes they fill (e to the entropy), `PairwiseDiversity`
  their spread. Healthy: at least half of the samples inside, in 0.7 of the modes or more. Collapsed: a diversity below
  0.5, or half of the samples inside and half of the modes or fewer. Else, not learned.
- images, 600 samples: `FrechetDistance` in the digit classifier's features and `PairwiseDiversity`. Healthy: a distance
  below 30. Collapsed: a diversity below 0.25. Else, not learned.
- a sample with NaN or infinity: NaN or infinity.

The truth of a run is what holds in most of the last third of its scores. It is undecided, and is not counted, where
nothing does, where samples fill 0.5 to 0.7 of the modes, where a set-up that was made to learn has not, and where one
that was made to fail still learns: the Fréchet distance falls by a tenth, or a twentieth more of the points come
inside, less than 800 batches before the end. A failure begins where failing scores last until the end: a collapse with
the first such score after which most are; another where the samples no longer improve; and not before batch 300, since
every run begins far from the data. A collapse is an oscillation where the Fréchet distance between scores 100 batches
apart is above a fifth of that to the data.

A failure may be named by the truth of the run, by what the set-up was made for, or by the last score by then, which may
differ: a run that ends in one mode may have oscillated before. It is named in time where the monitor reports such a
name within 500 batches of its beginning. A false alarm is any failure reported in a run that ends healthy.
"""

import argparse
import contextlib
import csv
import logging
import math
import statistics
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from failure_setups import HELD_OUT, TUNED, Setup, plain
from lightning.pytorch import Callback, Trainer, seed_everything
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_gans import DCGAN, generation
from lightning_gans.callbacks import FailureMonitor
from lightning_gans.callbacks.health.page import Event
from lightning_gans.callbacks.health.states import HEALTHY, MODE_COLLAPSE, NON_FINITE, SOFT_COLLAPSE, STATES
from lightning_gans.data import GANData
from lightning_gans.metrics import FrechetDistance, ModeCoverage, PairwiseDiversity
from lightning_gans.networks import DigitFeatures

RESULTS = Path(__file__).parent / "results" / "failure_monitor.csv"
EVERY = 100
WITHIN = 500
STUCK = 800
NOT_LEARNED, UNDECIDED = "not learned", "undecided"

# ---------------------------------------------------------------- the truth


@dataclass
class Score:
    """The scores of a run at one batch."""

    batch: int
    state: str
    distance: float = math.nan  # Fréchet, to the data
    moved: float = math.nan  # Fréchet, to the samples of the score before
    diversity: float = math.nan
    inside: float = math.nan
    modes: float = math.nan

    @property
    def moves(self) -> bool:
        """Whether the samples have moved since the score before."""
        return self.moved > self.distance / 5


class Scores(Callback):
    """Scores a run by the metrics during training."""

    def __init__(self, data: GANData):
        self.points = len(data.sample_shape) == 1
        self.num = 2500 if self.points else 600
        self.features = None if self.points else DigitFeatures()
        self.seen: list[Score] = []
        self.before: Tensor | None = None
        self.data = data

    def on_train_start(self, trainer: Trainer, gan: Any) -> None:
        dataset = self.data.load("train")
        batch = dataset.__getitems__(list(range(self.num)))
        self.real = gan.unpack_batch(batch)[0]
        if self.points:
            centres = self.data.means
            spacing = float(torch.cdist(centres, centres).fill_diagonal_(math.inf).min())
            radius = spacing / 4 / self.data.sigma
            self.coverage = ModeCoverage(centres.tolist(), self.data.sigma, radius=radius)
            self.real_inside = 1 - math.exp(-(radius**2) / 2)

    def on_train_batch_end(self, trainer: Trainer, gan: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if gan.batches_seen % EVERY == 0:
            self.seen.append(self.score(gan.batches_seen, generation.draw(gan, self.num, seed=1)[0]))

    def score(self, batch: int, fake: Tensor) -> Score:
        if not torch.isfinite(fake).all():
            return Score(batch, NON_FINITE.name)
        score = Score(batch, NOT_LEARNED)
        score.distance = self.between(FrechetDistance(self.features), self.real, fake)
        score.diversity = self.between(PairwiseDiversity(self.features), self.real, fake)
        if self.before is not None:
            score.moved = self.between(FrechetDistance(self.features), self.before, fake)
        self.before = fake
        if self.points:
            self.coverage.reset()
            self.coverage.update(fake, real=False)
            figures = {name: value.item() for name, value in self.coverage.compute().items()}
            score.inside = figures["high_quality"] / self.real_inside
            score.modes = math.exp(-figures["reverse_kl"]) if score.inside else 0.0  # as a share of all modes
            healthy = score.inside >= 0.5 and score.modes >= 0.7
            collapsed = score.diversity < 0.5 or (score.inside >= 0.5 and score.modes <= 0.5)
            partly = score.inside >= 0.5 and 0.5 < score.modes < 0.7
        else:
            healthy, collapsed, partly = score.distance < 30, score.diversity < 0.25, False
        if collapsed:
            score.state = MODE_COLLAPSE.name
        elif healthy:
            score.state = HEALTHY.name
        elif partly:
            score.state = UNDECIDED
        return score

    @staticmethod
    def between(metric: Any, real: Tensor, fake: Tensor) -> float:
        metric.update(real, real=True)
        metric.update(fake, real=False)
        return float(metric.compute())


def truth(scores: list[Score], made_to_fail: bool) -> tuple[str, int | None]:
    """Return what a run ended in, and where that began."""
    last = scores[-max(1, len(scores) // 3) :]
    state, count = Counter(score.state for score in last).most_common(1)[0]
    if count <= len(last) / 2:
        failing = [score for score in last if score.state in (MODE_COLLAPSE.name, NOT_LEARNED)]
        if len(failing) <= len(last) / 2:
            return UNDECIDED, None
        state = MODE_COLLAPSE.name if any(score.state == MODE_COLLAPSE.name for score in failing) else NOT_LEARNED
    if state in (HEALTHY.name, UNDECIDED):
        return state, None
    begins = len(scores)
    while begins > 0 and scores[begins - 1].state not in (HEALTHY.name, UNDECIDED):
        begins -= 1
    begins = min(begins, len(scores) - 1)
    if state == MODE_COLLAPSE.name:
        collapsed = [index for index in range(begins, len(scores)) if scores[index].state == MODE_COLLAPSE.name]
        most = [index for rank, index in enumerate(collapsed) if 2 * (len(collapsed) - rank) >= len(scores) - index]
        begins = most[0]
        moving = [score for score in last if score.moves]
        state = SOFT_COLLAPSE.name if len(moving) > len(last) / 2 else state
    elif state == NOT_LEARNED:
        stuck = [index for index in range(max(begins, 2), len(scores)) if not _better_later(scores, index)]
        if not made_to_fail or not stuck or scores[-1].batch - scores[stuck[0]].batch < STUCK:
            return UNDECIDED, None  # of an unknown cause, or it still learns
        begins = stuck[0]
    return state, scores[begins].batch if state == NON_FINITE.name else max(300, scores[begins].batch)


def _better_later(scores: list[Score], index: int) -> bool:
    """Whether a run that has not learned improves after a score."""
    now, later = scores[index], scores[index + 1 :]
    return any(score.distance < 0.9 * now.distance or score.inside > now.inside + 0.05 for score in later)


def allowed(state: str, setup: Setup, scores: list[Score], batch: int) -> set[str]:
    """Return the names that a run may have at a batch: the truth, what it was made for, or the last score by then."""
    names = {state} - {NOT_LEARNED}
    if state != NON_FINITE.name:
        names |= {cause.name for cause in setup.cause}
    by_then = [score for score in scores if score.batch <= batch]
    if by_then and by_then[-1].state == MODE_COLLAPSE.name:
        names.add(SOFT_COLLAPSE.name if by_then[-1].moves else MODE_COLLAPSE.name)
    return names


def verdict(
    state: str, begins: int | None, setup: Setup, scores: list[Score], events: list[Event]
) -> tuple[str, Event | None]:
    """Return how the reports of a run compare with the truth, and the event that decides it."""
    said = [event for event in events if event.state != HEALTHY.name]
    right = [event for event in said if event.state in allowed(state, setup, scores, event.batch)]
    shown = (right or said or [None])[0]
    if state == UNDECIDED:
        return UNDECIDED, shown
    if state == HEALTHY.name:
        return "false alarm" if said else "silent", shown
    if right and begins is not None and right[0].batch <= begins + WITHIN:
        return "named", shown
    if right:
        return "late", shown
    return "another name" if said else "missed", shown


# ---------------------------------------------------------------- a run


@dataclass
class Run:
    """The truth of a run, and what the monitor reported."""

    half: str
    setup: str
    made: str
    batches: int
    truth: str
    begins: int | None
    said: str
    at: int | None
    verdict: str
    score: Score
    seconds: float


def run_setup(half: str, index: int, seed: int, length: float) -> Run:
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(1)
    setup = (TUNED if half == "tuned" else HELD_OUT)[index]
    seed_everything(seed, verbose=False)
    data, gan = setup.data(), setup.make()
    scores, monitor = Scores(data), Silent()
    start = time.perf_counter()
    trainer = Trainer(
        max_steps=max(EVERY, int(setup.batches * length)),
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
    if not scores.seen:  # the monitor ended the run before the first score
        scores.seen.append(scores.score(monitor.readings[-1].batch, generation.draw(gan, scores.num, seed=1)[0]))
    state, begins = truth(scores.seen, bool(setup.cause))
    found, shown = verdict(state, begins, setup, scores.seen, monitor.events)
    if state == NOT_LEARNED:
        state = f"{NOT_LEARNED}: {setup.cause[0].name}" if setup.cause else NOT_LEARNED
    return Run(
        half,
        setup.name,
        "to fail" if setup.cause else "to learn",
        setup.batches,
        state,
        begins,
        shown.state if shown else HEALTHY.name,
        shown.batch if shown else None,
        found,
        scores.seen[-1],
        time.perf_counter() - start,
    )


class Silent(FailureMonitor):
    """The monitor, without its line on the console."""

    def announce(self, trainer: Trainer, text: str) -> None:
        pass


# ---------------------------------------------------------------- results


def report(runs: list[Run], write: bool) -> None:
    for half in ("tuned", "held out"):
        ours = [run for run in runs if run.half == half]
        verdicts = Counter(run.verdict for run in ours)
        failing = sum(verdicts[name] for name in ("named", "late", "another name", "missed"))
        healthy = verdicts["silent"] + verdicts["false alarm"]
        delays = [max(0, run.at - run.begins) for run in ours if run.verdict == "named" and run.at and run.begins]
        print(
            f"\n{half}: {verdicts['named']} of {failing} failures named within {WITHIN} batches "
            f"(median {statistics.median(delays) if delays else math.nan:.0f}), {verdicts['late']} late, "
            f"{verdicts['another name']} by another name, {verdicts['missed']} missed; {verdicts['false alarm']} false "
            f"alarms in {healthy} healthy runs; {verdicts[UNDECIDED]} undecided"
        )
        table = Counter((run.truth, run.said) for run in ours if run.verdict != UNDECIDED)
        said = [state.name for state in STATES]
        print(f"{'true, by the scores':<62}" + "".join(f"{name.split(' (')[0][:16]:>18}" for name in said))
        for row in sorted({true for true, _ in table}):
            print(f"{row:<62}" + "".join(f"{table[row, name] or '.':>18}" for name in said))
    if write:
        RESULTS.parent.mkdir(exist_ok=True)
        with RESULTS.open("w", newline="") as file:
            writer = csv.writer(file)
            figures = ("distance", "diversity", "inside", "modes")
            writer.writerow(["half", "set-up", "made", "batches", "truth", "begins", "said", "at", "verdict", *figures])
            for run in runs:
                last = [f"{getattr(run.score, name):.4g}" for name in figures]
                writer.writerow(
                    [
                        run.half,
                        run.setup,
                        run.made,
                        run.batches,
                        run.truth,
                        run.begins,
                        run.said,
                        run.at,
                        run.verdict,
                        *last,
                    ]
                )
        draw([run for run in runs if run.half == "held out" and run.verdict != UNDECIDED])


def draw(runs: list[Run]) -> None:
    """Draw the confusion matrix of the half that was held out."""
    from matplotlib.figure import Figure

    columns = [state.name for state in STATES]
    rows = sorted({run.truth for run in runs})
    counts = torch.zeros(len(rows), len(columns))
    for run in runs:
        counts[rows.index(run.truth), columns.index(run.said)] += 1
    figure = Figure(figsize=(14, 1.5 + 0.45 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(counts, cmap="Blues", aspect="auto", vmax=max(1.0, float(counts.max())) * 1.3)
    for row in range(len(rows)):
        for column in range(len(columns)):
            if counts[row, column]:
                axes.text(column, row, f"{counts[row, column]:.0f}", ha="center", va="center")
    axes.set_xticks(
        range(len(columns)), [name.replace(" (", "\n(").replace(" gradient", "\ngradient") for name in columns]
    )
    axes.tick_params("x", labelsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.set_xlabel("what the monitor says")
    axes.set_ylabel("what the scores say")
    axes.set_title("Runs held out", loc="left")
    figure.savefig(RESULTS.with_suffix(".png"), dpi=110)


# ---------------------------------------------------------------- what it costs


class Timed(FailureMonitor):
    """The monitor, which measures the processor time of its own hooks."""

    seconds = 0.0

    def on_before_optimizer_step(self, *args: Any) -> None:
        start = time.process_time()
        super().on_before_optimizer_step(*args)
        self.seconds += time.process_time() - start

    def on_train_batch_end(self, *args: Any) -> None:
        start = time.process_time()
        super().on_train_batch_end(*args)
        self.seconds += time.process_time() - start


def cost(quick: bool) -> None:
    """Measure what the monitor adds to the time of a step, over whole rounds of readings."""
    torch.set_num_threads(1)
    setups = {
        "DCGAN-64, batch 64": (lambda: DCGAN((3, 64, 64), width=64), torch.rand(64, 3, 64, 64) * 2 - 1, 100),
        "perceptrons, batch 512": (lambda: plain(2), torch.randn(512, 2), 2000),
        "perceptrons, batch 64": (lambda: plain(2), torch.randn(64, 2), 4000),
    }
    rows = []
    for name, (make, batch, batches) in setups.items():
        monitor = Timed()
        trainer = Trainer(
            max_steps=10 if quick else batches,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[monitor],
        )
        seed_everything(0, verbose=False)
        gan = make()
        start = time.process_time()
        trainer.fit(gan, DataLoader([batch] * batches, batch_size=None))
        training = time.process_time() - start - monitor.seconds
        milliseconds = 1e3 * training / batches, 1e3 * monitor.seconds / batches
        rows.append([name, batches, *milliseconds, 1 + monitor.seconds / training])
        print("{:<26}{:>6} batches {:>9.3f} ms training {:>8.4f} ms monitor, ratio {:.4f}".format(*rows[-1]))
    if not quick:
        with RESULTS.with_name("failure_monitor_cost.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["game", "batches", "ms/step game", "ms/step monitor", "ratio"])
            writer.writerows([[*row[:2], *(f"{value:.4f}" for value in row[2:])] for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a word that the names of set-ups contain")
    parser.add_argument("--half", choices=["tuned", "held out"], help="one half of the set-ups")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a smoke run, with meaningless figures")
    parser.add_argument("--cost", action="store_true", help="what the monitor costs a step")
    options = parser.parse_args()
    if options.cost:
        cost(options.quick)
        return
    halves = {"tuned": TUNED, "held out": HELD_OUT}
    jobs = [
        (half, index)
        for half, setups in halves.items()
        for index, setup in enumerate(setups)
        if options.only in setup.name and options.half in (None, half)
    ]
    runs = []
    with ProcessPoolExecutor(options.workers) as pool:
        futures = [pool.submit(run_setup, *job, options.seed, 0.05 if options.quick else 1.0) for job in jobs]
        for number, future in enumerate(futures, 1):
            run = future.result()
            runs.append(run)
            begins = f" from {run.begins}" if run.begins else ""
            at = f" at {run.at}" if run.at else ""
            print(
                f"{number:>3}/{len(jobs)} {run.half:<9}{run.setup:<38}{run.truth + begins:<62} {run.said + at:<52} "
                f"{run.verdict:<13}{run.seconds:>5.0f} s",
                flush=True,
            )
    report(runs, write=not (options.only or options.half or options.quick))


if __name__ == "__main__":
    main()
