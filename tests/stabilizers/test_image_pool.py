"""The image pool against CycleGAN's rule, one fake after the other, and its statistics.

What it has in common with `ExperienceReplay` is tested there.
"""

import math

import pytest
import torch
from helpers import slow

from lightning_gans.stabilizers import ImagePool


@pytest.fixture
def gan(make_gan):
    return make_gan()


def show(pool, gan, batches, size=1):
    """What is shown of fakes numbered 0, 1, 2 …, batch by batch."""
    numbers = torch.arange(batches * size).view(batches, size, 1).float()
    return [number for fake in numbers for number in pool.on_fake_samples(gan, fake, None).flatten().int().tolist()]


def by_the_rule(size, probability, number, draw):
    pool, shown = [], []
    for fake in range(number):
        if len(pool) < size:
            pool.append(fake)
            shown.append(fake)
        elif draw.random() < probability:
            place = draw.randrange(size)
            shown.append(pool[place])
            pool[place] = fake
        else:
            shown.append(fake)
    return shown


def lateness(shown, first):
    late = torch.tensor([place - number for place, number in enumerate(shown)][first:]).float()
    return (late > 0).float().mean().item(), late[late > 0].mean().item(), late[late > 0].std().item()


@pytest.mark.slow
@pytest.mark.parametrize("probability", [0.5, slow(0.2)])
def test_one_at_a_time_it_has_the_statistics_of_the_rule(gan, probability):
    import random

    ours = show(ImagePool(50, probability), gan, 6000)
    rule = by_the_rule(50, probability, 60_000, random.Random(0))
    share, mean, spread = lateness(rule, 1000)
    assert ours[:50] == list(range(50)), "until it is full"
    assert lateness(ours, 1000) == (
        pytest.approx(share, abs=0.03),
        pytest.approx(mean, rel=0.15),
        pytest.approx(spread, rel=0.2),
    )
    assert mean == pytest.approx(50 / probability, rel=0.1), "size / (p · N) batches, as the documentation says"


@pytest.mark.parametrize("size", [16, 7])
def test_in_batches_each_fake_is_exchanged_with_the_probability(gan, size):
    shown = show(ImagePool(32, 0.3), gan, 1000, size)
    share, mean, _ = lateness(shown, 100 * size)
    assert share == pytest.approx(0.3, abs=0.02) and mean == pytest.approx(32 / 0.3, rel=0.15)


def test_no_fake_that_entered_the_full_pool_is_shown_twice(gan):
    shown = show(ImagePool(32, 0.5), gan, 200, 16)
    late = [number for number in shown if number >= 32]
    assert len(set(late)) == len(late)
    filled = [number for number in shown if number < 32]
    assert len(filled) <= 64 and len(set(filled)) == 32, "those that filled it are shown when they come and go"


def test_a_stored_fake_that_is_shown_is_replaced_by_the_new_one(gan):
    pool = ImagePool(8, 0.5)
    show(pool, gan, 1, 8)
    fake = torch.arange(100, 106).float().view(6, 1)
    shown = pool.on_fake_samples(gan, fake, None)
    after = pool.state_dict()["samples"].flatten().tolist()
    exchanged = [
        (old, new) for old, new in zip(shown.flatten().tolist(), fake.flatten().tolist(), strict=True) if old < 8
    ]
    assert exchanged and all(after[int(old)] == new for old, new in exchanged)
    assert sum(number >= 100 for number in after) == len(exchanged)


def test_places_are_uniform(gan):
    counts = torch.zeros(8)
    for _ in range(2000):
        pool = ImagePool(8, 0.5)
        show(pool, gan, 1, 8)
        for number in pool.on_fake_samples(gan, torch.full((4, 1), 99.0), None).flatten().int().tolist():
            counts[number if number < 8 else []] += 1
    assert (counts / 2000 - 2 / 8).abs().max() < 0.05


def test_with_probability_1_every_fake_is_late(gan):
    shown = show(ImagePool(8, 1.0), gan, 50, 4)
    assert all(number < place // 4 * 4 for place, number in enumerate(shown) if place >= 8)


def test_the_pool_keeps_the_labels_with_which_it_was_filled(gan):
    pool, labels = ImagePool(12, 0.5), torch.arange(12) % 3
    for batch in range(10):
        pool.on_fake_samples(gan, torch.full((12, 1), float(batch)), labels.flip(0) if batch else labels)
    assert pool.state_dict()["labels"].tolist() == labels.tolist()


@pytest.mark.parametrize("probability", [-0.1, 1.1, math.nan])
def test_a_probability_out_of_range_is_refused(probability):
    with pytest.raises(ValueError, match=rf"ImagePool\(probability={probability}\): expected a number in \[0, 1\]"):
        ImagePool(probability=probability)
