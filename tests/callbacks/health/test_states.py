"""The states of a training and what is recommended against them."""

from pathlib import Path

import pytest

from lightning_gans.callbacks.health import remedies
from lightning_gans.callbacks.health.states import (
    COLLAPSE_IN_CLASSES,
    LATENTS_IGNORED,
    MODE_COLLAPSE,
    NON_FINITE,
    STATES,
    WEAK_DISCRIMINATOR,
    classes_of,
)
from lightning_gans.stabilizers import Packing

ROOT = Path(__file__).parents[3]


def test_every_failure_has_remedies():
    assert [state.name for state in STATES if not state.remedies] == ["healthy"]


def test_the_names_of_states_are_those_of_logs_alerts_and_checkpoints():
    assert [state.name for state in STATES] == [
        "healthy",
        "mode collapse (hard)",
        "partial collapse",
        "collapse inside classes",
        "latents ignored",
        "labels ignored",
        "soft collapse / oscillation",
        "vanishing generator gradient (D too strong)",
        "D too weak (generator fools it with garbage)",
        "D memorises the training set",
        "exploding gradients",
        "samples blurred or smeared",
        "samples noisy",
        "copies of training samples",
        "learning has stalled far from the data",
        "NaN or infinity",
    ]


@pytest.mark.parametrize("state", STATES[1:], ids=lambda state: state.name)
def test_the_files_in_remedies_exist(state):
    for remedy in state.remedies:
        for word in remedy.option.split():
            assert not word.endswith(".yaml") or (ROOT / word).is_file()


def test_what_is_in_use_is_not_recommended():
    packing = remedies.PACKING
    assert any(packing.advice in line for line in LATENTS_IGNORED.advice())
    assert not any(packing.advice in line for line in LATENTS_IGNORED.advice({"Packing"}))
    assert len(LATENTS_IGNORED.advice(at_most=1)) == 1


def test_what_comes_next_takes_the_place_of_what_is_in_use():
    larger = remedies.LARGER_D.advice
    bare, used = (WEAK_DISCRIMINATOR.advice({remedies.OF_IMAGES, *more}) for more in ((), ("Relativistic",)))
    assert len(bare) == len(used) == 3
    assert not any(larger in line for line in bare) and any(larger in line for line in used)


def test_a_generator_without_a_discriminator_is_not_told_to_change_one():
    for state in (MODE_COLLAPSE, COLLAPSE_IN_CLASSES):
        assert remedies.MORE_ROUTES not in state.left({"GAN"})
        assert state.left({"SEPGAN"}) == [remedies.MORE_ROUTES]


def test_classes_in_use_are_those_of_the_model_its_objective_and_stabilizers(make_gan):
    gan = make_gan()
    gan.stabilizers.append(Packing(2))
    assert {"GAN", "NonSaturating", "Packing", "Stabilizer"} <= classes_of(gan)


@pytest.mark.parametrize(("precision", "helps"), [("16-true", True), ("16-mixed", True), ("32-true", False)])
def test_a_wider_type_is_recommended_for_float16(precision, helps):
    assert any("bf16-mixed" in line for line in NON_FINITE.advice({precision})) == helps
