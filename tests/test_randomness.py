"""Seeds: mixed the same way everywhere, used for a place of a run or for a block of code."""

import random
import sys

import numpy as np
import pytest
import torch

from lightning_gans.randomness import mix, seed_from, seeded


def test_mixing_gives_the_numbers_of_earlier_versions():
    assert mix() == 5740354900026072187
    assert [mix(7, 0, 3), mix(-1), mix(2**64 - 1, 5)] == [5349321046320395537, 8078679518589016365, 473526477677212794]


def test_mixing_depends_on_the_order():
    assert mix(0, 0, 1) == mix(0, 0, 1) != mix(0, 1, 0)


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="other Pythons hash tuples differently")
def test_mixing_equals_the_hash_of_a_tuple():
    draw = random.Random(0)
    for _ in range(1000):
        numbers = tuple(draw.choice([draw.randint(-3, 3), draw.getrandbits(64)]) for _ in range(draw.randint(0, 4)))
        assert mix(*numbers) == hash(numbers) % 2**63


def test_every_place_has_random_numbers_of_its_own():
    drawn = []
    for place in ((0, 0, 1), (0, 0, 2), (0, 1, 1), (1, 0, 1), (0, 0, 1)):
        seed_from(*place)
        drawn.append(torch.rand(4).tolist())
    assert drawn[0] == drawn[-1]
    assert len({tuple(one) for one in drawn}) == 4


def draw():
    return [torch.rand(1).item(), random.random(), np.random.rand()]


def seed_all(seed):
    torch.manual_seed(seed), random.seed(seed), np.random.seed(seed)


@pytest.mark.parametrize(("libraries", "affected"), [(False, 1), (True, 3)])
def test_a_block_draws_from_its_seed_and_restores_the_generators(libraries, affected):
    """The block affects torch alone, or with `libraries` torch, Python and NumPy."""
    seed_all(1)
    outside = draw()
    seed_all(1)
    with seeded(3, libraries):
        inside = draw()
    assert draw()[:affected] == outside[:affected]
    with seeded(3, libraries):
        assert draw()[:affected] == inside[:affected]
    assert not set(inside[:affected]) & set(outside)


def test_a_block_without_libraries_leaves_python_and_numpy_alone():
    seed_all(1)
    outside = draw()
    seed_all(1)
    with seeded(3):
        assert draw()[1:] == outside[1:]


def test_the_generators_are_restored_after_an_error():
    seed_all(1)
    outside = draw()
    seed_all(1)
    with pytest.raises(RuntimeError), seeded(3, libraries=True):
        draw()
        raise RuntimeError
    assert draw() == outside


def test_without_a_seed_nothing_is_seeded_or_restored():
    torch.manual_seed(1)
    first, second = torch.rand(1), torch.rand(1)
    torch.manual_seed(1)
    with seeded(None):
        assert torch.rand(1) == first
    assert torch.rand(1) == second
