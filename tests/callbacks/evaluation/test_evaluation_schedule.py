"""Evaluation: when figures are computed, and that training is unaffected by them."""

import json
import math

import pytest
import torch
from evaluation_helpers import Fails, Kept, Shift, Twice, evaluation, first_of_tuples, fit_ring, history, ring
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, TensorDataset

from lightning_gans.optimizers import Adam

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """Statistics of real samples are kept in runs/statistics of the current folder."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("validation", [True, False], ids=["with validation", "without"])
@pytest.mark.parametrize(
    ("every", "settings", "epochs"),
    [
        (1, {"max_epochs": 3}, [0, 1, 2]),
        (2, {"max_epochs": 3}, [1, 2]),
        (0, {"max_epochs": 1}, []),
        (3, {"max_epochs": -1, "max_steps": 8}, [1]),
    ],
    ids=str,
)
def test_which_epochs_are_evaluated(make_gan, quiet, tmp_path, every, settings, epochs, validation):
    limit = {} if validation else {"limit_val_batches": 0}
    logger = CSVLogger(tmp_path, name="run")
    callback = evaluation(every_n_epochs=every)
    trainer = fit_ring(quiet, make_gan(), callback, logger=logger, **settings, **limit)
    assert list(history(trainer, "val/shift")) == epochs
    seen = trainer.callback_metrics.get("val/shift")  # by checkpoints
    assert (seen is None) if callback.board is None else float(seen) == pytest.approx(callback.board.figures["shift"])


class Stop(Callback):
    """Ends the run at the end of an epoch, after the other callbacks."""

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop = True


@pytest.mark.parametrize(("steps", "settings"), [(2, {"max_steps": 2}), (4, {})], ids=str)
def test_a_run_that_ends_unexpectedly_is_evaluated_at_its_end(make_gan, quiet, tmp_path, steps, settings):
    callback = evaluation(every_n_epochs=10)
    stop = [Stop()] if not settings else []
    trainer = fit_ring(
        quiet, make_gan(), callback, *stop, logger=CSVLogger(tmp_path, name="run"), max_epochs=-1, **settings
    )
    assert trainer.global_step == steps and callback.board.generator_updates == steps
    assert list(history(trainer, "val/shift").values()) == [pytest.approx(callback.board.figures["shift"])]


def test_validations_within_an_epoch_are_evaluated_too(make_gan, quiet):
    kept = Kept()
    fit_ring(quiet, make_gan(), evaluation(kept), val_check_interval=0.5)
    assert len(kept.seen) == 2


@pytest.mark.parametrize(("command", "name"), [("validate", "val/shift"), ("test", "test/shift")])
@pytest.mark.parametrize("split", [None, "train"])
def test_figures_are_named_after_their_split(make_gan, quiet, command, name, split):
    trainer = Trainer(**quiet, callbacks=[evaluation(split=split, every_n_epochs=0)])
    (figures,) = getattr(trainer, command)(make_gan(), datamodule=ring(), verbose=False)
    assert [one for one in figures if one.endswith("shift")] == ["train/shift" if split else name]


def test_model_checkpoint_keeps_the_best_epoch(make_gan, quiet, tmp_path):
    keeper = ModelCheckpoint(tmp_path / "kept", monitor="val/shift", mode="min", filename="{epoch}")
    logger = CSVLogger(tmp_path, name="run")
    gan = make_gan(
        generator_optimizer=lambda parameters: Adam(parameters, lr=0.3)
    )  # so large that the figure rises and falls
    trainer = fit_ring(quiet, gan, evaluation(), keeper, max_epochs=6, logger=logger, enable_checkpointing=True)
    figures = history(trainer, "val/shift")
    best = min(figures, key=figures.get)
    assert len(figures) == 6 and best != 5, "the last epoch would be kept anyway"
    (path,) = (tmp_path / "kept").iterdir()
    assert path.name == f"epoch={best}.ckpt" and keeper.best_model_score == pytest.approx(figures[best])
    (again,) = Trainer(**quiet, callbacks=[evaluation()]).validate(
        make_gan(seed=1), datamodule=ring(), ckpt_path=path, verbose=False, weights_only=True
    )
    assert again["val/shift"] == pytest.approx(figures[best])


@pytest.mark.parametrize("settings", [{"val_check_interval": 0.5}, {"limit_val_batches": 0}], ids=str)
def test_a_checkpoint_finds_the_latest_figure(make_gan, quiet, tmp_path, settings):
    class Asked(Kept):
        def compute(self):
            super().compute()
            return {"count": torch.tensor(float(len(self.seen)))}

    keeper = ModelCheckpoint(tmp_path, monitor="val/count", mode="max", save_top_k=-1, filename="{val/count:.0f}")
    fit_ring(quiet, make_gan(), evaluation(Asked()), keeper, max_epochs=2, enable_checkpointing=True, **settings)
    scores = sorted(float(score) for score in keeper.best_k_models.values())
    assert scores == ([1, 2, 3, 4] if "val_check_interval" in settings else [1, 2])


def test_a_checkpoint_may_monitor_a_loss_in_every_epoch(make_gan, quiet, tmp_path):
    keeper = ModelCheckpoint(tmp_path, monitor="val/discriminator_loss", mode="min")
    fit_ring(quiet, make_gan(), evaluation(every_n_epochs=2), keeper, max_epochs=2, enable_checkpointing=True)


# ---------------------------------------------------------------- training is unaffected


def test_training_is_unaffected(make_gan, quiet, weights):
    states = []
    for callbacks in ([], [evaluation(Kept(), Shift(Twice()))]):
        gan = make_gan(dropout=0.5)
        trainer = fit_ring(quiet, gan, *callbacks, max_epochs=3)
        states.append((weights(gan), torch.rand(3), [module.training for module in gan.modules()]))
        assert trainer.global_step == 12
    assert torch.equal(states[0][0], states[1][0]) and torch.equal(states[0][1], states[1][1])
    assert states[0][2] == states[1][2]


def test_only_the_batch_of_the_last_evaluation_is_added_to_checkpoints(make_gan, quiet, tmp_path):
    saved = []
    for name, callbacks in (("without", []), ("with", [evaluation(Shift(Twice()))])):
        trainer = fit_ring(quiet, make_gan(), *callbacks)
        trainer.save_checkpoint(tmp_path / name)
        saved.append(torch.load(tmp_path / name, weights_only=True))
    assert saved[0]["state_dict"].keys() == saved[1]["state_dict"].keys()
    (key,) = (name for name in saved[1]["callbacks"] if name.startswith("Evaluation"))
    assert saved[1]["callbacks"].pop(key) == {"scored_at": saved[1]["global_step"]}
    assert saved[0]["callbacks"] == saved[1]["callbacks"]


def test_a_resumed_run_has_the_figures_of_an_uninterrupted_one(make_gan, quiet, tmp_path):
    loaders = [DataLoader(TensorDataset(ring().load(split).x), 16) for split in ("train", "val")]  # in a fixed order
    runs = []
    for name, epochs, start in (("whole", 3, None), ("half", 2, None), ("rest", 3, "half.ckpt")):
        settings = {**quiet, "logger": CSVLogger(tmp_path, name), "max_epochs": epochs}
        trainer = Trainer(**settings, callbacks=[evaluation()])
        torch.manual_seed(0)
        trainer.fit(first_of_tuples(make_gan()), *loaders, ckpt_path=start)
        trainer.save_checkpoint(f"{name}.ckpt")
        runs.append(history(trainer, "val/shift"))
    assert runs[1] | runs[2] == runs[0] and [list(run) for run in runs] == [[0, 1, 2], [0, 1], [2]]


def test_nan_samples_give_nan_figures(make_gan, quiet, tmp_path, recwarn):
    class Break(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == 2:  # after the last update, which the guard checks
                with torch.no_grad():
                    next(pl_module.generator.parameters()).fill_(math.nan)

    logger = CSVLogger(tmp_path, "run")
    trainer = fit_ring(
        quiet, make_gan(), Break(), evaluation(split="train"), max_epochs=3, logger=logger, limit_val_batches=0
    )
    figures = history(trainer, "train/shift")
    assert [math.isnan(value) for value in figures.values()] == [False, False, True]
    warnings = [str(warning.message) for warning in recwarn if "no figures" in str(warning.message)]
    assert len(warnings) == 1 and "makes NaN" in warnings[0] and "after 12 batches" in warnings[0]
    assert json.loads((tmp_path / "run/version_0/scores.json").read_text())["figures"] == {"shift": None}
    with pytest.raises(ValueError, match="hold NaN or infinity"):
        trainer.test(trainer.lightning_module, datamodule=ring(), verbose=False)


def test_a_score_that_cannot_be_computed_does_not_end_a_run(make_gan, quiet, tmp_path, recwarn):
    keeper = ModelCheckpoint(tmp_path, monitor="val/fails", mode="min")
    callback = evaluation(Shift(), Fails())
    trainer = fit_ring(quiet, make_gan(), callback, keeper, enable_checkpointing=True)
    assert math.isfinite(callback.board.figures["shift"]) and math.isnan(callback.board.figures["fails"])
    assert any("all samples are equal" in str(warning.message) for warning in recwarn)
    with pytest.raises(ValueError, match="all samples are equal; give others"):
        trainer.test(trainer.lightning_module, datamodule=ring(), verbose=False)
