"""Train every model in every precision, and test that one overflow skips one step of one player.

    python benchmarks/reliability_precision.py

A run trains a small GAN on a few batches on the CPU. It passes if every player's weights have changed, are finite and
have the expected precision, and if new samples are finite. 16-mixed uses a real gradient scaler. In the last column one
gradient of each player overflows: only that step may be skipped, the scale must halve once, and the run must continue
to its end.
"""

from __future__ import annotations

import logging
import math
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from helpers import fixed_batches
from test_precision import MODELS, PRECISIONS, parameters_of, scale_of, scaled, trains_in

from lightning_gans import GAN

PLAYERS = ("generator", "discriminator")
Row = tuple[str, int, int, float]
SCALE = 2.0**8


def fit(gan, number, **settings):
    """Fit a GAN on a few batches, as the tests do."""
    quiet = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    batches = fixed_batches(number, gan.generator.sample_shape, num_classes=gan.generator.num_classes)
    trainer = Trainer(**quiet, enable_model_summary=False, max_epochs=1, **settings)
    trainer.fit(gan, DataLoader(batches, batch_size=None))
    return trainer


def players_of(gan: GAN) -> list[str]:
    """Return the names of the players with trainable parameters."""
    return [name for name in PLAYERS if any(one.requires_grad for one in getattr(gan, name).parameters())]


class OverflowInBatch4(Callback):
    """Makes a player's gradient overflow in batch 4, and keeps both players' weights after each batch."""

    def __init__(self, player: str):
        self.player = player
        self.kept: list[dict[str, torch.Tensor]] = []

    def on_fit_start(self, trainer, pl_module):
        parameter = next(one for one in getattr(pl_module, self.player).parameters() if one.requires_grad)
        parameter.register_hook(lambda gradient: gradient * (math.inf if pl_module.batches_seen == 4 else 1))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.kept.append({name: parameters_of(getattr(pl_module, name)) for name in players_of(pl_module)})


def survives(make: Callable[[], GAN]) -> bool:
    """Whether an overflow of each player skips that step and nothing else."""
    torch.manual_seed(0)
    gan = make()
    players = players_of(gan)
    for player in players:
        torch.manual_seed(0)
        gan, overflow = make(), OverflowInBatch4(player)
        trainer = fit(gan, 8, callbacks=[overflow], **scaled(SCALE))
        before, after, end = overflow.kept[2], overflow.kept[3], overflow.kept[-1]
        skipped = [name for name in players if torch.equal(before[name], after[name])]
        continued = not any(torch.equal(after[name], end[name]) for name in players)
        halved, finite = scale_of(trainer) == SCALE / 2, bool(parameters_of(gan).isfinite().all())
        if skipped != [player] or not continued or not halved or not finite:
            return False
    return True


def rows() -> list[Row]:
    """Run all of them and print the table; return (what, tried, passed, seconds) for each precision."""
    found: dict[str, list[bool]] = {name: [] for name in (*PRECISIONS, "an overflow")}
    seconds = dict.fromkeys(found, 0.0)
    print(f"| model | {' | '.join(found)} |\n|---{'|---' * len(found)}|")
    for model, make in MODELS.items():
        cells = []
        for name in found:
            began = time.monotonic()
            torch.manual_seed(0)
            passed = trains_in(name, fit, make()) if name in PRECISIONS else survives(make)
            seconds[name] += time.monotonic() - began
            found[name].append(passed)
            cells.append("yes" if passed else "NO")
        print(f"| {model} | {' | '.join(cells)} |", flush=True)
    return [
        (f"models in {name}" if name in PRECISIONS else f"models, {name}", len(passed), sum(passed), seconds[name])
        for name, passed in found.items()
    ]


def main() -> list[Row]:
    """Print the tables; return the rows for reliability.py."""
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    found = rows()
    print("\n| what | tried | passed | seconds |\n|---|---|---|---|")
    for what, tried, passed, seconds in found:
        print(f"| {what} | {tried} | {passed} | {seconds:.1f} |")
    return found


if __name__ == "__main__":
    main()
