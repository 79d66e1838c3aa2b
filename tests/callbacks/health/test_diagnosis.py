"""The rules, each on readings that show its state and on readings that just do not."""

import math
from dataclasses import fields, replace
from itertools import chain

import pytest

from lightning_gans.callbacks.health.diagnosis import OF_VARIETY, RULES, diagnose, lost_variety, progress
from lightning_gans.callbacks.health.readings import SURVEYED, Reading
from lightning_gans.callbacks.health.rules_of_samples import same_in_features
from lightning_gans.callbacks.health.signs import MEMORY, WINDOW, Signs
from lightning_gans.callbacks.health.states import (
    BLURRED,
    COLLAPSE_IN_CLASSES,
    COPIES,
    EXPLODING_GRADIENTS,
    HEALTHY,
    LABELS_IGNORED,
    LATENTS_IGNORED,
    MEMORISING_DISCRIMINATOR,
    MODE_COLLAPSE,
    NOISY,
    NON_FINITE,
    PARTIAL_COLLAPSE,
    SOFT_COLLAPSE,
    STALLED,
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
    distance=0.005,
    coverage=0.9,
    density=0.9,
    width=1.1,
    gap=1.0,
    spread=0.95,
    least=0.85,
    outside=0.02,
    modes=8,
    missing=0,
    imbalance=0.03,
    repeats=0.0,
    copies=0.0,
    contrast=1.0,
    sharpness=1.0,
    agreement=0.95,
    memorised=0.1,
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
    "D knows the training samples": (MEMORISING_DISCRIMINATOR, {"memorised": 0.9, "separation": 0.95}),
    "a few samples again and again": (MODE_COLLAPSE, {"repeats": 0.9, "spread": 0.1, "missing": 4}),
    "a sample for each mode": (COLLAPSE_IN_CLASSES, {"repeats": 1.0, "spread": 0.02, "least": 0.01}),
    "little variety near the data": (MODE_COLLAPSE, {"diversity": 0.2}),
    "pale images": (STALLED, {"contrast": 0.5}),
    "pale and blurred images": (BLURRED, {"contrast": 0.5, "sharpness": 0.3}),
    "harsh images": (STALLED, {"contrast": 2.0}),
    "routes without latents": (LATENTS_IGNORED, {"sensitivity": 0.01, "coverage": 0.5}),
    "nowhere near the data": (STALLED, {"coverage": 0.02, "density": 0.05}),
    "a cloud": (BLURRED, {"coverage": 0.02, "density": 0.01, "width": 100.0, "gap": 20.0}),
    "smeared modes": (BLURRED, {"width": 5.0, "gap": 3.0, "coverage": 0.7}),
    "blurred images": (BLURRED, {"sharpness": 0.4}),
    "noisy images": (NOISY, {"sharpness": 2.5, "coverage": 0.5}),
    "one mode of eight, as good as real": (MODE_COLLAPSE, {"missing": 7, "missing_names": ("a", "b")}),
    "half of the modes": (PARTIAL_COLLAPSE, {"missing": 4, "missing_names": ("(1, 0)", "(0, 1)")}),
    "unequal modes": (PARTIAL_COLLAPSE, {"imbalance": 0.8}),
    "little variety in each class": (COLLAPSE_IN_CLASSES, {"spread": 0.3, "least": 0.2}),
    "little variety in one class": (COLLAPSE_IN_CLASSES, {"least": 0.05}),
    "labels that do not matter": (LABELS_IGNORED, {"agreement": 0.1}),
    "training images": (COPIES, {"copies": 0.7}),
    "far in features": (STALLED, {"distance": 0.2}),
    "little covered": (STALLED, {"coverage": 0.2, "density": 0.3}),
    "one sample": (MODE_COLLAPSE, {"diversity": 0.001, "discriminator_gradient": 500.0, "energy": 0.5}),
}
LONG = MEMORY + WINDOW


@pytest.mark.parametrize(("expected", "figures"), CASES.values(), ids=CASES)
def test_a_state_is_named_by_its_signs(expected, figures):
    found, evidence = diagnose(readings(LONG, **figures))
    assert found == expected
    assert len(evidence) > 20 and "nan" not in evidence


def test_every_rule_has_a_case():
    found = set()
    for _, figures in CASES.values():
        signs = Signs(readings(LONG, **figures))
        found |= {next((rule for rule in RULES if rule(signs, Thresholds()) is not None), None)}
    assert found - {None} == set(RULES) - {progress, lost_variety}, "those two need earlier readings"


def test_learning_has_stalled_only_where_it_has_for_long():
    figures = {"coverage": 0.2, "density": 0.3}
    assert state(readings(LONG - 1, **figures)) == HEALTHY
    assert state(readings(LONG, **figures)) == STALLED


@pytest.mark.parametrize("figures", [{"missing": 2, "missing_names": ("5", "7")}, {"imbalance": 0.4}], ids=str)
def test_classes_are_not_counted_among_images_of_no_certain_class(figures):
    assert state(readings(**figures, outside=0.5)) == HEALTHY
    assert state(readings(**figures, outside=0.3)) == PARTIAL_COLLAPSE
    assert state(readings(**figures, outside=0.5, contrast=math.nan)) == PARTIAL_COLLAPSE, "of points they are"


def test_a_generator_that_makes_one_sample_has_collapsed_though_it_comes_closer():
    closer = [replace(GOOD, diversity=0.01, energy=0.9 - 0.02 * place) for place in range(30)]
    assert state(closer) == MODE_COLLAPSE
    several = [replace(one, diversity=0.1) for one in closer]
    assert state(several) == HEALTHY and state(several, constant=0.2) == MODE_COLLAPSE


def test_modes_that_are_found_are_no_progress_while_samples_move_away():
    found = [replace(GOOD, missing=6 - place // 6, missing_names=("a",), energy=0.1) for place in range(24)]
    assert state(found) == HEALTHY
    away = [replace(one, energy=0.05 + 0.01 * place) for place, one in enumerate(found)]
    assert state(away) == PARTIAL_COLLAPSE


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
        {"diversity": 0.5, "energy": 0.05},
        {"movement": 0.0, "energy": 0.01},
        {"movement": 0.01, "energy": 0.054, "diversity": 0.85, "coverage": 0.49},
        {"sharpness": 2.5},
        {"width": 5.0},
        {"gap": 3.0},
        {"coverage": 0.5, "density": 0.1},
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


FALLING = {"distance": (0.2, 0.15), "width": (9.0, 7.0), "missing": (6, 5), "imbalance": (0.9, 0.7)}
RISING = {"coverage": (0.2, 0.26), "spread": (0.1, 0.25)}


@pytest.mark.parametrize("name", [*FALLING, *RISING])
def test_a_gan_whose_samples_improve_in_any_way_is_healthy(name):
    bad = {"imbalance": 0.9, "diversity": 0.2}
    before, now = (FALLING | RISING)[name]
    earlier, later = (readings(10, **bad | {name: value}) for value in (before, now))
    assert state(earlier) != HEALTHY and state(earlier, later[:6]) == HEALTHY
    assert state(later, earlier[:6]) != HEALTHY, "they get worse"
    assert state(earlier, later[:6], **{f"{name}_noise": 3.0}) != HEALTHY, "it may be chance"


@pytest.mark.parametrize("name", ["missing", "imbalance", "spread"])
def test_figures_of_modes_are_no_progress_where_hardly_any_sample_lies_among_real_ones(name):
    before, now = (FALLING | RISING)[name]
    outside = {"coverage": 0.05, "density": 0.1}
    earlier, later = (readings(10, **outside | {name: value}) for value in (before, now))
    assert state(earlier, later[:6]) == STALLED
    assert state(earlier, later[:6], unlike=0.01) == HEALTHY
    assert state(earlier, later[:6], unlike_density=0.01) == HEALTHY


def test_figures_of_surveys_are_medians_of_the_last_three():
    rows = readings(12)
    for place, row in enumerate(rows):
        rows[place] = replace(row, **dict.fromkeys(SURVEYED - {"missing_names"}, math.nan)) if place % 2 == 0 else row
    for place, missing in ((7, 3), (9, 3), (11, 0)):
        rows[place] = replace(rows[place], missing=missing, missing_names=("one",) * missing)
    assert Signs(rows).now.missing == 3 and Signs(rows).now.missing_names == ("one",) * 3
    assert state(rows) == PARTIAL_COLLAPSE
    rows[9] = replace(rows[9], missing=0)
    assert state(rows) == HEALTHY


def test_a_generator_without_a_discriminator_is_not_compared_with_the_data():
    alone = {"separation": math.nan, "advantage": math.nan}
    for name in ("nowhere near the data", "blurred images", "half of the modes", "far in features"):
        assert state(readings(**CASES[name][1] | alone)) == HEALTHY
    for name in ("a few samples again and again", "little variety near the data", "routes without latents"):
        assert state(readings(**CASES[name][1] | alone)) == CASES[name][0]
    assert state(readings(spread=0.3, **alone)) == COLLAPSE_IN_CLASSES, "one texture for each class"
    assert state(readings(variety=0.2, **alone)) == MODE_COLLAPSE, "textures that all look the same"
    assert state(readings(variety=0.2, **alone), little_variety=0.1) == HEALTHY
    assert state(readings(variety=0.2)) == HEALTHY, "blurred images, too, vary little in features"
    closer = readings(5, spread=0.3, energy=0.5, **alone), readings(5, spread=0.3, energy=0.2, **alone)
    assert state(*closer) == COLLAPSE_IN_CLASSES, "it is not trained to come closer to the data"
    assert set(OF_VARIETY) - set(RULES) == {same_in_features}


def test_samples_outside_of_all_modes_have_not_gathered_in_one():
    left = {"missing": 7, "missing_names": ("a",) * 7}
    assert state(readings(**left, outside=0.3)) == MODE_COLLAPSE
    assert state(readings(**left, outside=0.5)) == PARTIAL_COLLAPSE
    assert state(readings(**left, outside=0.5), outside=0.6) == MODE_COLLAPSE


def test_pale_samples_far_from_the_data_have_not_collapsed():
    little = {"energy": 0.3, "diversity": 0.5}
    assert state(readings(**little, density=0.5)) == MODE_COLLAPSE
    assert state(readings(**little, density=0.2)) == HEALTHY
    assert state(readings(**little, density=0.5), unlike_density=0.6) == HEALTHY


def test_missing_modes_are_named():
    evidence = diagnose(readings(missing=2, missing_names=("digit 3", "digit 7")))[1]
    assert evidence == "about 2 of the data's 8 modes have hardly any sample: digit 3, digit 7"
    many = diagnose(readings(missing=6, missing_names=tuple("abcdef")))[1]
    assert many.endswith("a, b, c, d, e, …")


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
