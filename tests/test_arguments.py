"""One phrasing for arguments out of range: owner, name and value, what was expected, an example."""

import math

import numpy as np
import pytest

from lightning_gans import arguments
from lightning_gans.schedules import Linear


class Owner:
    def __init__(self, rate=0.25, size=8, limit=None, needed="x"):
        pass


@pytest.mark.parametrize(
    ("check", "given", "message"),
    [
        (
            lambda x: arguments.at_least(Owner(), 0, rate=x),
            -1,
            "Owner(rate=-1): expected a number of at least 0, such as 0.25.",
        ),
        (
            lambda x: arguments.at_least("Other", 2, rate=x),
            1,
            "Other(rate=1): expected a number of at least 2, such as 2.",
        ),
        (
            lambda x: arguments.at_least(Owner(), 0, rate=x),
            math.inf,
            "Owner(rate=inf): expected a number of at least 0",
        ),
        (
            lambda x: arguments.at_least(Owner(), 0, rate=x),
            math.nan,
            "Owner(rate=nan): expected a number of at least 0",
        ),
        (
            lambda x: arguments.at_least(Owner(), 0, needed=x),
            None,
            "Owner(needed=None): expected a number of at least 0",
        ),
        (lambda x: arguments.at_least(Owner(), 0, rate=x), "a", "Owner(rate='a'): expected a number of at least 0"),
        (
            lambda x: arguments.positive(Owner(), rate=x),
            0,
            "Owner(rate=0): expected a finite number above 0, such as 0.25.",
        ),
        (
            lambda x: arguments.positive(Owner(), limit=x),
            0,
            "Owner(limit=0): expected a finite number above 0, such as 1.0.",
        ),
        (
            lambda x: arguments.fraction(Owner(), rate=x),
            1.01,
            "Owner(rate=1.01): expected a number in [0, 1], such as 0.25.",
        ),
        (
            lambda x: arguments.fraction(Owner(), include_one=False, rate=x),
            1.0,
            "Owner(rate=1.0): expected a number in [0, 1), such as 0.25.",
        ),
        (
            lambda x: arguments.whole(Owner(), 1, size=x),
            0,
            "Owner(size=0): expected a whole number of at least 1, such as 8.",
        ),
        (lambda x: arguments.whole(Owner(), 1, size=x), 1.5, "Owner(size=1.5): expected a whole number of at least 1"),
        (
            lambda x: arguments.whole(Owner(), 1, size=x),
            True,
            "Owner(size=True): expected a whole number of at least 1",
        ),
        (
            lambda x: arguments.whole(Owner(), 9, size=x),
            8,
            "Owner(size=8): expected a whole number of at least 9, such as 9.",
        ),
        (
            lambda x: arguments.one_of(Owner(), ("a", None), needed=x),
            "b",
            "Owner(needed='b'): expected one of a, None.",
        ),
    ],
)
def test_what_is_out_of_range_is_refused_in_one_phrasing(check, given, message):
    with pytest.raises(ValueError) as caught:
        check(given)
    assert str(caught.value).startswith(message)


def test_what_is_in_range_passes():
    arguments.at_least(Owner(), 0, rate=0, size=np.float32(3.0))
    arguments.positive(Owner(), rate=1e-30)
    arguments.fraction(Owner(), rate=1, size=0)
    arguments.fraction(Owner(), include_one=False, rate=0.999)
    arguments.whole(Owner(), 0, size=0)
    arguments.one_of(Owner(), ("a", None), needed=None)


def test_none_passes_where_it_is_the_default():
    arguments.positive(Owner(), limit=None)
    with pytest.raises(ValueError, match=r"Owner\(rate=None\)"):
        arguments.positive(Owner(), rate=None)


def test_a_schedule_is_checked_at_both_ends():
    arguments.at_least(Owner(), 0, rate=Linear(1.0, 0.0))
    for bad in (Linear(1.0, -0.1), Linear(-0.1, 1.0)):
        with pytest.raises(ValueError, match="expected a number of at least 0"):
            arguments.at_least(Owner(), 0, rate=bad)
