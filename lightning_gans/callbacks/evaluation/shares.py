"""How processes share samples: numbered batches, which are the same however many processes there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from lightning.pytorch import Trainer
from tqdm import tqdm

_PARTS = 16  # samples come in at least so many batches, that there are some for every process


def shares(trainer: Trainer, num: int, batch_size: int) -> list[tuple[int, slice]]:
    """This process's batches of `num` samples, one run of them, each with its number among all batches."""
    size = max(1, min(batch_size, num // max(_PARTS, trainer.world_size)))
    parts = [(index, slice(start, min(start + size, num))) for index, start in enumerate(range(0, num, size))]
    own = torch.arange(len(parts)).tensor_split(trainer.world_size)[trainer.global_rank]
    return [parts[index] for index in own]


def walk(trainer: Trainer, parts: Sequence[tuple[int, slice]], seed: int, doing: str) -> Iterator[slice]:
    """Batches one after the other, each with random numbers of its own; a bar shows when it takes a while."""
    silent = trainer.progress_bar_callback is None or not trainer.is_global_zero
    for index, part in tqdm(parts, desc=doing, delay=3, leave=False, disable=silent):
        own = hash((seed, index)) % 2**63
        torch.default_generator.manual_seed(own)  # torch.manual_seed takes 200 times as long
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed(own)
        yield part
