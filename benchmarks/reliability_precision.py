"""Every model in every precision: does it train, and does one overflow cost one step of one player?

    python benchmarks/reliability_precision.py

A run is a few batches of a small game on the CPU. It passes when every player's weights have moved and are finite, in
the precision that they should have, and so are fresh samples. 16-mixed has a real gradient scaler. The last column
makes one gradient of each player overflow in turn: that step alone is left out, the scale halves once, and the run goes
on to the end.
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

from conftest import _batches
from test_precision import MODELS, PRECISIONS, learned, play, scale_of, scaled

from lightning_gans import GAN

PLAYERS = ("generator", "discriminator")
Row = tuple[str, int, int, float]
SCALE = 2.0**8


def fit(gan, number, **settings):
    """Fit a game on a few batches, as the tests do."""
    quiet = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    batches = _batches(number, gan.generator.sample_shape, num_classes=gan.generator.num_classes)
    trainer = Trainer(**quiet, enable_model_summary=False, max_epochs=1, **settings)
    trainer.fit(gan, DataLoader(batches, batch_size=None))
    return trainer


def players_of(gan: GAN) -> list[str]:
    """Who learns."""
    return [name for name in PLAYERS if any(one.requires_grad for one in getattr(gan, name).parameters())]


class Spoil(Callback):
    """Lets a player's gradient overflow in batch 4, and keeps both players' weights after each batch."""

    def __init__(self, player: str):
        self.player = player
        self.kept: list[dict[str, torch.Tensor]] = []

    def on_fit_start(self, trainer, pl_module):
        spoilt = next(one for one in getattr(pl_module, self.player).parameters() if one.requires_grad)
        spoilt.register_hook(lambda gradient: gradient * (math.inf if pl_module.watch.batch == 4 else 1))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.kept.append({name: learned(getattr(pl_module, name)) for name in players_of(pl_module)})


def survives(make: Callable[[], GAN]) -> bool:
    """Whether an overflow of each player leaves out that step and nothing else."""
    torch.manual_seed(0)
    gan = make()
    players = players_of(gan)
    for player in players:
        torch.manual_seed(0)
        gan, spoil = make(), Spoil(player)
        trainer = fit(gan, 8, callbacks=[spoil], **scaled(SCALE))
        before, after, end = spoil.kept[2], spoil.kept[3], spoil.kept[-1]
        stood = [name for name in players if torch.equal(before[name], after[name])]
        on = not any(torch.equal(after[name], end[name]) for name in players)
        if stood != [player] or not on or scale_of(trainer) != SCALE / 2 or not learned(gan).isfinite().all():
            return False
    return True


def rows() -> list[Row]:
    """Plays all of them and prints the table; for each precision what was tried, how often, passed, in seconds."""
    found: dict[str, list[bool]] = {name: [] for name in (*PRECISIONS, "an overflow")}
    seconds = dict.fromkeys(found, 0.0)
    print(f"| model | {' | '.join(found)} |\n|---{'|---' * len(found)}|")
    for model, make in MODELS.items():
        cells = []
        for name in found:
            began = time.monotonic()
            torch.manual_seed(0)
            passed = play(fit, make(), name) if name in PRECISIONS else survives(make)
            seconds[name] += time.monotonic() - began
            found[name].append(passed)
            cells.append("yes" if passed else "NO")
        print(f"| {model} | {' | '.join(cells)} |", flush=True)
    return [
        (f"models in {name}" if name in PRECISIONS else f"models, {name}", len(passed), sum(passed), seconds[name])
        for name, passed in found.items()
    ]


def main() -> list[Row]:
    """The rows for the table of reliability."""
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
