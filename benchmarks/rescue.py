"""Whether `lightning-gans rescue` makes failing runs healthy, by scores that neither it nor the monitor knows.

    python benchmarks/rescue.py                    # an hour and a quarter on one core
    python benchmarks/rescue.py --tasks ring grid

Each set-up is trained for 45 CPU seconds, and rescued by the command as a user would type it, with trials of 45 CPU
seconds and the default number of rounds. The run and the best trial are then scored as in `failure_truth.py`: of points
the share near a mode, missing modes and their widths; of images the coverage in the features of a network trained for
the purpose, missing classes and the spread inside them. The pictures before and after are in results/rescue.jpg.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from failure_truth import Score, Scores
from PIL import Image
from remedy_setups import SET_UPS
from training_runs import HOME, RESULTS, THUMBNAIL, Run, parser, perform, require_known, thumbnail

from lightning_gans import generation
from lightning_gans.cli.rescue import TRIAL
from lightning_gans.generation.training_data import data_of
from lightning_gans.trials import train

SECONDS = 45.0
TASKS = [
    *("ring", "grid", "mixed_ring.yaml without code", "ring, high rates"),  # mode collapse
    *("ring of the paper", "grid of 9, zero sum"),  # oscillation
    *("ring, minimax, fast D", "digits, least squares, fast D"),  # vanishing gradient
    "digits, slow D",  # D too weak
    "wgan_gp_ring.yaml",  # smeared
    "grid, Wasserstein without a bound",  # exploding
    "digits, float16",  # NaN
]
NONE = "no better one"


def work(run: Run) -> dict[str, Any]:
    """Train, rescue, and score both."""
    options = [*SET_UPS[run.task], *TRIAL, f"--seed_everything={run.seed}"]
    name = f"rescue_{run.name}"
    try:
        trained = train(options, HOME / "runs" / "benchmarks", name, SECONDS)
        before, folder = scored(trained.checkpoint, run.folder / "before.png"), trained.folder
    except RuntimeError:  # NaN ends a run
        before, folder = Score(0, finite=False), HOME / "runs" / "benchmarks" / name / "version_0"
    events = json.loads((folder / "health.json").read_text())["events"]
    failure = [event["state"] for event in events if event["state"] != "healthy"][-1]
    command = ["rescue", f"--run={folder.relative_to(HOME)}", f"--seconds={SECONDS:g}"]
    subprocess.run([sys.executable, "-m", "lightning_gans", *command], check=True, cwd=HOME, capture_output=True)
    (place,) = (folder / "rescue").iterdir()
    best, after, seconds = NONE, before, SECONDS
    outcomes = [json.loads(path.read_text()) for path in place.glob("*/outcome.json")]
    if (place / "winner.yaml").is_file():
        won = max((one for one in outcomes if not one["error"]), key=lambda one: float(one["score"]))
        best, after = won["name"], scored(Path(won["checkpoint"]), run.folder / "after.png")
        seconds = won["seconds"]
    found = {"failure": failure, "before": before.state, "remedies": best, "after": after.state}
    found["still wrong"] = ", ".join(after.wrong)
    for name in ("near", "missing", "spread"):
        found |= {f"{name} before": getattr(before, name), f"{name} after": getattr(after, name)}
    return found | {"trials": len(outcomes), "CPU s": round(seconds)}


def scored(checkpoint: Path, path: Path) -> Score:
    """Return the scores of a checkpoint, and save a picture of its samples."""
    gan, data = generation.load(checkpoint), data_of(str(checkpoint))
    data.prepare_data()
    scores = Scores(data, HOME / "runs" / "benchmarks" / "failure_monitor")
    scores.on_train_start(None, gan)  # type: ignore[arg-type]
    scores.take(gan)
    samples = scores.samples
    path.parent.mkdir(parents=True, exist_ok=True)
    real = None if samples.dim() == 4 else scores.real
    generation.save_picture(generation.picture(samples[:64] if samples.dim() == 4 else samples, real, 8), path)
    return scores.seen[-1]


def draw(rows: Sequence[dict[str, str]], out: Path) -> None:
    """Save the samples of each run of seed 0 beside those of its best trial."""
    columns, (width, height) = 4, THUMBNAIL
    rows = [row for row in rows if row["seed"] == "0"]
    page = Image.new("RGB", (columns * (2 * width + 16), -(-len(rows) // columns) * (height + 8)), "white")
    colours = {"good": "#1b7f4d", "unclear": "#777777", "failing": "#b3361e"}
    for place, row in enumerate(rows):
        left, y = place % columns * (2 * width + 16) + 6, place // columns * (height + 8)
        folder = Run(row["task"], row["method"], 0).folder
        lines = [(row["task"], "black"), (row["failure"], "black"), (row["before"], colours[row["before"]])]
        thumbnail(page, (left, y), folder / "before.png", lines)
        first, _, second = row["remedies"].partition(" + ")
        lines = [(first, "black"), (f"+ {second}" if second else "", "black"), (row["after"], colours[row["after"]])]
        thumbnail(page, (left + width + 4, y), folder / "after.png", lines)
    page.save(out, quality=85)


def main() -> None:
    made = parser(__doc__, seeds=1)
    options = made.parse_args()
    tasks = options.tasks or TASKS
    require_known(made, tasks, list(SET_UPS))
    out: Path = options.out or RESULTS / "rescue.csv"
    runs = [Run(task, "rescue", seed) for task in tasks for seed in range(options.seeds)]
    rows = perform(runs, work, out, options.jobs)
    failing = [row for row in rows if row["before"] != "good"]
    good = sum(row["after"] == "good" for row in failing)
    better = sum(row["remedies"] != NONE for row in failing)
    print(f"{good} of {len(failing)} failing runs are good by the scores after rescue, {better} have a better trial")
    draw(rows, out.with_suffix(".jpg"))


if __name__ == "__main__":
    main()
