"""Random numbers from seeds: one mixing function, one way to seed a place of a run, one to seed a block of code."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_PRIMES = (11400714785074694791, 14029467366897019727, 2870177450012600261)  # the 1st, 2nd and 5th of xxHash64
_WORD = 2**64 - 1


def mix(*numbers: int) -> int:
    """Mix integers into one seed in [0, 2⁶³), the same on every machine and in every version of Python.

    The rounds are those of xxHash64 over the integers modulo 2⁶¹ − 1, which is how CPython 3.8 to 3.14 hash a tuple of
    integers on a 64-bit machine: seeds of earlier runs stay what they were.

    Reference:
        Collet, xxHash, 2012, https://xxhash.com.
    """
    first, second, fifth = _PRIMES
    mixed = fifth
    for number in numbers:
        lane = abs(number) % (2**61 - 1)
        lane = -lane if number < 0 else lane
        lane = -2 if lane == -1 else lane
        mixed = (mixed + lane * second) & _WORD
        mixed = ((mixed << 31) | (mixed >> 33)) & _WORD
        mixed = (mixed * first) & _WORD
    mixed = (mixed + (len(numbers) ^ fifth ^ 3527539)) & _WORD
    return (1546275796 if mixed == _WORD else mixed) % 2**63


def seed_from(*place: int) -> None:
    """Seed torch's default generators, CUDA's included where it is in use, from a place such as (seed, rank, batch)."""
    seed = mix(*place)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed takes 200 times as long
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(seed)


@contextmanager
def seeded(seed: int | None, libraries: bool = False) -> Iterator[None]:
    """Draw torch's random numbers from `seed` inside the block, and restore the generators' states afterwards.

    Args:
        seed: a whole number; None leaves the generators alone.
        libraries: whether to seed and restore Python's and NumPy's generators too.
    """
    if seed is None:
        yield
        return
    state = torch.default_generator.get_state()
    on_devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    others = (random.getstate(), np.random.get_state()) if libraries else None
    torch.default_generator.manual_seed(seed)
    if on_devices:
        torch.cuda.manual_seed_all(seed)
    if libraries:
        random.seed(seed)
        np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        torch.default_generator.set_state(state)
        if on_devices:
            torch.cuda.set_rng_state_all(on_devices)
        if others:
            random.setstate(others[0])
            np.random.set_state(others[1])
