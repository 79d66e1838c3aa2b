"""Evaluation: which samples are compared, in which numbers and modes."""

import math

import pytest
import torch
from evaluation_helpers import Kept, Shift, close, evaluation, fakes_of, first_of_tuples, fit_ring, ring
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

from lightning_gans import GAN, generation
from lightning_gans.metrics import FrechetDistance
from lightning_gans.networks import MLPDiscriminator, StochasticEnsembleMLPGenerator
from lightning_gans.stabilizers import GeneratorEMA

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """Statistics of real samples are kept in runs/statistics of the current folder."""
    monkeypatch.chdir(tmp_path)


def test_a_score_gets_every_real_and_generated_sample_once(make_gan, quiet):
    gan, kept = make_gan(), Kept()
    Trainer(**quiet, callbacks=[evaluation(kept, Shift())]).test(gan, datamodule=ring(), verbose=False)
    ((real, fake),) = kept.seen
    assert torch.equal(real, ring().load("test").x)
    assert close(fake, fakes_of(gan, 48))


def test_the_figure_is_computed_from_these_samples(make_gan, quiet):
    gan = make_gan()
    trainer = Trainer(**quiet, callbacks=[evaluation()])
    (figures,) = trainer.test(gan, datamodule=ring(), verbose=False)
    expected = torch.linalg.vector_norm(ring().load("test").x.mean(0) - fakes_of(gan, 48).mean(0))
    assert figures["test/shift"] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(("num", "counts"), [(48, (40, 48)), (20, (20, 20)), (None, (40, 40)), (2, (2, 2))], ids=str)
def test_numbers_of_samples(make_gan, quiet, num, counts):
    callback = evaluation(Kept(), num_samples=num)
    fit_ring(quiet, make_gan(), callback)
    assert tuple(callback.board.figures.values()) == counts == (callback.board.real, callback.board.fake)


def test_fewer_real_samples_come_from_the_whole_data_set(make_gan, quiet):
    kept = Kept()
    fit_ring(quiet, make_gan(), evaluation(kept, num_samples=10))
    x, (real, _) = ring().load("val").x, kept.seen[0]
    places = [int((x == point).all(1).nonzero()) for point in real]
    assert places == sorted(set(places)) and places[-1] > 30, "each once, and not the first ten"


@pytest.mark.parametrize("settings", [{"limit_val_batches": 1}, {"limit_val_batches": 0}, {"num_sanity_val_steps": 2}])
def test_limits_on_batches_do_not_apply_to_the_samples(make_gan, quiet, settings):
    kept = Kept()
    fit_ring(quiet, make_gan(), evaluation(kept), **settings)
    ((real, _),) = kept.seen
    assert torch.equal(real, ring().load("val").x), "once, hence not in the sanity check"


@pytest.mark.parametrize("change", [{"num_samples": 30}, {"seed": 1}, {"split": "train"}], ids=str)
def test_every_argument_changes_the_figure(make_gan, quiet, change):
    figures = []
    for arguments in ({}, change):
        callback = evaluation(**arguments)
        Trainer(**quiet, callbacks=[callback]).test(make_gan(), datamodule=ring(), verbose=False)
        figures.append(callback.board.figures["shift"])
    assert figures[0] != figures[1]


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_the_batch_size_changes_nothing(make_gan, quiet, batch_size):
    kept = Kept(), Kept()
    for score, size in zip(kept, (256, batch_size), strict=True):
        fit_ring(quiet, make_gan(), evaluation(score, batch_size=size, statistics=None))
    for one, other in zip(kept[0].seen[0], kept[1].seen[0], strict=True):
        assert close(one, other)


def test_fakes_have_the_classes_in_turn(make_gan, quiet):
    gan, kept = make_gan(num_classes=8), Kept()
    fit_ring(quiet, gan, evaluation(kept), data=ring(labels=True))
    real, fake = kept.seen[0]
    assert real.shape == (40, 2) and close(fake, fakes_of(gan, 48))


@pytest.mark.parametrize("limit", [0, 1.0])
def test_the_evaluation_weights_are_scored(make_gan, quiet, limit):
    gan, kept, average = make_gan(), Kept(), GeneratorEMA(half_life=1000)
    fit_ring(quiet, gan, evaluation(kept), average, limit_val_batches=limit)
    trained = fakes_of(gan, 48)
    with generation.showing(gan):
        averaged = fakes_of(gan, 48)
    assert close(kept.seen[0][1], averaged) and not close(averaged, trained)


def test_the_generator_is_in_evaluation_mode(make_gan, quiet):
    gan, modes = make_gan(), []
    gan.generator.register_forward_hook(lambda module, inputs, out: modes.append((module.training, len(out))))
    fit_ring(quiet, gan, evaluation(batch_size=3), limit_val_batches=0, max_epochs=2)
    assert [mode for mode, size in modes if size == 3] == [False] * 32
    assert set(modes) - {(False, 3)} == {(True, 16), (False, 2)}, "two samples are timed"
    assert gan.generator.training


def test_samples_of_an_ensemble_are_the_same_every_time(quiet):
    gan = GAN(StochasticEnsembleMLPGenerator((2,), 3, width=4, groups=8), MLPDiscriminator((2,), width=4))
    kept = Kept()
    trainer = fit_ring(quiet, gan, evaluation(kept))
    trainer.validate(gan, datamodule=ring(), verbose=False)
    assert torch.equal(kept.seen[0][1], kept.seen[1][1]), "routes included"


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_figures_in_every_precision(make_gan, quiet, precision):
    callback = evaluation(Kept(), Shift())
    fit_ring(quiet, make_gan(), callback, precision=precision)
    assert math.isfinite(callback.board.figures["shift"]) and callback.metrics[0].seen[0][1].dtype == torch.float32


def test_loaders_without_a_data_module(make_gan, quiet):
    gan, kept = make_gan(), Kept()
    trainer = Trainer(**quiet, callbacks=[evaluation(kept, FrechetDistance())])
    loaders = [DataLoader(TensorDataset(ring().load(split).x), 16, shuffle=True) for split in ("train", "val", "test")]
    trainer.fit(first_of_tuples(gan), loaders[0], loaders[1])
    trainer.test(gan, loaders[2], verbose=False)
    assert torch.equal(kept.seen[0][0], ring().load("val").x) and torch.equal(kept.seen[1][0], ring().load("test").x)


def test_workers_read_the_same_samples(make_gan, quiet):
    kept = Kept(), Kept()
    for score, workers in zip(kept, (0, 1), strict=True):
        gan = make_gan()
        trainer = Trainer(callbacks=[evaluation(score, statistics=None)], accelerator="cpu", logger=False)
        trainer.enable_progress_bar = False
        trainer.test(gan, datamodule=ring(num_workers=workers), verbose=False)
    assert torch.equal(kept[0].seen[0][0], kept[1].seen[0][0])
