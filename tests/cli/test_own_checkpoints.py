"""`--checkpoint.*` beside checkpoint callbacks of the user's own: both work, or one line says which to change."""

import shutil

import pytest
import torch
from short_runs import DIGITS, LIGHTNING_WARNINGS, SMALL

from lightning_gans.cli.main import main

pytestmark = LIGHTNING_WARNINGS
FIT = ["fit", *DIGITS, *SMALL, "--report.enabled=false", "--samples.every_n_epochs=0"]
BEST = ["--checkpoint.monitor=val/generator_loss"]


def own(**settings):
    settings = {"save_top_k": -1, "filename": "own_{step}", **settings}
    return ["--trainer.callbacks+=ModelCheckpoint", *(f"--trainer.callbacks.{key}={x}" for key, x in settings.items())]


@pytest.fixture
def names(folder):
    """Fit, and return the names of the checkpoints."""

    def names(*args):
        shutil.rmtree(folder / "runs", ignore_errors=True)
        main([*FIT, *args])
        return sorted(path.name for path in folder.glob("runs/*/version_0/checkpoints/*"))

    return names


EVERY_TWO = ["own_step=2.ckpt", "own_step=4.ckpt", "own_step=6.ckpt"]
BOTH = {  # the user's callback and the files of both; one of two epochs is the best
    "between": (own(every_n_train_steps=2), EVERY_TWO, True),
    "every epoch": (own(), ["own_step=3.ckpt", "own_step=6.ckpt"], False),  # as the standard last one does
}


def test_there_is_one_last_checkpoint(names):
    found = names(*own(every_n_train_steps=2, save_last="true"), "--checkpoint.filename=mine")
    assert found == ["last.ckpt", "mine.ckpt", *EVERY_TWO]


@pytest.mark.parametrize("case", BOTH)
def test_the_best_is_kept_beside_what_a_callback_of_ones_own_keeps(case, names):
    args, files, keeps_last = BOTH[case]
    found = names(*args, *BEST)
    (best,) = [name for name in found if name.startswith("step_")]
    assert found == sorted([*(["last.ckpt"] if keeps_last else []), *files, best])


def test_without_options_a_callback_of_ones_own_replaces_the_standard_one(names, folder):
    assert names(*own(every_n_train_steps=2)) == EVERY_TWO
    (config,) = folder.glob("runs/*/version_0/config.yaml")
    shutil.copy(config, folder)
    assert names("--config=config.yaml") == EVERY_TWO, "the run's config holds all options, with their defaults"


def test_a_resumed_run_has_the_state_of_both(names, folder):
    names(*own(every_n_train_steps=2), *BEST)
    main([*FIT, *own(every_n_train_steps=2), *BEST, "--trainer.max_epochs=3", "--ckpt_path=last"])
    (path,) = folder.glob("runs/*/version_0/checkpoints/last.ckpt")
    states = torch.load(path, weights_only=True)["callbacks"]
    (own_state,) = (state for state in states.values() if str(state.get("best_model_path")).endswith("own_step=8.ckpt"))
    (best,) = (state for state in states.values() if state.get("monitor") == "val/generator_loss")
    assert own_state["dirpath"] == best["dirpath"] and float(best["best_model_score"]) > 0
    assert len([one for one in path.parent.iterdir() if one.name.startswith("step_")]) == 1


@pytest.mark.parametrize("option", ["--checkpoint.dirpath=kept", "--checkpoint.save_top_k=-1"])
def test_two_that_would_share_their_state_are_one_line(option, refused):
    line = refused(*FIT, *own(), option)
    assert f"{option.partition('=')[0]} beside a ModelCheckpoint of trainer.callbacks with the same monitor" in line


def test_several_best_without_a_metric_are_one_line(refused):
    line = refused(*FIT, "--checkpoint.save_top_k=3")
    assert "No quantity for top_k to track; give a --checkpoint.monitor" in line


@pytest.mark.parametrize("kind", ["GeneratorEMA", "ModelCheckpoint"])
def test_two_callbacks_with_the_same_settings_whose_states_would_be_one_are_one_line(kind, refused):
    line = refused(*FIT, f"--trainer.callbacks+={kind}", f"--trainer.callbacks+={kind}")
    assert f"trainer.callbacks has two {kind} with the same settings" in line
