"""Which figures are drawn together, and their captions."""

import math
from typing import ClassVar

import pytest

from lightning_gans import metrics
from lightning_gans.callbacks.health.readings import Reading
from lightning_gans.callbacks.report.charts import DECIDING, TRAINING, charts, read_columns
from lightning_gans.metrics import Score


def test_figures_are_read_with_the_number_of_batches(tmp_path):
    (tmp_path / "metrics.csv").write_text("a,epoch,step,b\n1.5,0,9,\n,0,11,nan\n2,0,19,inf\n")
    columns = read_columns(tmp_path / "metrics.csv")
    assert set(columns) == {"a", "b"} and columns["a"] == ([10.0, 20.0], [1.5, 2.0])
    assert columns["b"][0] == [12.0, 20.0] and math.isnan(columns["b"][1][0]) and columns["b"][1][1] == math.inf


def of(*names, values=(1.0, 2.0)):
    return {name: ([1.0, 2.0], list(values)) for name in names}


def test_whatever_is_logged_is_drawn_once():
    names = [
        *("loss/generator", "loss/discriminator", "loss/penalty", "val/generator_loss", "val/real_logit", "val/fd"),
        *("gradients/generator", "discriminator/separation", "generator/saturated", "mine", "health/energy"),
        *("generator/learning_rate", "discriminator/learning_rate"),
    ]
    sections = charts(of(*names, "progress/images"))
    drawn = [column for found in sections.values() for chart in found for column in chart.lines.values()]
    assert sorted(drawn) == sorted(names)
    assert [chart.title for chart in sections["Other figures"]] == ["generator/saturated", "mine"]
    assert charts({}) == {}


def test_a_constant_learning_rate_is_not_drawn():
    names = ("generator/learning_rate", "discriminator/learning_rate")
    assert "Training" not in charts(of(*names, values=(0.1, 0.1)))
    assert charts(of(*names))["Training"][0].title == "Learning rates"


def test_a_floor_is_drawn_beside_its_figure():
    (chart,) = charts(of("val/reverse_kl", "val/reverse_kl_floor"))["Scores"]
    assert chart.lines == {"reverse_kl": "val/reverse_kl", "floor": "val/reverse_kl_floor"}
    (alone,) = charts(of("val/x_floor"))["Scores"]
    assert alone.lines == {"x_floor": "val/x_floor"}


def test_what_decides_the_verdict_is_drawn_by_panels_and_other_readings_apart():
    names = ("fake_slope", "separation", "energy", "real_slope", "real_score", "fake_score", "width")
    sections = charts(of(*(f"health/{name}" for name in names)))
    assert {chart.title: list(chart.lines) for chart in sections[DECIDING]} == {
        "Distance of the samples from the data": ["energy"],
        "How well D tells real from fake": ["separation"],
        "Slope of D": ["real slope", "fake slope"],
    }
    assert [chart.log for chart in sections[DECIDING]] == [False, False, True]
    assert {chart.title: list(chart.lines) for chart in sections["Other figures"]} == {
        "Score": ["real", "generated"],
        "Width": [""],
    }


def test_what_the_training_log_and_the_monitor_both_measure_is_drawn_once():
    log = ("loss/generator", "gradients/discriminator", "discriminator/separation")
    health = ("health/generator_loss", "health/discriminator_gradient", "health/separation")
    sections = charts(of(*log, *health))
    assert [chart.title for chart in sections["Training"]] == ["Losses", "Gradient norms"]
    assert [chart.title for chart in sections[DECIDING]] == ["How well D tells real from fake"]
    assert "Other figures" not in sections
    assert [chart.title for chart in charts(of(*log))["Training"]] == ["Losses", "Separation", "Gradient norms"]
    assert [chart.title for chart in charts(of(*health))[DECIDING]] == [
        "How well D tells real from fake",
        "Gradient norms",
        "Losses",
    ]


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        ("fd", "Fréchet"),
        ("fd_digits", "Fréchet"),
        ("kd_std", "Standard deviation of kd"),
        ("ndb_js", "Jensen"),
        ("confident_classes", "How many classes"),
    ],
)
def test_the_caption_of_a_score_is_that_of_the_longest_name_that_fits(figure, words):
    (chart,) = charts(of(f"val/{figure}"))["Scores"]
    assert words in chart.caption


def test_a_score_of_ones_own_brings_its_caption():
    class Mine(Score):
        captions: ClassVar = {"mine": "Only a test."}

    assert [chart.caption for chart in charts(of("val/mine", "val/yours"))["Scores"]] == ["Only a test.", ""]
    del Mine


def test_every_score_has_captions():
    kinds = [kind for kind in vars(metrics).values() if isinstance(kind, type) and issubclass(kind, Score)]
    bases = {Score, metrics.FeatureScore, metrics.KeptFeatures, metrics.PairScore}
    assert len(kinds) > len(bases) and not [kind for kind in {*kinds} - bases if not kind.captions]


def test_every_panel_of_training_and_of_readings_has_a_caption():
    assert all(chart.caption for chart in TRAINING)
    names = [f"health/{name}" for name in Reading(0).figures()]
    sections = charts(of(*names))
    assert [chart.title for found in sections.values() for chart in found if not chart.caption] == []
