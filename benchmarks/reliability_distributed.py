"""Several processes: train every model and stabilizer in 2 and 4 of them, and in one process on the whole batch.

    python benchmarks/reliability_distributed.py            # the table, about two minutes on two cores
    python benchmarks/reliability_distributed.py --cost     # the cost of a step, beside find_unused_parameters of DDP

Each set-up is trained twice: with separate random numbers in every process (weights, buffers and averages must be
bitwise identical, latents must differ), and with the random numbers of the whole batch divided among the processes (the
weights must be those of one process).
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

from helpers import small_gan  # noqa: E402
from process_group import run_in_processes  # noqa: E402
from setups import MODELS, NORMED, PER_PROCESS, STABILIZERS, parameters_of, state_of, train  # noqa: E402

from lightning_gans import DCGAN, distributed  # noqa: E402

WORLDS = (2, 4)
Row = tuple[str, int, int, float]


def main() -> list[Row]:
    """Print the table; return rows of (what, tried, passed, seconds)."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    per_process = {kind.__name__ for kind in PER_PROCESS}
    exact = [name for name in [*MODELS, *STABILIZERS] if name not in per_process]
    whole = {name: end for name, (end, _) in _train(exact, shared=True).items()}
    rows = []
    for world in WORLDS:
        kinds = {"models": [*MODELS, *NORMED], "stabilizers": list(STABILIZERS)}
        for kind, names in kinds.items():
            began = time.perf_counter()
            answers = run_in_processes(world, _train, names, False, seconds=500)
            passed = [name for name in names if _identical([answer[name] for answer in answers])]
            rows.append(
                (f"{kind}, {world} processes: bitwise identical, latents differ", len(names), len(passed), began)
            )
            _show(rows, set(names) - set(passed))
            began, names = time.perf_counter(), [name for name in names if name in whole]
            found = run_in_processes(world, _train, names, True, seconds=500)[0]
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


class _FirstSamples(Callback):
    """The first samples of the generator."""

    def on_fit_start(self, trainer, pl_module):
        self.samples = []
        pl_module.generator.register_forward_hook(lambda module, inputs, x: self.samples.append(x.detach()))


def _train(names, shared):
    found = {}
    for name in names:
        first = _FirstSamples()
        gan, _ = train(name, shared_draws=shared, callbacks=[first])
        end = parameters_of(gan) if shared else state_of(gan)
        found[name] = end, first.samples[0].flatten().double().numpy()[-8:]
    return found


def _identical(answers):
    (end, _), *others = answers
    latents = {tuple(samples) for _, samples in answers}
    return all(np.array_equal(end, other) for other, _ in others) and len(latents) == len(answers)


# ---------------------------------------------------------------- cost of a step


def cost(repeats: int = 7) -> None:
    """Print milliseconds per step in two processes: wall-clock time, and CPU time of one of them, which varies less.

    The two variants are interleaved. Printed are the fastest round of each, since other programs only add time, and the
    ratios of the rounds.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    for name, big, steps in (("MLPs of width 8", False, 150), ("DCGAN 32 x 32, width 16", True, 25)):
        rounds = [
            (run_in_processes(2, _time, False, big, steps)[0], run_in_processes(2, _time, True, big, steps)[0])
            for _ in range(repeats)
        ]
        assert all(theirs["weights"] == ours["weights"] for theirs, ours in rounds), "the weights differ"
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
    gan = DCGAN(image_shape=(1, 32, 32), width=16) if big else small_gan()
    batch = torch.rand(32, *gan.generator.sample_shape)
    if not ours:  # DDP averages the gradients itself
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
