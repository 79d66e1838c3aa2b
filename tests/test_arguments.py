"""Arguments out of range: one phrasing of the message, and what is in range."""

import math

import numpy as np
import pytest

from lightning_gans import arguments
from lightning_gans.arguments import at_least, fraction, one_of, positive, whole
from lightning_gans.schedules import Linear


class Owner:
    def __init__(self, rate=0.25, size=8, limit=None, needed="x"):
        pass


class Heir(Owner):
    def __init__(self, own=3, **others):
        pass


OWNER = Owner()


@pytest.mark.parametrize(
    ("check", "args", "given", "message"),
    [
        (at_least, [OWNER, 0], {"rate": -1}, "Owner(rate=-1): expected a number of at least 0, such as 0.25."),
        (at_least, [OWNER, 0], {"rate": math.inf}, "Owner(rate=inf): expected a number of at least 0, such as 0.25."),
        (at_least, [OWNER, 0], {"rate": math.nan}, "Owner(rate=nan): expected a number of at least 0, such as 0.25."),
        (at_least, [OWNER, 0], {"rate": "a"}, "Owner(rate='a'): expected a number of at least 0, such as 0.25."),
        (at_least, [OWNER, 0], {"needed": None}, "Owner(needed=None): expected a number of at least 0, such as 0."),
        (at_least, ["Other", 2], {"rate": 1}, "Other(rate=1): expected a number of at least 2, such as 2."),
        (positive, [OWNER], {"rate": 0}, "Owner(rate=0): expected a finite number above 0, such as 0.25."),
        (positive, [OWNER], {"rate": None}, "Owner(rate=None): expected a finite number above 0, such as 0.25."),
        (positive, [OWNER], {"limit": 0}, "Owner(limit=0): expected a finite number above 0, such as 1.0."),
        (positive, [Heir()], {"rate": math.inf}, "Heir(rate=inf): expected a finite number above 0, such as 0.25."),
        (fraction, [OWNER], {"rate": 1.01}, "Owner(rate=1.01): expected a number in [0, 1], such as 0.25."),
        (fraction, [OWNER], {"rate": math.nan}, "Owner(rate=nan): expected a number in [0, 1], such as 0.25."),
        (fraction, [OWNER], {"size": -0.1}, "Owner(size=-0.1): expected a number in [0, 1], such as 0.5."),
        (whole, [OWNER, 1], {"size": 0}, "Owner(size=0): expected a whole number of at least 1, such as 8."),
        (whole, [OWNER, 1], {"size": 1.5}, "Owner(size=1.5): expected a whole number of at least 1, such as 8."),
        (whole, [OWNER, 1], {"size": True}, "Owner(size=True): expected a whole number of at least 1, such as 8."),
        (whole, [OWNER, 9], {"size": 8}, "Owner(size=8): expected a whole number of at least 9, such as 9."),
        (whole, [Heir(), 1], {"own": 0}, "Heir(own=0): expected a whole number of at least 1, such as 3."),
        (one_of, [OWNER, ("a", None)], {"needed": "b"}, "Owner(needed='b'): expected one of a, None."),
    ],
)
def test_a_value_out_of_range_is_refused_in_one_phrasing(check, args, given, message):
    with pytest.raises(ValueError) as refused:
        check(*args, **given)
    assert str(refused.value) == message


def test_a_fraction_may_exclude_one():
    fraction(OWNER, include_one=False, rate=0.999)
    with pytest.raises(ValueError, match=r"^Owner\(rate=1\.0\): expected a number in \[0, 1\), such as 0\.25\.$"):
        fraction(OWNER, include_one=False, rate=1.0)


def test_a_fraction_may_exclude_zero():
    fraction(OWNER, include_zero=False, rate=1e-9, size=1)
    with pytest.raises(ValueError, match=r"^Owner\(rate=0\): expected a number in \(0, 1\], such as 0\.25\.$"):
        fraction(OWNER, include_zero=False, rate=0)


def test_values_in_range_pass():
    at_least(OWNER, 0, rate=0, size=np.float32(3.0))
    positive(OWNER, rate=1e-30)
    fraction(OWNER, rate=1, size=0)
    whole(OWNER, 0, size=0)
    one_of(OWNER, ("a", None), needed=None)


def test_the_first_of_several_values_out_of_range_is_named():
    with pytest.raises(ValueError, match=r"^Owner\(size=0\)"):
        positive(OWNER, rate=1, size=0, limit=-1)


@pytest.mark.parametrize("check", [arguments.positive, arguments.fraction])
def test_none_passes_where_it_is_the_default(check):
    check(OWNER, limit=None)
    with pytest.raises(ValueError, match=r"Owner\(size=None\)"):
        check(OWNER, size=None)


def test_a_schedule_is_checked_at_both_ends():
    at_least(OWNER, 0, rate=Linear(1.0, 0.0))
    for bad in (Linear(1.0, -0.1), Linear(-0.1, 1.0)):
        with pytest.raises(
            ValueError, match=r"^Owner\(rate=Linear\(.*\)\): expected a number of at least 0, such as 0\.25"
        ):
            at_least(OWNER, 0, rate=bad)


def test_a_schedule_is_not_a_whole_number():
    with pytest.raises(ValueError, match="expected a whole number of at least 1"):
        whole(OWNER, 1, size=Linear(8, 4))


class Derived(Owner):
    def __init__(self, limit=2.0, **kwargs):
        super().__init__(limit=limit, **kwargs)


def test_none_passes_where_a_base_class_takes_it():
    arguments.positive(Derived(), limit=None)
    with pytest.raises(ValueError, match=r"Derived\(limit=0\): expected a finite number above 0, such as 2.0\."):
        arguments.positive(Derived(), limit=0)
