"""How processes share samples: numbered batches, which are the same for every number of processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from lightning.pytorch import Trainer
from tqdm import tqdm

from lightning_gans.randomness import seed_from

_PARTS = 16  # samples come in at least so many batches, so that every process gets some


def shares(trainer: Trainer, num: int, batch_size: int) -> list[tuple[int, slice]]:
    """Return this process's batches of `num` samples, consecutive ones, each with its number among all batches."""
    size = max(1, min(batch_size, num // max(_PARTS, trainer.world_size)))
    parts = [(index, slice(start, min(start + size, num))) for index, start in enumerate(range(0, num, size))]
    own = torch.arange(len(parts)).tensor_split(trainer.world_size)[trainer.global_rank]
    return [parts[index] for index in own]


def seeded_batches(trainer: Trainer, parts: Sequence[tuple[int, slice]], seed: int, doing: str) -> Iterator[slice]:
    """Yield batches, before each of which torch is seeded from (seed, its number); slow work shows a progress bar."""
    silent = trainer.progress_bar_callback is None or not trainer.is_global_zero
    for index, part in tqdm(parts, desc=doing, delay=3, leave=False, disable=silent):
        seed_from(seed, index)
        yield part
