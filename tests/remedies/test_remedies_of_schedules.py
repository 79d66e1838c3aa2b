"""Every remedy of a schedule works when it is typed."""

import pytest
from remedied import each_row

from lightning_gans.schedules import Exponential, Linear

pytestmark = pytest.mark.untrusted

REMEDIES = {
    "expected a start other than 0": (lambda: Exponential(-1.0, 1.0, 5), {"use Linear": lambda: Linear(-1.0, 1.0, 5)}),
    "expected a finite number, such as 0.1": (
        lambda: Linear(float("nan"), 1.0, 5),
        {"such as {}": lambda value: Linear(float(value), 1.0, 5)},
    ),
}


test_a_remedy_works = each_row(REMEDIES)
