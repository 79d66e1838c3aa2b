"""Schedules: their formulas, their ends, and arguments out of range."""

import math
from itertools import pairwise

import pytest

from lightning_gans.schedules import Cosine, Exponential, Linear, bounds, value

EVERY = [Linear, Cosine, Exponential]
every_schedule = pytest.mark.parametrize("kind", EVERY)


@every_schedule
@pytest.mark.parametrize(("start", "end"), [(2.0, 0.5), (0.5, 2.0), (-1.0, -3.0), (1.0, 0.0)])
def test_it_is_constant_then_monotonic_then_constant(kind, start, end):
    schedule = kind(start, end, updates=10, begin=5)
    values = [schedule.at(updates) for updates in range(30)]
    assert values[:6] == [start] * 6 and values[15:] == [end] * 15
    steps = [(after - before) * (end - start) for before, after in pairwise(values[5:16])]
    assert all(step > 0 for step in steps)


def test_ramps_equal_their_formulas():
    for updates in range(1, 8):
        u = updates / 8
        assert Linear(1.0, 3.0, 8).at(updates) == pytest.approx(1 + 2 * u)
        assert Cosine(1.0, 3.0, 8).at(updates) == pytest.approx(2 - math.cos(math.pi * u))
        assert Exponential(1.0, 3.0, 8).at(updates) == pytest.approx(3**u)
        assert Exponential(2.0, 0.0, 8).at(updates) == pytest.approx(2 * 0.01**u)
    factors = [Exponential(2.0, 0.02, 100).at(t + 1) / Exponential(2.0, 0.02, 100).at(t) for t in range(100)]
    assert max(factors) == pytest.approx(min(factors)) == pytest.approx(0.01 ** (1 / 100))


def test_a_number_is_a_constant_schedule():
    assert value(0.3, 0) == value(0.3, 10**6) == 0.3 and bounds(0.3) == (0.3, 0.3)
    assert value(Linear(1.0, 0.0, 4), 1) == 0.75 and bounds(Linear(0.1, 0.7)) == (0.1, 0.7)


@every_schedule
def test_schedules_compare_by_value_and_show_their_arguments(kind):
    assert kind(1.0) == kind(1.0, 0.0) != kind(1.0, 0.5)
    assert repr(kind(1.0, updates=5)) == f"{kind.__name__}(start=1.0, end=0.0, updates=5, begin=0)"
    assert Linear(1.0) != Cosine(1.0)


@every_schedule
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"updates": 0}, "(updates=0): expected a number of at least 1, such as 10000."),
        ({"updates": math.inf}, "(updates=inf): expected a number of at least 1, such as 10000."),
        ({"updates": math.nan}, "(updates=nan): expected a number of at least 1, such as 10000."),
        ({"begin": -1}, "(begin=-1): expected a number of at least 0, such as 0."),
        ({"start": math.nan}, "(start=nan): expected a finite number, such as 0.1."),
        ({"end": math.inf}, "(end=inf): expected a finite number, such as 0.1."),
    ],
)
def test_arguments_out_of_range_are_refused(kind, arguments, message):
    with pytest.raises(ValueError) as refused:
        kind(**{"start": 1.0, **arguments})
    assert str(refused.value) == kind.__name__ + message


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (1.0, -1.0)])
def test_an_exponential_cannot_cross_zero(start, end):
    with pytest.raises(ValueError, match="use Linear to cross 0"):
        Exponential(start, end)
