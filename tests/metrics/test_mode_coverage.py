"""Modes, share of high quality, reverse KL and σ ratio: independent counts, and limits."""

import math

import numpy as np
import pytest
import torch

from lightning_gans.data import GaussianGrid, GaussianRing, ParallelLines
from lightning_gans.metrics import ModeCoverage


def figures(x, *args, **kwargs):
    score = ModeCoverage(*args, **kwargs)
    for part in x.split(1000):
        score.update(part, real=False)
    return {name: float(value) for name, value in score.figures().items()}


def test_figures_equal_an_independent_count():
    rng = np.random.default_rng(0)
    means, sigma = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [5.0, 5.0]]), 0.2
    x = np.concatenate(
        [means[0] + 0.15 * rng.normal(size=(90, 2)), means[1] + 0.3 * rng.normal(size=(60, 2)), [[3, 3]]]
    )
    groups = {}
    for point in x:
        distances = [math.dist(point, mean) for mean in means]
        if min(distances) <= 3 * sigma:
            groups.setdefault(int(np.argmin(distances)), []).append(point)
    counts = np.array([len(group) for group in groups.values()])
    shares = counts / counts.sum()
    spread = sum(np.square(np.array(group) - np.mean(group, 0)).sum() for group in groups.values())
    found = figures(torch.tensor(x), means.tolist(), sigma)
    assert found["modes"] == len(groups) == 2 and counts.sum() < 150
    assert found["high_quality"] == pytest.approx(counts.sum() / 151)
    assert found["reverse_kl"] == pytest.approx(math.log(4) + (shares * np.log(shares)).sum())
    assert found["reverse_kl_floor"] == pytest.approx(3 / 302)
    assert found["sigma_ratio"] == pytest.approx(math.sqrt(spread / (2 * (counts.sum() - 2))) / sigma)


def test_samples_of_the_ring_have_the_figures_of_a_perfect_generator():
    data = GaussianRing(num_test_samples=100_000)
    found = figures(data.load("test").x, data.means, data.sigma)
    ceiling = 1 - math.exp(-4.5)  # mass of a Gaussian in the plane within 3 sigma
    assert found["modes"] == 8
    assert found["high_quality"] == pytest.approx(ceiling, abs=0.001)
    assert found["sigma_ratio"] == pytest.approx(math.sqrt(1 - 4.5 * (1 - ceiling) / ceiling), abs=0.002)  # 0.974
    assert 0 < found["reverse_kl"] < 4 * found["reverse_kl_floor"]


def test_one_sample_within_the_radius_covers_a_mode():
    x = torch.tensor([[0.0, 0.0], [1.0, 0.29], [0.0, 2.31]])
    means = [[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]
    assert figures(x, means, 0.1)["modes"] == 2
    assert figures(x, means, 0.1, radius=4)["modes"] == 3
    assert figures(x, means, 0.2)["modes"] == 3


def test_without_samples_of_high_quality_the_kl_is_that_of_one_mode():
    found = figures(torch.full((5, 2), 9.0), [[0.0, 0.0], [1.0, 0.0]], 0.1)
    assert (found["modes"], found["high_quality"]) == (0, 0)
    assert found["reverse_kl"] == pytest.approx(math.log(2)) and math.isnan(found["sigma_ratio"])
    assert figures(torch.zeros(5, 2), [[0.0, 0.0], [1.0, 0.0]], 0.1)["reverse_kl"] == pytest.approx(math.log(2))


def expected_of(data, x):
    score = ModeCoverage(data.means.tolist(), data.sigma)
    score.update(x, real=False)
    return score.figures()


@pytest.mark.parametrize("data", [GaussianRing(num_modes=5, radius=2, sigma=0.02), GaussianGrid(side=3)])
def test_modes_are_read_from_the_data_where_they_are_not_given(data):
    x = data.load("test").x
    score = ModeCoverage()
    score.fit_data(data)
    score.fit_data(data)  # for a second stage
    score.update(x, real=False)
    assert score.figures() == expected_of(data, x)
    score.fit_data(GaussianRing(num_modes=3))
    score.update(GaussianRing(num_modes=3).load("test").x, real=False)
    assert score.figures()["modes"] == 3
    given = ModeCoverage(sigma=1e-9)
    given.fit_data(data)
    given.update(x, real=False)
    assert given.figures()["modes"] == 0


def test_unknown_modes_are_refused():
    with pytest.raises(ValueError, match="ParallelLines has no means; use it on GaussianRing or GaussianGrid, or give"):
        ModeCoverage().fit_data(ParallelLines())
    with pytest.raises(ValueError, match="ParallelLines has no sigma"):
        ModeCoverage([[0.0, 0.0]]).fit_data(ParallelLines())
    with pytest.raises(ValueError, match="the modes are not known; give means and sigma, or call fit_data"):
        ModeCoverage().update(torch.zeros(2, 2), real=False)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"sigma": 0}, r"^ModeCoverage\(sigma=0\): expected a finite number above 0, such as 1\.0\.$"),
        ({"sigma": math.nan}, r"^ModeCoverage\(sigma=nan\): expected a finite number above 0, such as 1\.0\.$"),
        ({"radius": -1.0}, r"^ModeCoverage\(radius=-1.0\): expected a finite number above 0, such as 3\.0\.$"),
        ({"means": []}, r"ModeCoverage\(means=\[\]\): expected finite centres \(K, D\)"),
        ({"means": [[math.nan, 0.0]]}, r"expected finite centres"),
        ({"means": [1.0, 2.0]}, r"give a list of points, one a mode"),
    ],
)
def test_arguments_out_of_range_are_refused(settings, line):
    with pytest.raises(ValueError, match=line):
        ModeCoverage(**settings)


def test_samples_of_another_dimension_are_refused():
    with pytest.raises(ValueError, match=r"samples have shape \(3,\) and the modes \(2,\)"):
        ModeCoverage([[0.0, 0.0]], 1.0).update(torch.zeros(4, 3), real=False)
