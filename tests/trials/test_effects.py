"""What a stabilizer is worth: paired differences, their errors and verdicts, against numbers worked out here."""

import csv
import math

import pytest
from PIL import Image
from scipy import stats

from lightning_gans.trials import Outcome, effects_of, write_effects

BASE = [0.50, 0.52, 0.48, 0.51, 0.49]


def outcomes(scores, seconds=10.0, batches=100, memory=500.0, verdict="healthy"):
    return [Outcome("x", score, verdict, batches, seconds, memory) for score in scores]


def shifted(*by):
    return outcomes([score + one for score, one in zip(BASE, by, strict=False)])


def test_an_effect_is_the_mean_paired_difference_with_its_standard_error():
    better = [0.31, 0.28, 0.30, 0.33, 0.28]
    (effect,) = effects_of(outcomes(BASE), {"A": shifted(*better)})
    assert effect.effect == pytest.approx(0.30) and effect.seeds == 5
    assert effect.error == pytest.approx(math.sqrt(sum((x - 0.3) ** 2 for x in better) / 4 / 5))
    with_it = [score + one for score, one in zip(BASE, better, strict=True)]
    assert effect.p == pytest.approx(stats.ttest_rel(with_it, BASE).pvalue)
    assert effect.score == pytest.approx(0.80) and effect.verdict == "helps" and effect.where == "added"


def test_what_was_left_out_has_the_effect_of_its_presence():
    worse = shifted(-0.31, -0.28, -0.30, -0.33, -0.28)
    cheaper = [Outcome("x", one.score, "", 100, 5.0, 250.0) for one in worse]
    (effect,) = effects_of(outcomes(BASE), {"A": cheaper}, ["A"])
    assert effect.effect == pytest.approx(0.30) and effect.verdict == "helps" and effect.where == "left out"
    assert effect.time == 2.0 and effect.memory == 2.0, "with it over without it"
    (added,) = effects_of(outcomes(BASE), {"A": cheaper})
    assert added.verdict == "harms" and added.time == 0.5 and added.memory == 0.5


@pytest.mark.parametrize(
    ("by", "verdict"),
    [
        ((0.2, 0.21, 0.19), "helps"),
        ((-0.2, -0.21, -0.19), "harms"),
        ((0.001, -0.002, 0.001), "equal"),
        ((0.0, 0.0, 0.0), "equal"),
        ((0.02, -0.02, 0.0), "unclear"),  # its interval is ± 0.05
        ((0.3, -0.1, 0.2), "unclear"),
        ((0.3,), "unclear"),  # one seed has no error
    ],
)
def test_each_verdict(by, verdict):
    assert effects_of(outcomes(BASE), {"A": shifted(*by)})[0].verdict == verdict


def test_many_rows_need_more_evidence():
    """By Benjamini and Hochberg the smallest of m p-values has to be below its level over m."""
    by = (0.1, 0.11, 0.145)
    (alone,) = effects_of(outcomes(BASE), {"A": shifted(*by)})
    noise = {f"N{place}": shifted(0.1, -0.1, 0.01 * place) for place in range(9)}
    among = {one.name: one for one in effects_of(outcomes(BASE), {"A": shifted(*by), **noise})}
    assert alone.p < 0.05 and alone.verdict == "helps" and alone.adjusted == pytest.approx(alone.p)
    assert among["A"].adjusted == pytest.approx(10 * alone.p) and among["A"].verdict == "unclear"


def test_what_fails_is_last_with_its_reason_and_the_others_are_sorted():
    bad = [Outcome("x", error="it does not take points")]
    found = effects_of(outcomes(BASE), {"F": bad, "B": shifted(0.0, 0.1), "A": shifted(0.2, 0.3)})
    assert [one.name for one in found] == ["A", "B", "F"]
    assert found[-1].verdict == "fails" and found[-1].note == "it does not take points"
    assert found[0].seeds == 2 and found[0].note == "healthy"


def test_a_seed_whose_base_fails_is_left_out():
    base = [*outcomes(BASE[:1]), Outcome("x", error="NaN"), *outcomes(BASE[2:3])]
    (effect,) = effects_of(base, {"A": shifted(0.1, 9.0, 0.2)})
    assert effect.seeds == 2 and effect.effect == pytest.approx(0.15)


def test_the_table_as_csv_markdown_and_picture(tmp_path):
    found = effects_of(outcomes(BASE), {"A": shifted(0.2, 0.21, 0.19), "F": [Outcome("x", error="no | points")]})
    write_effects(found, "Base: score 0.5", tmp_path)
    with open(tmp_path / "effects.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["verdict"]) for row in rows] == [("A", "helps"), ("F", "fails")]
    assert float(rows[0]["effect"]) == pytest.approx(0.2) and rows[1]["effect"] == ""
    text = (tmp_path / "effects.md").read_text()
    assert "| A | added | 0.700 | +0.200 ± 0.006 | 3 | helps | 1.00 | 1.00 | healthy |" in text
    assert "| F | added | – | – | – | fails | – | – | no / points |" in text and "Benjamini" in text
    colours = Image.open(tmp_path / "effects.png").convert("RGB").getcolors(1 << 20)
    assert (0x2F, 0x9E, 0x6E) in {colour for _, colour in colours}, "green for what helps"
