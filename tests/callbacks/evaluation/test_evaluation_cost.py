"""What an evaluation costs: as many fakes as real samples, said before it begins, with all that is too few at once."""

import logging
import re

import pytest
from evaluation_helpers import Kept, Shift, evaluation, fit_ring, ring
from lightning.pytorch import Trainer

from lightning_gans.callbacks import Evaluation
from lightning_gans.callbacks.evaluation import scoring
from lightning_gans.metrics import NDB, FrechetDistance, InceptionScore, KernelDistance, PrecisionRecall

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def counts(kept):
    real, fake = kept.seen[-1]
    return len(real), len(fake)


def test_there_are_as_many_fakes_as_real_samples(make_gan, quiet):
    kept = Kept()
    fit_ring(quiet, make_gan(), Evaluation([kept]))
    assert counts(kept) == (40, 40)


def test_of_many_real_samples_so_many_are_used(make_gan, quiet, monkeypatch):
    monkeypatch.setattr(scoring, "MOST_SAMPLES", 24)
    kept = Kept()
    fit_ring(quiet, make_gan(), Evaluation([kept]))
    assert counts(kept) == (24, 24)


def test_a_number_that_is_asked_for_is_that_of_the_fakes(make_gan, quiet):
    kept = Kept()
    fit_ring(quiet, make_gan(), Evaluation([kept], num_samples=100))
    assert counts(kept) == (40, 100)


def said(caplog):
    (line,) = [message for message in caplog.messages if message.startswith("Evaluation: ")]
    return line


def test_a_line_says_before_training_what_is_scored_and_about_how_long_it_takes(make_gan, quiet, caplog):
    with caplog.at_level(logging.INFO):
        fit_ring(quiet, make_gan(), Evaluation([Shift(), PrecisionRecall()], every_n_epochs=2), max_epochs=5)
    assert said(caplog) == (
        "Evaluation: 40 generated samples beside 40 real ones of the val split of GaussianRing after every 2 epochs, "
        "about 1 s each."
    ), "the names of a score of the user are not known"


def test_the_line_has_the_names_that_can_be_monitored(make_gan, quiet, caplog):
    with caplog.at_level(logging.INFO):
        fit_ring(quiet, make_gan(), Evaluation([FrechetDistance(), PrecisionRecall()]))
    assert said(caplog).endswith(" Logged as val/fd, val/precision, val/recall.")


def test_a_long_evaluation_is_said_to_be_long(make_gan, quiet, caplog, monkeypatch):
    class Slow(Shift):
        def update(self, samples, real):
            clock[0] += 5 * len(samples)
            super().update(samples, real)

    clock = [0.0]
    monkeypatch.setattr(scoring.time, "perf_counter", lambda: clock[0])
    with caplog.at_level(logging.INFO):
        Trainer(**quiet, callbacks=[evaluation(Slow(), num_samples=40)]).validate(make_gan(), ring(), verbose=False)
    assert "about 3 min 20 s; a smaller num_samples or a larger every_n_epochs needs less." in said(caplog)


def test_everything_that_is_too_few_is_one_message(make_gan, quiet):
    scores = [KernelDistance(subset_size=100), NDB(num_bins=50), InceptionScoreOfPoints(), PrecisionRecall(k=3)]
    with pytest.raises(ValueError) as refused:
        fit_ring(quiet, make_gan(), Evaluation(scores))
    text = str(refused.value)
    assert "KernelDistance needs at least 100 real samples, but would get 40; NDB needs at least 50 real" in text
    assert "KernelDistance: lower its subset_size, or NDB: lower its num_bins" in text
    assert "PrecisionRecall" not in text and "\n" not in text and text.count("val split of GaussianRing has 40") == 1


class InceptionScoreOfPoints(Shift):
    """A score that does not take the samples at all."""

    def update(self, samples, real):
        raise RuntimeError("expected images")


def test_what_a_score_does_not_take_is_in_the_same_message(make_gan, quiet):
    with pytest.raises(ValueError, match=r"InceptionScoreOfPoints does not take .*needs at least 100 real samples"):
        fit_ring(quiet, make_gan(), Evaluation([InceptionScoreOfPoints(), KernelDistance(subset_size=100)]))


@pytest.mark.parametrize(
    ("score", "remedied"),
    [
        (lambda: KernelDistance(subset_size=100), lambda: KernelDistance(subset_size=20)),
        (lambda: NDB(num_bins=50), lambda: NDB(num_bins=5)),
        (lambda: PrecisionRecall(k=60), lambda: PrecisionRecall(k=3)),
    ],
)
def test_the_remedy_works(make_gan, quiet, score, remedied):
    with pytest.raises(ValueError, match=r"lower its \w+"):
        fit_ring(quiet, make_gan(), Evaluation([score()]))
    assert fit_ring(quiet, make_gan(), Evaluation([remedied()])).state.finished


def test_more_samples_of_another_split_are_the_other_remedy(make_gan, quiet):
    trainer = fit_ring(quiet, make_gan(), Evaluation([KernelDistance(subset_size=60)], split="train"))
    assert "train/kd" in trainer.callback_metrics


def test_the_inception_score_names_its_splits():
    assert InceptionScore(splits=10).for_fewer_samples == "lower its splits"


def test_the_cost_of_all_evaluations_is_said(make_gan, quiet, caplog, monkeypatch):
    monkeypatch.setattr("lightning_gans.callbacks.evaluation.cost._NOTABLE", 0.0)
    with caplog.at_level(logging.INFO):
        fit_ring(quiet, make_gan(), Evaluation([PrecisionRecall()], every_n_epochs=2), max_epochs=5)
    assert re.search(r"about \d+ s each, \d+ s for all 3\.", said(caplog)), "seconds, as this machine needs them"
