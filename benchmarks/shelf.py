"""What every stabilizer is worth: added to, or left out of, a plain GAN and a good recipe on four tasks.

    python benchmarks/shelf.py --pictures PATH                      # three seeds of all; eight hours of two cores
    python benchmarks/shelf.py --tasks ring --forms plain --seeds 5 # a part of it
    python benchmarks/shelf.py --collect                            # table and picture of what there is so far
    python benchmarks/shelf.py --quick                              # a smoke test; its figures mean nothing

Each part is `lightning-gans ablate` on one base, whose help says what is compared. Tasks: the ring of eight Gaussians;
stacked MNIST, D with a quarter of G's channels; 1,000 digits of MNIST with their classes; CIFAR-10 with its classes.
"plain" is a GAN without any stabilizer, "best" the recipe of configs/best, shortened, with all that it has. PATH is
CIFAR-10 as pictures, train/ with a folder for each class. Every training ends with a row in results/shelf.csv, which is
all that a later call needs: trainings that have a row are not repeated.
"""

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import torch
from training_runs import HOME, RESULTS, at_least_one, rows_of

from lightning_gans.cli.ablate import ablate
from lightning_gans.trials import Effect, Outcome, effects_of
from lightning_gans.trials.effects import FAILS
from lightning_gans.trials.effects_page import draw_effects, markdown
from lightning_gans.trials.trial import found_in

OUT = RESULTS / "shelf.csv"
PLACE = Path("runs") / "shelf"
BASE = "base"


def falling(kind: str, name: str, start: float, end: float, updates: int, schedule: str = "Exponential") -> dict:
    """Return a stabilizer whose strength falls."""
    values = {"start": start, "end": end, "updates": updates}
    return {"class_path": kind, "init_args": {name: {"class_path": schedule, "init_args": values}}}


def cosine(batches: int) -> list[str]:
    """Return the options of rates that fall to zero over a run."""
    return [f"--model.{player}_scheduler.T_max={batches}" for player in ("generator", "discriminator")]


def ring(form: str, pictures: str | None) -> list[str]:
    """Return the options of the ring: plain MLPs, or the recipe with its schedules in 1,500 batches for 6,000."""
    if form == "best":
        fading = [
            falling("InstanceNoise", "sigma", 0.4, 0.0, 900, "Linear"),
            *(falling(kind, "weight", 1.0, 3e-4, 900) for kind in ("R1Penalty", "R2Penalty")),
        ]
        callbacks = f"--trainer.callbacks={json.dumps(fading)}"
        return ["--config=configs/best/ring.yaml", callbacks, *cosine(1_500), "--trainer.max_steps=1500"]
    from mixtures import BASE as MLPS

    return ["--data=GaussianRing", *MLPS, *cosine(2_000), "--trainer.max_steps=2000"]


def stacked(form: str, pictures: str | None) -> list[str]:
    """Return the options of constrained stacked MNIST: the recipe, or its networks and rates alone."""
    without = [] if form == "best" else ["--trainer.callbacks=[]"]
    return ["--config=configs/best/stacked_mnist_quarter.yaml", *without, "--trainer.max_steps=600"]


def digits(form: str, pictures: str | None) -> list[str]:
    """Return the options of 1,000 digits: augmented and averaged, or neither."""
    callbacks = [
        {"class_path": "DifferentiableAugmentation", "init_args": {"color": 0.0, "cutout": 0.0}},
        {"class_path": "GeneratorEMA", "init_args": {"half_life": 100.0}},
    ]
    return [
        *("--config=configs/best/mnist.yaml", "--data.val_size=59000", "--trainer.limit_val_batches=0"),
        *(*cosine(800), "--trainer.max_steps=800", "--trainer.max_epochs=-1"),
        f"--trainer.callbacks={json.dumps(callbacks if form == 'best' else [])}",
    ]


def colours(form: str, pictures: str | None) -> list[str]:
    """Return the options of CIFAR-10: the recipe, narrower and shorter, or without its average."""
    data = ["--data=CIFAR10"]
    if pictures:
        data = ["--data=ImageFolder", f"--data.root={pictures}/train", "--data.size=32", "--data.num_workers=0"]
    return [
        *("--config=configs/best/cifar10.yaml", *data, "--data.batch_size=64", "--data.labels=true"),
        *("--data.flips=true", "--model.width=16", "--trainer.limit_val_batches=0"),
        *(*cosine(600), "--trainer.max_steps=600", "--trainer.max_epochs=-1"),
        *([] if form == "best" else ["--trainer.callbacks=[]"]),
    ]


TASKS = {"ring": ring, "stacked MNIST": stacked, "1,000 digits": digits, "CIFAR-10": colours}
FORMS = ("plain", "best")


def slug(task: str, form: str) -> str:
    """Return the name of a base's folder."""
    return "".join(one if one.isalnum() else "_" for one in f"{task}_{form}")


def restore(rows: Sequence[dict[str, str]], task: str, form: str) -> None:
    """Write the outcomes that have a row into the folder of their base, where `ablate` finds them."""
    kinds = {one.name: str(one.type) for one in fields(Outcome)}
    for row in rows:
        folder = PLACE / slug(task, form) / f"{row['stabilizer']}_seed_{row['seed']}"
        if (row["task"], row["form"]) != (task, form) or found_in(folder) is not None:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        values = {name: row[name] for name in kinds if name in row}
        numbers = {"float": float, "int": int, "str": str}
        content = {name: numbers[kinds[name]](value) for name, value in values.items()} | {"name": folder.name}
        (folder / "outcome.json").write_text(json.dumps(content))


def collect(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the rows, with those of the trainings in the folders, and write them."""
    known = {(row["task"], row["form"], row["stabilizer"], row["seed"]) for row in rows}
    for task in TASKS:
        for form in FORMS:
            for path in sorted((PLACE / slug(task, form)).glob("*_seed_*/outcome.json")):
                name, _, seed = path.parent.name.rpartition("_seed_")
                outcome = found_in(path.parent)
                if outcome is None or (task, form, name, seed) in known:
                    continue
                change = (path.parents[1] / "configs" / f"{name}.yaml").read_text()
                left_out = name != BASE and "callbacks:" in change  # in place of callbacks+
                row = {"task": task, "form": form, "stabilizer": name, "left_out": left_out, "seed": seed}
                kept = {key: value for key, value in asdict(outcome).items() if key not in ("name", "checkpoint")}
                rows.append({key: str(value) for key, value in {**row, **kept, "torch": torch.__version__}.items()})
    rows.sort(key=lambda row: (list(TASKS).index(row["task"]), row["form"], row["stabilizer"], int(row["seed"])))
    if rows:
        OUT.parent.mkdir(parents=True, exist_ok=True)
        with open(OUT, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return rows


def effects_in(rows: Sequence[dict[str, str]], task: str, form: str) -> list[Effect]:
    """Return the effects of a base from the rows of its trainings."""
    own: dict[str, dict[int, Outcome]] = {}
    for row in rows:
        if (row["task"], row["form"]) == (task, form):
            outcome = Outcome(
                row["stabilizer"], float(row["score"]), row["verdict"], int(row["batches"]), float(row["seconds"]),
                float(row["memory"]), "", row["error"],
            )  # fmt: skip
            own.setdefault(row["stabilizer"], {})[int(row["seed"])] = outcome
    base = own.pop(BASE, {})
    left_out = [row["stabilizer"] for row in rows if (row["task"], row["form"]) == (task, form)
                and row["left_out"] == "True"]  # fmt: skip
    seeds = sorted(base)
    others = {name: [found[seed] for seed in seeds if seed in found] for name, found in own.items()}
    return effects_of([base[seed] for seed in seeds], others, left_out) if base else []


def report(rows: Sequence[dict[str, str]]) -> None:
    """Print the tables, and save the picture and the effects of all bases."""
    panels: dict[str, Sequence[Effect]] = {}
    for task in TASKS:
        for form in FORMS:
            effects = effects_in(rows, task, form)
            if effects:
                scores = [float(row["score"]) for row in rows
                          if (row["task"], row["form"], row["stabilizer"]) == (task, form, BASE)]  # fmt: skip
                title = f"{task}, {form}: {sum(scores) / len(scores):.2f}"
                panels[title] = effects
                print(f"\n{title}, {len(scores)} seeds\n\n{markdown(effects)}")
    if panels:
        draw_effects(panels, OUT.with_suffix(".png"))
        with open(OUT.with_name("shelf_effects.csv"), "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            names = [one.name for one in fields(Effect) if one.name != "note"]
            writer.writerow(["base", *names])
            for title, effects in panels.items():
                cells = ([getattr(one, name) for name in names] for one in effects if one.verdict != FAILS)
                writer.writerows([title, *(f"{x:.4g}" if isinstance(x, float) else x for x in row)] for row in cells)


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS), metavar="TASK")
    made.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS), metavar="FORM")
    made.add_argument("--stabilizers", default="all", help="names with commas; default all")
    made.add_argument("--seeds", type=at_least_one, default=3)
    made.add_argument("--jobs", type=at_least_one, default=1)
    made.add_argument("--pictures", metavar="PATH", help="CIFAR-10 as pictures, in place of the published files")
    made.add_argument("--collect", action="store_true", help="train nothing")
    made.add_argument("--quick", action="store_true", help="two batches of R1Penalty on the ring")
    options = made.parse_args()
    if options.quick:
        fit = [*ring("plain", None), "--trainer.max_steps=2"]
        ablate(fit, "R1Penalty", seeds=1, out=str(PLACE / "quick"))
        return
    rows = rows_of(OUT)
    for task in () if options.collect else options.tasks:
        for form in options.forms:
            restore(rows, task, form)
            out = str(PLACE / slug(task, form))
            ablate(TASKS[task](form, options.pictures), options.stabilizers, options.seeds, options.jobs, out=out)
            rows = collect(rows)
    report(collect(rows))


if __name__ == "__main__":
    import os

    os.chdir(HOME)
    main()
