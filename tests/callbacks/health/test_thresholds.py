"""Every threshold changes which readings are a failure."""

from dataclasses import fields

import pytest
from test_diagnosis import FALLING, LONG, RISING, readings, state

from lightning_gans.callbacks.health.states import HEALTHY, MODE_COLLAPSE
from lightning_gans.callbacks.health.thresholds import Thresholds

NUDGES = {
    "poor_energy": ({"separation": 0.1, "energy": 0.14}, 0.1),
    "collapsed_energy": ({"diversity": 0.5, "energy": 0.19}, 0.1),
    "collapsed_diversity": ({"diversity": 0.75, "energy": 0.3}, 0.8),
    "shift": ({"shift": 0.25, "movement": 1.0, "energy": 0.18}, 0.2),
    "movement": ({"shift": 0.5, "movement": 0.2, "energy": 0.18}, 0.1),
    "standstill": ({"energy": 0.1, "movement": 0.06, "pull": 0.2}, 0.1),
    "inverted_separation": ({"separation": 0.07, "fake_slope": 200.0, "energy": 0.18}, 0.1),
    "fooled_separation": ({"separation": 0.4, "energy": 0.18}, 0.45),
    "blind_advantage": ({"advantage": 0.05, "energy": 0.3}, 0.1),
    "perfect_separation": ({"separation": 0.97, "advantage": 0.9, "energy": 0.1}, 0.96),
    "perfect_advantage": ({"separation": 0.99, "advantage": 0.8, "energy": 0.1}, 0.7),
    "saturated_pull": ({"separation": 0.99, "pull": 0.12, "energy": 0.1}, 0.15),
    "weak_pull": ({"energy": 0.13, "movement": 0.01, "pull": 0.3}, 0.35),
    "weak_pull_energy": ({"energy": 0.07, "movement": 0.01, "pull": 0.15}, 0.06),
    "missed_energy": ({"separation": 0.99, "advantage": 0.9, "energy": 0.07}, 0.06),
    "missed_coverage": ({"separation": 0.99, "advantage": 0.9, "energy": 0.01, "coverage": 0.5}, 0.6),
    "exploded_diversity": ({"diversity": 2.5, "energy": 0.3}, 2.0),
    "exploded_energy": ({"generator_gradient": 150.0, "energy": 0.07}, 0.06),
    "exploded_gradient": ({"generator_gradient": 90.0, "energy": 0.1}, 50.0),
    "memorised": ({"memorised": 0.4, "separation": 0.95}, 0.3),
    "memorised_separation": ({"memorised": 0.9, "separation": 0.85}, 0.8),
    "repeats": ({"repeats": 0.4}, 0.3),
    "little_diversity": ({"diversity": 0.4}, 0.5),
    "ignored": ({"sensitivity": 0.1, "coverage": 0.5}, 0.2),
    "ignored_coverage": ({"sensitivity": 0.01, "coverage": 0.7}, 0.8),
    "unlike": ({"coverage": 0.5, "density": 0.1}, 0.6),
    "smeared_width": ({"width": 2.0, "gap": 3.0}, 1.5),
    "smeared_gap": ({"width": 5.0, "gap": 1.3}, 1.2),
    "contrast": ({"contrast": 0.7}, 1.3),
    "blurred": ({"sharpness": 0.7}, 0.8),
    "noisy": ({"sharpness": 1.8, "coverage": 0.5}, 1.5),
    "noisy_coverage": ({"sharpness": 2.5, "coverage": 0.7}, 0.8),
    "imbalance": ({"imbalance": 0.2}, 0.1),
    "spread": ({"spread": 0.6}, 0.7),
    "least_spread": ({"least": 0.3}, 0.4),
    "agreement": ({"agreement": 0.6}, 0.7),
    "copies": ({"copies": 0.2}, 0.1),
    "stalled_distance": ({"distance": 0.03}, 0.02),
    "stalled_coverage": ({"coverage": 0.5, "density": 0.3}, 0.6),
    "stalled_density": ({"coverage": 0.2, "density": 0.7}, 0.8),
}


@pytest.mark.parametrize("name", NUDGES)
def test_every_threshold_separates_healthy_from_failing(name):
    figures, stricter = NUDGES[name]
    assert state(readings(LONG, **figures)) == HEALTHY
    assert state(readings(LONG, **figures), **{name: stricter}) != HEALTHY


def test_the_thresholds_of_progress():
    slow = readings(5, energy=0.6, diversity=0.1), readings(5, energy=0.55, diversity=0.1)
    assert state(*slow) == MODE_COLLAPSE and state(*slow, progress=0.05) == HEALTHY
    slight = readings(5, energy=0.26, diversity=0.1), readings(5, energy=0.21, diversity=0.1)
    assert state(*slight) == HEALTHY and state(*slight, energy_noise=0.06) == MODE_COLLAPSE


def test_the_thresholds_of_lost_variety():
    had, has = readings(10, energy=0.05), readings(5, energy=0.13, diversity=0.85)
    assert state(had, has) == HEALTHY and state(had, has, lost_diversity=0.9) == MODE_COLLAPSE
    had, has = readings(10, energy=0.04), readings(5, energy=0.09, diversity=0.74)
    assert state(had, has) == HEALTHY and state(had, has, lost_energy=0.08) == MODE_COLLAPSE
    had, has = readings(10, energy=0.07), readings(5, energy=0.13, diversity=0.74)
    assert state(had, has) == HEALTHY and state(had, has, lost_factor=1.5) == MODE_COLLAPSE


def test_every_threshold_is_tested():
    lost = {"lost_energy", "lost_diversity", "lost_factor"}
    noises = {f"{name}_noise" for name in ("energy", *FALLING, *RISING)}
    assert {field.name for field in fields(Thresholds)} == {
        *NUDGES,
        "little_variety",
        "constant",
        "progress",
        "outside",
        "unlike_density",
        *noises,
        *lost,
    }
