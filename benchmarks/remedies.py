"""Whether what the failure monitor recommends helps, on trainings that fail in the way it is recommended for.

    python benchmarks/remedies.py              # an hour and a quarter on one core
    python benchmarks/remedies.py --tasks "ring" --seeds 1
    python benchmarks/remedies.py --methods "both rates 5e-4" InstanceNoise   # and these against every failure

Each set-up is trained as it is, for 25 CPU seconds. The monitor's last verdict names the failure, as it would for a
user; set-ups that end healthy are left out. Then each remedy of that failure is trained in the same way, from the
beginning, for as many CPU seconds. Trainings are scored as `lightning-gans rescue` scores them: 0 to 1, the harmonic
mean of density and coverage over those of real samples. A remedy helps where the score is higher by .05 or more, and
harms where it is lower by as much.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from remedy_setups import SET_UPS
from training_runs import (
    HOME,
    RESULTS,
    THUMBNAIL,
    Run,
    parser,
    perform,
    require_known,
    rows_of,
    save_samples,
    thumbnail,
)

from lightning_gans import generation
from lightning_gans.callbacks.health import remedies
from lightning_gans.callbacks.health.remedies import Remedy
from lightning_gans.callbacks.health.states import STATES, State
from lightning_gans.cli.remedied import changes, classes_in, config_of
from lightning_gans.cli.rescue import TRIAL
from lightning_gans.generation.training_data import data_of
from lightning_gans.trials import train
from lightning_gans.trials.scoring import score

SECONDS = 25.0
UNCHANGED = "unchanged"
HELPS = 0.05
_STABILIZER = "--trainer.callbacks"
TRIED = [  # what others recommend and this library does not, since it did not help here
    Remedy("noise (Sønderby 2016)", "", ("InstanceNoise",), "InstanceNoise",
           (f"{_STABILIZER}+=InstanceNoise", f"{_STABILIZER}.sigma=0.1")),
    Remedy("lower rates, G's more (Heusel 2017)", "", name="rates of G a tenth, of D a half", rates=(0.1, 0.5)),
    Remedy("lower D's rate (Heusel 2017)", "", name="rate of D a tenth", rates=(1.0, 0.1)),
    Remedy("raise D's rate (Heusel 2017)", "", name="rate of D five times", rates=(1.0, 5.0)),
    Remedy("another loss (Gulrajani 2017)", "", ("Wasserstein",), "Wasserstein, GradientPenalty",
           ("--model.objective=Wasserstein", f"{_STABILIZER}+=GradientPenalty")),
    Remedy("R3GAN's loss (Huang 2024)", "", ("Relativistic", "R2Penalty"), "Relativistic, R1Penalty, R2Penalty",
           ("--model.objective=Relativistic", f"{_STABILIZER}+=R1Penalty", f"{_STABILIZER}.weight=0.2",
            f"{_STABILIZER}+=R2Penalty", f"{_STABILIZER}.weight=0.2")),
    Remedy("fewer updates of D (Heusel 2017)", "", (), "rate of D a tenth, one update of D", ("--model.n_critic=1",),
           (1.0, 0.1)),
    Remedy("more updates of D (Arjovsky 2017)", "", name="five updates of D", arguments=("--model.n_critic=5",)),
    Remedy("bound D's slope (Gulrajani 2017)", "", ("GradientPenalty", "SEPGAN"), "GradientPenalty",
           (f"{_STABILIZER}+=GradientPenalty",)),
    Remedy("normalise D's weights (Miyato 2018)", "", ("SpectralNorm", "SEPGAN"), "SpectralNorm",
           (f"{_STABILIZER}+=SpectralNorm",), restarts=True),
    Remedy("unroll some of D's steps (Metz 2017)", "", ("UnrolledGAN",), "UnrolledGAN",
           ("--model=UnrolledGAN", "--model.unroll_steps=5")),
]  # fmt: skip
RECOMMENDED = [one for one in vars(remedies).values() if isinstance(one, Remedy) and one.name]
KNOWN = {one.name: one for one in [*RECOMMENDED, *TRIED]}


def work(run: Run) -> dict[str, Any]:
    """Train once, as it is or with a remedy, and score the samples."""
    first = Run(run.task, UNCHANGED, run.seed)
    options = [*SET_UPS[run.task], *TRIAL, f"--seed_everything={run.seed}"]
    if run.method != UNCHANGED:
        config = config_of(first.folder / "version_0")
        options += changes(KNOWN[run.method], config)
    try:
        trained = train(options, HOME / "runs" / "benchmarks", run.name, SECONDS)
    except RuntimeError as error:  # NaN, or a remedy that does not apply
        failed = any(word in str(error) for word in ("NaN", "nan", "infinit"))
        return {"score": 0.0, "verdict": "NaN or infinity" if failed else str(error)[:200], "updates": 0, "CPU s": 0}
    gan = generation.load(trained.checkpoint)
    samples, _ = generation.draw(gan, 64 if len(gan.generator.sample_shape) == 3 else 1_000, seed=0)
    save_samples(run, samples)
    return {
        "score": score(gan, data_of(str(trained.checkpoint))),
        "verdict": trained.verdict,
        "updates": gan.generator_updates,
        "CPU s": round(trained.seconds),
    }


def remedied(rows: Sequence[dict[str, str]], also: Sequence[str]) -> list[Run]:
    """Return the trainings with remedies, recommended or not, for the failures in the rows of unchanged ones."""
    runs = []
    for row in rows:
        run = Run(row["task"], row["method"], int(row["seed"]))
        state = named(row["verdict"])
        if state is not None:
            used = classes_in(config_of(run.folder / "version_0"), shape_of(run))
            names = [remedy.name for remedy in state.left(used) if remedy.name]
            others = [name for name in also if not used & set(KNOWN[name].present)]
            runs += [Run(run.task, name, run.seed) for name in dict.fromkeys([*names, *others])]
    return runs


def shape_of(run: Run) -> tuple[int, ...]:
    """Return the shape of a sample of a run's data."""
    return tuple(data_of(str(run.folder / "version_0" / "checkpoints" / "last.ckpt")).sample_shape)


def named(verdict: str) -> State | None:
    return next((state for state in STATES if state.name == verdict and state.remedies), None)


def report(unchanged: Sequence[dict[str, str]], rows: Sequence[dict[str, str]]) -> list[str]:
    """Return, for each failure and remedy, how often it helped and by how much, as a table in Markdown."""
    before = {(row["task"], row["seed"]): row for row in unchanged}
    lines = ["| failure | remedy | helps | harms | of | mean score before → after |", "|---|---|---|---|---|---|"]
    for state in STATES:
        for name in KNOWN:
            own = [row for row in rows if row["method"] == name]
            own = [row for row in own if before[row["task"], row["seed"]]["verdict"] == state.name]
            if not own:
                continue
            old = [float(before[row["task"], row["seed"]]["score"]) for row in own]
            new = [float(row["score"]) for row in own]
            helps = sum(after >= start + HELPS for start, after in zip(old, new, strict=True))
            harms = sum(after <= start - HELPS for start, after in zip(old, new, strict=True))
            mean = f"{statistics.mean(old):.2f} → {statistics.mean(new):.2f}"
            lines.append(f"| {state.name} | {name} | {helps} | {harms} | {len(own)} | {mean} |")
    return lines


def winners(unchanged: Sequence[dict[str, str]], rows: Sequence[dict[str, str]]) -> list[tuple[dict[str, str], ...]]:
    """Return the row of each training that fails, and that of the remedy with the best score on it."""
    pairs = []
    for before in unchanged:
        own = [row for row in rows if (row["task"], row["seed"]) == (before["task"], before["seed"])]
        if own:
            pairs.append((before, max(own, key=lambda row: float(row["score"]))))
    return pairs


def draw(pairs: Sequence[tuple[dict[str, str], ...]], out: Path) -> None:
    """Save the samples of each training of seed 0 that fails, and those with the best remedy beside them."""
    columns, (width, height) = 5, THUMBNAIL
    pairs = [pair for pair in pairs if pair[0]["seed"] == "0"]
    page = Image.new("RGB", (columns * (2 * width + 16), -(-len(pairs) // columns) * (height + 8)), "white")
    for place, pair in enumerate(pairs):
        left, y = place % columns * (2 * width + 16) + 6, place // columns * (height + 8)
        for x, row in zip((left, left + width + 4), pair, strict=True):
            name = row["task"] if row is pair[0] else row["method"]
            lines = [(words, "black") for words in (name, row["verdict"], f"score {float(row['score']):.2f}")]
            thumbnail(page, (x, y), Run(row["task"], row["method"], 0).folder / "samples.png", lines)
    page.save(out, quality=85)


def main() -> None:
    made = parser(__doc__, seeds=1)
    options = made.parse_args()
    tasks = options.tasks or list(SET_UPS)
    require_known(made, tasks, list(SET_UPS))
    out: Path = options.out or RESULTS / "remedies.csv"
    first = [Run(task, UNCHANGED, seed) for task in tasks for seed in range(options.seeds)]
    unchanged = perform(first, work, out, options.jobs)
    require_known(made, options.methods or [], list(KNOWN))
    perform(remedied(unchanged, options.methods or []), work, out, options.jobs)
    rows = [row for row in rows_of(out) if row["task"] in tasks and row["method"] != UNCHANGED]
    print("\n".join(report(unchanged, rows)))
    pairs = winners(unchanged, rows)
    for before, after in pairs:
        words = f"{before['task']}, {before['verdict']}: {float(before['score']):.2f}"
        print(f"{words} → {after['method']}, {after['verdict']}: {float(after['score']):.2f}")
    draw(pairs, out.with_suffix(".jpg"))


if __name__ == "__main__":
    main()
