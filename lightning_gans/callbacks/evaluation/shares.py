"""How processes share samples: numbered batches, which are the same for every number of processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from lightning.pytorch import Trainer
from tqdm import tqdm

from lightning_gans.callbacks.stopping import end_if_signalled
from lightning_gans.randomness import seed_from

_PARTS = 16  # samples come in at least so many batches, so that every process gets some


def shares(trainer: Trainer, num: int, batch_size: int) -> list[tuple[int, slice]]:
    """Return this process's batches of `num` samples, consecutive ones, each with its number among all batches."""
    size = max(1, min(batch_size, num // max(_PARTS, trainer.world_size)))
    parts = [(index, slice(start, min(start + size, num))) for index, start in enumerate(range(0, num, size))]
    own = torch.arange(len(parts)).tensor_split(trainer.world_size)[trainer.global_rank]
    return [parts[index] for index in own]


def seeded_batches(trainer: Trainer, parts: Sequence[tuple[int, slice]], seed: int, doing: str) -> Iterator[slice]:
    """Yield batches, before each of which torch is seeded from (seed, its number); slow work shows a progress bar.

    Ctrl-C and SIGTERM end the run between two batches, in all processes together: each must take all of its batches.
    """
    silent = trainer.progress_bar_callback is None or not trainer.is_global_zero
    rounds = trainer.strategy.broadcast(len(parts))  # no process has more of them than the first
    for number in tqdm(range(rounds), desc=doing, delay=3, leave=False, disable=silent):
        end_if_signalled(trainer)
        if number < len(parts):
            index, part = parts[number]
            seed_from(seed, index)
            yield part
