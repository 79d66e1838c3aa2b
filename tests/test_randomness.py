"""Seeds: mixed alike everywhere, drawn from for a place of a run or for a block of code."""

import random
import sys

import numpy as np
import pytest
import torch

from lightning_gans.randomness import mix, seed_from, seeded


def test_mixing_is_what_it_was():
    assert mix() == 5740354900026072187
    assert mix(0, 0, 1) == mix(0, 0, 1) != mix(0, 1, 0)
    assert [mix(7, 0, 3), mix(-1), mix(2**64 - 1, 5)] == [5349321046320395537, 8078679518589016365, 473526477677212794]


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="another Python hashes tuples in another way")
def test_mixing_is_the_hash_of_a_tuple():
    draw = random.Random(0)
    for _ in range(1000):
        numbers = tuple(draw.choice([draw.randint(-3, 3), draw.getrandbits(64)]) for _ in range(draw.randint(0, 4)))
        assert mix(*numbers) == hash(numbers) % 2**63


def test_a_place_gives_its_own_numbers():
    drawn = []
    for place in ((0, 0, 1), (0, 0, 2), (0, 1, 1), (1, 0, 1), (0, 0, 1)):
        seed_from(*place)
        drawn.append(torch.rand(4).tolist())
    assert drawn[0] == drawn[-1]
    assert len({tuple(one) for one in drawn}) == 4


@pytest.mark.parametrize("libraries", [False, True])
def test_a_block_draws_from_its_seed_and_leaves_no_trace(libraries):
    def draw():
        return torch.rand(1).item(), random.random(), np.random.rand()

    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    expected = draw()
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    with seeded(3, libraries):
        first = draw()
    if libraries:
        assert draw() == expected
        with seeded(3, libraries):
            assert draw() == first
    else:
        assert draw()[0] == expected[0]
        with seeded(3, libraries):
            assert draw()[0] == first[0]
    assert first[0] != expected[0]


def test_a_block_that_fails_leaves_no_trace():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    with pytest.raises(RuntimeError), seeded(3):
        raise RuntimeError
    assert torch.rand(1) == expected


def test_no_seed_draws_on():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    with seeded(None):
        assert torch.rand(1) == expected
