"""Several processes: every model and stabilizer in 2 and 4 of them, beside one process with the whole batch.

    python benchmarks/reliability_distributed.py            # the table, about two minutes on two cores
    python benchmarks/reliability_distributed.py --cost     # a step beside DDP with find_unused_parameters

Each game is played twice: with random numbers of its own in every process (weights, buffers and averages must be alike
to the bit, latents must differ), and with those of the whole batch shared among the processes (the weights must be
those of one process).
"""

import argparse
import contextlib
import logging
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer
from torch.utils.data import DataLoader

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/distributed")]

from conftest import _make_gan  # noqa: E402
from process_group import run_in_processes  # noqa: E402
from setups import MODELS, NORMED, PER_PROCESS, STABILIZERS, parameters_of, state_of, train  # noqa: E402

from lightning_gans import DCGAN, distributed  # noqa: E402

WORLDS = (2, 4)
Row = tuple[str, int, int, float]


def main() -> list[Row]:
    """Rows of (what, tried, passed, seconds)."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    partly = {kind.__name__ for kind in PER_PROCESS}
    exact = [name for name in [*MODELS, *STABILIZERS] if name not in partly]
    whole = {name: end for name, (end, _) in _play(exact, alike=True).items()}
    rows = []
    for world in WORLDS:
        kinds = {"models": [*MODELS, *NORMED], "stabilizers": list(STABILIZERS)}
        for kind, names in kinds.items():
            began = time.perf_counter()
            answers = run_in_processes(world, _play, names, False, seconds=500)
            passed = [name for name in names if _alike([answer[name] for answer in answers])]
            rows.append(
                (f"{kind}, {world} processes: alike to the bit, latents differ", len(names), len(passed), began)
            )
            _show(rows, set(names) - set(passed))
            began, names = time.perf_counter(), [name for name in names if name in whole]
            found = run_in_processes(world, _play, names, True, seconds=500)[0]
            passed = [name for name in names if np.abs(found[name][0] - whole[name]).max() <= 1e-6]
            farthest = max(np.abs(found[name][0] - whole[name]).max() for name in names)
            rows.append(
                (f"{kind}, {world} processes: the whole batch, within {farthest:.0e}", len(names), len(passed), began)
            )
            _show(rows, set(names) - set(passed))
    return rows


def _show(rows: list[Row], failed: set[str]) -> None:
    what, tried, passed, began = rows[-1]
    rows[-1] = (what, tried, passed, time.perf_counter() - began)
    print(f"{what:70s} {passed:3d} of {tried:3d} {rows[-1][3]:6.1f} s  {', '.join(sorted(failed))}", flush=True)


class _First(Callback):
    """What the generator made first."""

    def on_fit_start(self, trainer, pl_module):
        self.made = []
        pl_module.generator.register_forward_hook(lambda module, inputs, made: self.made.append(made.detach()))


def _play(names, alike):
    found = {}
    for name in names:
        first = _First()
        gan, _ = train(name, shared_draws=alike, callbacks=[first])
        end = parameters_of(gan) if alike else state_of(gan)
        found[name] = end, first.made[0].flatten().double().numpy()[-8:]
    return found


def _alike(answers):
    (end, _), *others = answers
    latents = {tuple(made) for _, made in answers}
    return all(np.array_equal(end, other) for other, _ in others) and len(latents) == len(answers)


# ---------------------------------------------------------------- what a step costs


def cost(repeats: int = 7) -> None:
    """Milliseconds of a step in two processes: by the clock, and of the processor in one of them, which is steadier.

    By turns; the fastest of the repeats, as whatever else runs only adds, and the ratios of the rounds.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    for name, big, steps in (("perceptrons of width 8", False, 150), ("DCGAN 32 x 32, width 16", True, 25)):
        rounds = [
            (run_in_processes(2, _time, False, big, steps)[0], run_in_processes(2, _time, True, big, steps)[0])
            for _ in range(repeats)
        ]
        assert all(theirs["weights"] == ours["weights"] for theirs, ours in rounds), "another game"
        for kind in ("processor", "clock"):
            ratios = sorted(ours[kind] / theirs[kind] for theirs, ours in rounds)
            theirs, ours = (min(one[index][kind] for one in rounds) for index in (0, 1))
            print(
                f"{name}, {kind}: find_unused_parameters {theirs:.2f} ms, one message {ours:.2f} ms, ratio "
                f"{ours / theirs:.2f}; of rounds {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
                flush=True,
            )


def _time(ours, big, steps):
    torch.manual_seed(0)
    gan = DCGAN(image_shape=(1, 32, 32), width=16) if big else _make_gan()
    batch = torch.rand(32, *gan.generator.sample_shape)
    if not ours:  # as DDP does it by itself
        distributed.synchronized = lambda network: contextlib.nullcontext()
    clock = _Clock()
    trainer = Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp" if ours else "ddp_find_unused_parameters_true",
        max_steps=steps,
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[clock],
    )
    trainer.fit(gan, DataLoader([batch] * steps, batch_size=None))
    wall, processor = np.median(1e3 * np.diff(clock.times, axis=0)[5:], axis=0)
    return {"clock": float(wall), "processor": float(processor), "weights": parameters_of(gan).tolist()}


class _Clock(Callback):
    def __init__(self):
        self.times = []

    def on_train_batch_start(self, *args):
        self.times.append((time.perf_counter(), time.process_time()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cost", action="store_true")
    cost() if parser.parse_args().cost else main()
