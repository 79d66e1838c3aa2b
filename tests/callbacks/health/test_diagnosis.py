"""The rules, each on readings that show its state and on readings that just do not."""

import math
from dataclasses import fields, replace
from itertools import chain

import pytest

from lightning_gans.callbacks.health.diagnosis import RULES, Signs, diagnose, lost_variety, progress
from lightning_gans.callbacks.health.readings import Reading
from lightning_gans.callbacks.health.states import (
    EXPLODING_GRADIENTS,
    HEALTHY,
    MODE_COLLAPSE,
    NON_FINITE,
    SOFT_COLLAPSE,
    VANISHING_GRADIENT,
    WEAK_DISCRIMINATOR,
)
from lightning_gans.callbacks.health.thresholds import Thresholds

GOOD = Reading(
    0,
    discriminator_loss=1.0,
    generator_loss=1.0,
    advantage=0.2,
    separation=0.7,
    margin=0.8,
    real_score=0.6,
    fake_score=0.4,
    generator_gradient=5.0,
    discriminator_gradient=2.0,
    real_slope=2.0,
    fake_slope=2.0,
    pull=0.6,
    diversity=0.98,
    sensitivity=0.98,
    energy=0.01,
    coverage=0.6,
    density=0.9,
    shift=0.0,
    movement=0.2,
)


def readings(count=10, **figures):
    return [replace(GOOD, batch=50 * number, **figures) for number in range(1, count + 1)]


def state(*rows, **thresholds):
    return diagnose(list(chain(*rows)), Thresholds(**thresholds))[0]


CASES = {
    "one mode": (MODE_COLLAPSE, {"diversity": 0.02, "energy": 0.5}),
    "three modes of eight": (MODE_COLLAPSE, {"diversity": 0.46, "energy": 0.26, "movement": 0.04}),
    "a generator that is too small": (
        MODE_COLLAPSE,
        {"diversity": 0.87, "energy": 0.085, "movement": 0.02, "coverage": 0.1},
    ),
    "a generator that does not change, beside the data": (
        MODE_COLLAPSE,
        {"energy": 0.054, "coverage": 0.08, "movement": 0.01},
    ),
    "oscillates": (SOFT_COLLAPSE, {"diversity": 0.2, "energy": 0.4, "shift": 0.8, "movement": 1.5}),
    "perfect D, saturated G": (
        VANISHING_GRADIENT,
        {"separation": 0.995, "pull": 0.01, "coverage": 0.0, "energy": 0.03},
    ),
    "perfect D, vanished loss": (VANISHING_GRADIENT, {"separation": 1.0, "advantage": 0.99, "energy": 0.4}),
    "G does not change, nearly saturated": (VANISHING_GRADIENT, {"pull": 0.15, "energy": 0.13, "movement": 0.01}),
    "fooled in most pairs": (WEAK_DISCRIMINATOR, {"separation": 0.2, "energy": 0.5}),
    "fooled": (WEAK_DISCRIMINATOR, {"separation": 0.0, "energy": 0.8}),
    "blind": (WEAK_DISCRIMINATOR, {"advantage": 0.0, "separation": 0.5, "energy": 0.4, "movement": 0.1}),
    "D explodes": (EXPLODING_GRADIENTS, {"discriminator_gradient": 500.0, "energy": 0.3}),
    "G explodes": (EXPLODING_GRADIENTS, {"generator_gradient": 500.0, "energy": 0.3}),
    "the loss explodes": (EXPLODING_GRADIENTS, {"discriminator_loss": -5000.0, "energy": 0.3}),
    "fooled by D's own steepness": (
        EXPLODING_GRADIENTS,
        {"discriminator_gradient": 5000.0, "fake_slope": 200.0, "separation": 0.1, "energy": 0.5},
    ),
    "inverted, and steep": (
        WEAK_DISCRIMINATOR,
        {"discriminator_gradient": 5000.0, "fake_slope": 200.0, "separation": 0.0, "energy": 0.5},
    ),
    "G runs away from a fixed D": (
        WEAK_DISCRIMINATOR,
        {"generator_gradient": 500.0, "discriminator_gradient": 5e5, "separation": 0.0, "energy": 0.8},
    ),
    "samples explode": (EXPLODING_GRADIENTS, {"diversity": 12.0, "energy": 0.78, "movement": 0.0}),
    "perfect D while the samples move": (
        SOFT_COLLAPSE,
        {"separation": 1.0, "advantage": 0.9, "pull": 0.9, "energy": 0.7, "shift": 0.9, "movement": 1.5},
    ),
    "nearly saturated, and little variety": (
        VANISHING_GRADIENT,
        {"pull": 0.15, "energy": 0.21, "diversity": 0.5, "movement": 0.01},
    ),
    "NaN": (NON_FINITE, {"finite": 0.0}),
}


@pytest.mark.parametrize(("expected", "figures"), CASES.values(), ids=CASES)
def test_a_state_is_named_by_its_signs(expected, figures):
    found, evidence = diagnose(readings(**figures))
    assert found == expected
    assert len(evidence) > 20 and "nan" not in evidence


def test_every_rule_has_a_case():
    found = set()
    for _, figures in CASES.values():
        signs = Signs(readings(**figures))
        found |= {next((rule for rule in RULES if rule(signs, Thresholds()) is not None), None)}
    assert found - {None} == set(RULES) - {progress, lost_variety}, "those two need earlier readings"


def test_good_readings_are_healthy():
    assert state(readings()) == HEALTHY
    assert "energy 0.01" in diagnose(readings())[1]


@pytest.mark.parametrize(
    "harmless",
    [
        {
            "separation": 1.0,
            "advantage": math.nan,
            "energy": 0.06,
        },  # an optimal critic is what Wasserstein's loss wants
        {"separation": 1.0, "advantage": 0.95, "energy": 0.005, "coverage": 0.5},
        {"discriminator_gradient": 150.0, "energy": 0.005},
        {"generator_gradient": 340.0, "energy": 0.0},
        {"shift": 0.5, "movement": 1.0, "energy": 0.1},
        {"diversity": 0.1, "energy": 0.05},
        {"movement": 0.0, "energy": 0.01},
        {"movement": 0.01, "energy": 0.054, "diversity": 0.85, "coverage": 0.49},
    ],
    ids=str,
)
def test_samples_near_the_data_are_healthy_in_spite_of_other_signs(harmless):
    assert state(readings(**harmless)) == HEALTHY


def test_it_is_too_early_before_ten_readings():
    assert state(readings(9, energy=0.5, diversity=0.0)) == HEALTHY
    assert state(readings(10, energy=0.5, diversity=0.0)) == MODE_COLLAPSE
    assert state(readings(1, finite=0.0)) == NON_FINITE, "NaN is never too early"


def test_a_gan_that_still_learns_is_healthy():
    before, collapsed = readings(5, energy=0.8, diversity=0.1), readings(5, energy=0.5, diversity=0.1)
    assert state(before, collapsed) == HEALTHY
    assert state(collapsed, before) == MODE_COLLAPSE
    assert state(before, readings(5, energy=0.75, diversity=0.1)) == MODE_COLLAPSE


def test_a_gan_that_goes_back_and_forth_does_not_learn():
    far, nearer = readings(5, energy=0.5, diversity=0.1), readings(5, energy=0.3, diversity=0.1)
    assert state(far, nearer) == HEALTHY
    assert state(nearer, far, nearer) == MODE_COLLAPSE, "it was as close before"
    assert state(nearer, far, far, far, far, far, nearer) == HEALTHY, "but so long ago that it counts as learning"


def test_progress_does_not_excuse_a_discriminator_that_always_prefers_fakes():
    far, less_far = (readings(5, energy=energy, separation=0.0) for energy in (0.55, 0.44))
    assert state(far, less_far) == WEAK_DISCRIMINATOR
    assert state(*([replace(row, separation=0.3) for row in rows] for rows in (far, less_far))) == HEALTHY


def test_lost_variety_is_a_collapse():
    had, has = readings(10, energy=0.05, diversity=1.0), readings(5, energy=0.13, diversity=0.74)
    assert state(had, has) == MODE_COLLAPSE
    assert "0.05 at best, 0.13 now" in diagnose([*had, *has])[1]
    assert state(has, has) == HEALTHY, "it never was closer"
    assert state(had, readings(5, energy=0.13, diversity=0.9)) == HEALTHY
    assert state(had, readings(5, energy=0.09, diversity=0.74)) == HEALTHY


def test_a_single_outlier_changes_nothing():
    rows = readings()
    rows[-1] = replace(rows[-1], diversity=0.0, energy=0.9)
    assert state(rows) == HEALTHY
    rows = readings(diversity=0.0, energy=0.5)
    rows[-2] = replace(rows[-2], diversity=1.0, energy=0.0)
    assert state(rows) == MODE_COLLAPSE


def test_readings_without_samples_are_left_out():
    blind = readings(6, energy=math.nan, diversity=math.nan)
    assert state(blind, readings(5, energy=0.5, diversity=0.0)) == MODE_COLLAPSE
    assert state(blind, readings(10, energy=0.05), readings(5, energy=0.13, diversity=0.74)) == MODE_COLLAPSE


def test_missing_figures_are_not_a_failure():
    assert state([Reading(50 * number) for number in range(1, 11)]) == HEALTHY
    without_discriminator = {
        field.name: math.nan
        for field in fields(Reading)
        if field.name.split("_")[0] in ("discriminator", "real", "fake", "pull", "separation", "advantage", "margin")
    }
    assert state(readings(**without_discriminator)) == HEALTHY
    assert state(readings(**without_discriminator, diversity=0.0, energy=0.5)) == MODE_COLLAPSE


NUDGES = {
    "poor_energy": ({"separation": 0.1, "energy": 0.14}, 0.1),
    "collapsed_energy": ({"diversity": 0.1, "energy": 0.19}, 0.1),
    "collapsed_diversity": ({"diversity": 0.75, "energy": 0.3}, 0.8),
    "shift": ({"shift": 0.25, "movement": 1.0, "energy": 0.18}, 0.2),
    "movement": ({"shift": 0.5, "movement": 0.2, "energy": 0.18}, 0.1),
    "lacking_energy": ({"energy": 0.045, "movement": 0.01, "coverage": 0.1}, 0.04),
    "standstill": ({"energy": 0.1, "movement": 0.06, "coverage": 0.1}, 0.1),
    "lacking_coverage": ({"energy": 0.1, "movement": 0.01, "coverage": 0.2}, 0.25),
    "inverted_separation": ({"separation": 0.07, "fake_slope": 200.0, "energy": 0.18}, 0.1),
    "fooled_separation": ({"separation": 0.4, "energy": 0.18}, 0.45),
    "blind_advantage": ({"advantage": 0.05, "energy": 0.3}, 0.1),
    "perfect_separation": ({"separation": 0.97, "advantage": 0.9, "energy": 0.1}, 0.96),
    "perfect_advantage": ({"separation": 0.99, "advantage": 0.8, "energy": 0.1}, 0.7),
    "saturated_pull": ({"separation": 0.99, "pull": 0.12, "energy": 0.1}, 0.15),
    "weak_pull": ({"energy": 0.13, "movement": 0.01, "pull": 0.3}, 0.35),
    "weak_pull_energy": ({"energy": 0.07, "movement": 0.01, "pull": 0.15}, 0.06),
    "missed_energy": ({"separation": 0.99, "advantage": 0.9, "energy": 0.07}, 0.06),
    "missed_coverage": ({"separation": 0.99, "advantage": 0.9, "energy": 0.01, "coverage": 0.08}, 0.1),
    "exploded_diversity": ({"diversity": 2.5, "energy": 0.3}, 2.0),
    "exploded_energy": ({"generator_gradient": 150.0, "energy": 0.07}, 0.06),
    "exploded_gradient": ({"generator_gradient": 90.0, "energy": 0.1}, 50.0),
}


@pytest.mark.parametrize("name", NUDGES)
def test_every_threshold_separates_healthy_from_failing(name):
    figures, stricter = NUDGES[name]
    assert state(readings(**figures)) == HEALTHY
    assert state(readings(**figures), **{name: stricter}) != HEALTHY


def test_the_thresholds_of_progress():
    slow = readings(5, energy=0.6, diversity=0.0), readings(5, energy=0.55, diversity=0.0)
    assert state(*slow) == MODE_COLLAPSE and state(*slow, progress=0.05) == HEALTHY
    slight = readings(5, energy=0.26, diversity=0.0), readings(5, energy=0.21, diversity=0.0)
    assert state(*slight) == HEALTHY and state(*slight, noise=0.06) == MODE_COLLAPSE


def test_the_thresholds_of_lost_variety():
    had, has = readings(10, energy=0.05), readings(5, energy=0.13, diversity=0.85)
    assert state(had, has) == HEALTHY and state(had, has, lost_diversity=0.9) == MODE_COLLAPSE
    had, has = readings(10, energy=0.04), readings(5, energy=0.09, diversity=0.74)
    assert state(had, has) == HEALTHY and state(had, has, lost_energy=0.08) == MODE_COLLAPSE
    had, has = readings(10, energy=0.07), readings(5, energy=0.13, diversity=0.74)
    assert state(had, has) == HEALTHY and state(had, has, lost_factor=1.5) == MODE_COLLAPSE


def test_every_threshold_is_tested():
    lost = {"lost_energy", "lost_diversity", "lost_factor"}
    assert {field.name for field in fields(Thresholds)} == {*NUDGES, "progress", "noise", *lost}
