"""Evaluation: arguments, data and checkpoints that are refused before training."""

import math

import pytest
import torch
from evaluation_helpers import Kept, Points, Shift, Twice, evaluation, fit_ring, ring
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from lightning_gans.callbacks import Evaluation
from lightning_gans.data import Samples
from lightning_gans.metrics import ClassCoverage, FrechetDistance, ModeCoverage, PrecisionRecall
from lightning_gans.networks import DigitFeatures

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """Statistics of real samples are kept in runs/statistics of the current folder."""
    monkeypatch.chdir(tmp_path)


WRONG = [
    ({"metrics": []}, r"metrics=\[\].*at least one score"),
    *(({"num_samples": value}, f"num_samples={value}.*at least 2") for value in (0, 1, -5, math.nan, 2.5, True)),
    *(({"every_n_epochs": value}, f"every_n_epochs={value}.*at least 0") for value in (-1, math.nan)),
    *(({"seed": value}, f"seed={value}.*at least 0") for value in (-1, None)),
    *(({"batch_size": value}, f"batch_size={value}.*at least 1") for value in (0, -1, math.nan)),
    ({"split": "valid"}, "split='valid'.*train, val, test"),
    ({"metrics": [Shift(), Shift(scale=2.0)]}, "Shift is there twice.*leave one out"),
    ({"metrics": [Shift(Twice()), Shift(Twice())]}, "Shift through Twice is there twice"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=str)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Evaluation(**{"metrics": [Shift()], **arguments})


class Alone(Shift):
    """A score that uses no real samples."""

    uses_real = False


class Unsplit(Points):
    """Data without a validation and a test split."""

    def load(self, split):
        return Samples(self.x if split == "train" else self.x[:0])


class Stream(IterableDataset):
    """Samples that have no index."""

    def __iter__(self):
        yield from torch.zeros(8, 2)


@pytest.mark.parametrize(
    ("callback", "data", "message"),
    [
        (evaluation(), Unsplit(16), "Unsplit has no val split; give Evaluation a split that it has .*train"),
        (
            evaluation(Shift(least=41)),
            ring(),
            "Shift needs at least 41 real samples, but would get 40, and the val split ",
        ),
        (
            evaluation(Alone(least=60)),
            ring(),
            "num_samples=48.*Alone needs at least 60 generated samples, but would get 48",
        ),
        (evaluation(ModeCoverage()), Points(16), "ModeCoverage: Points has no means"),
        (evaluation(Shift(nn.Linear(5, 2))), ring(), r"Shift through Linear does not take samples of shape \(2,\)"),
    ],
    ids=["no validation split", "few reals", "few fakes", "no modes", "shape"],
)
def test_a_run_that_cannot_be_evaluated_is_refused_before_training(make_gan, quiet, weights, callback, data, message):
    gan = make_gan()
    before = weights(gan)
    with pytest.raises(ValueError, match=message) as error:
        fit_ring(quiet, gan, callback, data=data)
    assert "\n" not in str(error.value) and torch.equal(weights(gan), before)


def test_data_without_a_validation_split_can_be_evaluated_on_another(make_gan, quiet):
    kept = Kept()
    trainer = fit_ring(quiet, make_gan(), evaluation(kept, split="train"), data=Unsplit(16))
    assert torch.equal(kept.seen[0][0], Points.x) and trainer.callback_metrics["train/reals"] == 40


def test_a_test_without_a_test_split_is_refused(make_gan, quiet):
    with pytest.raises(ValueError, match="Unsplit has no test split"):
        Trainer(**quiet, callbacks=[evaluation()]).test(make_gan(), datamodule=Unsplit(16))


class Ready(Points):
    """Data whose training loader gives ready batches."""

    def train_dataloader(self):
        return DataLoader(torch.zeros(4, 8, 2), batch_size=None)


class Pair(Points):
    """Data with two training loaders."""

    def train_dataloader(self):
        return [super().train_dataloader()] * 2


class Streamed(Points):
    """Data whose training samples have no index."""

    def train_dataloader(self):
        return DataLoader(Stream(), 4)


@pytest.mark.parametrize("kind", [Ready, Pair, Streamed])
def test_loaders_without_single_samples_are_refused(make_gan, quiet, kind):
    with pytest.raises(ValueError, match=rf"train split of {kind.__name__} gives no single samples .*use one DataLoa"):
        Trainer(**quiet, callbacks=[evaluation(split="train")]).test(make_gan(), datamodule=kind(16))


def test_real_samples_with_nan_are_refused_before_training(make_gan, quiet, monkeypatch):
    x = Points.x.clone()
    x[17] = math.nan
    monkeypatch.setattr(Points, "x", x)
    with pytest.raises(ValueError, match="hold NaN or infinity"):
        fit_ring(quiet, make_gan(), evaluation(), data=Points(16))


def test_two_evaluations_of_one_split_may_not_have_the_same_score(make_gan, quiet):
    with pytest.raises(ValueError, match=r"Shift is in two Evaluations.*leave one out"):
        fit_ring(quiet, make_gan(), evaluation(), evaluation(Kept(), Shift()))
    both = evaluation(), evaluation(split="train"), evaluation(Kept())
    trainer = fit_ring(quiet, make_gan(), *both)
    assert {"val/shift", "train/shift", "val/reals"} <= set(trainer.callback_metrics)


def test_a_checkpoint_whose_figure_is_missing_in_some_epochs_is_refused(make_gan, quiet, tmp_path):
    for every, accepted in ((1, False), (4, True), (3, False)):
        keeper = ModelCheckpoint(tmp_path, monitor="val/shift", every_n_epochs=every)
        callback = evaluation(every_n_epochs=2)
        if accepted:
            fit_ring(quiet, make_gan(), callback, keeper, max_epochs=4, enable_checkpointing=True)
        else:
            message = rf"the checkpoint monitors val/shift every {every} epochs, .*--checkpoint.every_n_epochs 2"
            with pytest.raises(ValueError, match=message):
                fit_ring(quiet, make_gan(), callback, keeper, enable_checkpointing=True)


def test_a_fault_of_a_feature_network_is_said_once_for_its_scores(quiet, make_gan):
    scores = [ClassCoverage(), FrechetDistance(DigitFeatures()), PrecisionRecall(DigitFeatures())]
    with pytest.raises(ValueError) as raised:
        fit_ring(quiet, make_gan(), Evaluation(scores))
    text = str(raised.value)
    assert (
        "expected images (N, C, H, W); change the generator's channels, or give a classifier for such samples. " in text
    )
    assert text.count("DigitFeatures: samples of shape (2,)") == 1 and text.endswith(".")
