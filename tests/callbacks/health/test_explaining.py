"""Why a value that looks bad beside a healthy verdict is no failure."""

from dataclasses import replace

import pytest
from test_diagnosis import GOOD

from lightning_gans.callbacks.health.explaining import explain
from lightning_gans.callbacks.health.states import HEALTHY, MODE_COLLAPSE
from lightning_gans.callbacks.health.thresholds import Thresholds

T = Thresholds()


def said(*readings):
    return explain(HEALTHY, readings, T)


def test_nothing_is_said_where_nothing_looks_bad_or_the_verdict_is_a_failure():
    assert said(*[GOOD] * 12) == [] == explain(MODE_COLLAPSE, [replace(GOOD, separation=0.99)] * 12, T)
    assert explain(HEALTHY, [], T) == [] == said(*[GOOD] * 11, replace(GOOD, finite=0.0))


def test_it_says_when_it_is_too_early():
    assert said(*[GOOD] * 3) == ["It is too early to tell: the rules need 10 readings, and there are 3."]


def test_a_failure_that_is_silenced_by_progress_names_both():
    readings = [replace(GOOD, missing=3, energy=0.5 - 0.02 * place) for place in range(24)]
    (line,) = said(*readings)
    assert "It looks like *partial collapse*: about 3 of the data's 8 modes" in line
    assert "not reported while the samples come closer to the data (energy" in line


def test_a_failure_that_has_not_lasted_says_so():
    (line,) = said(*[replace(GOOD, missing=3)] * 12)
    assert line.endswith("not reported before as many readings in a row say so as the monitor's patience asks for.")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"separation": 0.99}, "D is right in 99% of pairs. That is a failure only where the samples miss the data"),
        ({"discriminator_gradient": 300.0}, "A gradient norm is 300. That is a failure only while the samples are far"),
        ({"diversity": 0.6}, "Samples vary 0.60 times as much as the data. Above 0.3 that is a failure only where"),
        ({"coverage": 0.45}, "Coverage is 0.45 of what real samples have. Below 0.25 it is a failure."),
        ({"shift": 0.5}, "The distribution of samples moves (0.50 of 1 from reading to reading)."),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_a_figure_that_looks_bad_alone_is_explained_with_its_limit(changed, words):
    (line,) = said(*[replace(GOOD, **changed)] * 12)
    assert line.startswith(words)
