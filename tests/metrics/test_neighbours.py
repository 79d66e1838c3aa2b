"""Scores of neighbours and distances against loops over every pair."""

import math

import pytest
import torch
from scipy.spatial.distance import jensenshannon, pdist
from scipy.stats import mannwhitneyu

from lightning_gans.metrics import NDB, DensityCoverage, NearestNeighbour, PairwiseDiversity, PrecisionRecall, distances


def figures(score, real, fake):
    score.update(real, real=True)
    score.update(fake, real=False)
    return {name: float(value) for name, value in score.figures().items()}


def points(size=30, dim=4, seed=0, scale=1.0):
    return torch.randn(size, dim, generator=torch.Generator().manual_seed(seed)) * scale


def radii(x, k):
    x = x.tolist()
    return [sorted(math.dist(a, b) for j, b in enumerate(x) if i != j)[k - 1] for i, a in enumerate(x)]


@pytest.fixture(params=["whole", "in blocks"])
def blocks(request, monkeypatch):
    if request.param == "in blocks":
        monkeypatch.setattr(distances, "BLOCK", 70)  # two or three rows at a time


@pytest.mark.usefixtures("blocks")
def test_distances_equal_those_of_loops_and_are_0_between_equal_rows():
    x, y = points(7) + 1000, points(31, seed=1) + 1000
    y[3] = x[2]
    found = torch.cat([part for _, part in distances.distance_blocks(x, y)])
    expected = torch.tensor([[math.dist(a, b) for b in y.tolist()] for a in x.tolist()])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert found[2, 3] == 0
    torch.testing.assert_close(distances.distances_to_neighbours(y, 2), torch.tensor(radii(y, 2)))


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_equal_those_of_loops(k):
    real, fake = points(scale=0.8), points(25, seed=1) + 0.7
    for name, of, within in ("precision", fake, real), ("recall", real, fake):
        reach = radii(within, k)
        inside = [any(math.dist(a, b) <= r for b, r in zip(within.tolist(), reach, strict=True)) for a in of.tolist()]
        share = sum(inside) / len(inside)
        assert 0 < share < 1
        assert figures(PrecisionRecall(k=k), real, fake)[name] == pytest.approx(share)


def test_precision_and_recall_at_their_limits():
    x = points()
    assert figures(PrecisionRecall(), x, x.flip(0)) == {"precision": 1, "recall": 1}
    assert figures(PrecisionRecall(), x, x + 100) == {"precision": 0, "recall": 0}
    found = figures(PrecisionRecall(), x, x[:1] + points(30, scale=1e-3))  # collapsed to one good sample
    assert found["precision"] == 1 and found["recall"] <= 1 / 30


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("k", [1, 5])
def test_density_and_coverage_equal_those_of_loops(k):
    real, fake = points(), points(25, seed=1) + 0.7
    reach = radii(real, k)
    inside = [[math.dist(a, b) < r for b in fake.tolist()] for a, r in zip(real.tolist(), reach, strict=True)]
    found = figures(DensityCoverage(k=k), real, fake)
    assert found["density"] == pytest.approx(sum(map(sum, inside)) / (k * 25))
    assert found["coverage"] == pytest.approx(sum(map(any, inside)) / 30)
    assert 0 < found["coverage"] < 1


def test_density_and_coverage_at_their_limits():
    x = points()
    assert figures(DensityCoverage(), x, x.flip(0)) == {"density": 1, "coverage": 1}
    assert figures(DensityCoverage(), x, x + 100) == {"density": 0, "coverage": 0}
    many, other = points(1000, 2), points(1000, 2, seed=1)
    found = figures(DensityCoverage(), many, other)
    assert found["density"] == pytest.approx(1, abs=0.1)
    assert found["coverage"] == pytest.approx(1 - 0.5**5, abs=0.02)


def clusters(*counts):
    centres = 10 * torch.eye(3)
    return torch.cat([centres[i] + points(n, 3, seed=i, scale=0.1) for i, n in enumerate(counts)])


def test_bins_that_differ_are_counted_by_the_test_of_two_proportions():
    found = figures(NDB(num_bins=3), clusters(100, 100, 100), clusters(102, 120, 78))
    differ = 0
    for a, b in (100, 102), (100, 120), (100, 78):
        pooled = (a + b) / 600
        z = abs(a - b) / 300 / math.sqrt(pooled * (1 - pooled) * 2 / 300)
        differ += z > 1.959964
    assert differ == 1 and found["ndb"] == pytest.approx(1 / 3)  # z = 0.17, 1.69, 1.96
    expected = jensenshannon([1, 1, 1], [102, 120, 78]) ** 2
    assert found["ndb_js"] == pytest.approx(expected, rel=1e-5)
    loose = figures(NDB(num_bins=3, alpha=0.1), clusters(100, 100, 100), clusters(102, 120, 78))
    assert loose["ndb"] == pytest.approx(2 / 3) and loose["ndb_js"] == found["ndb_js"]


def test_bins_at_their_limits_and_their_options():
    x = clusters(50, 50, 50)
    same = figures(NDB(num_bins=3), x, x)
    assert same["ndb"] == 0 and same["ndb_js"] == pytest.approx(0, abs=1e-12)
    lost = figures(NDB(num_bins=3), x, clusters(150, 0, 0))
    assert lost["ndb"] == 1 and lost["ndb_js"] > 0.3
    likely = figures(NDB(num_bins=20), points(2000), points(1000, seed=1))
    assert likely["ndb_js_floor"] == pytest.approx(19 / 8 * (1 / 1000 + 1 / 2000)) and likely["ndb_floor"] == 0.05
    assert likely["ndb_js"] == pytest.approx(likely["ndb_js_floor"], rel=0.5) and likely["ndb"] <= 0.15
    cloud, other = points(200), points(200, seed=1)
    plain = figures(NDB(num_bins=9), cloud, other)["ndb_js"]
    assert figures(NDB(num_bins=8), cloud, other)["ndb_js"] != plain
    assert figures(NDB(num_bins=9, seed=1), cloud, other)["ndb_js"] != plain


def test_diversity_is_the_ratio_of_the_mean_distances_of_scipy():
    real, fake = points(), points(25, seed=1, scale=0.3)
    found = figures(PairwiseDiversity(), real, fake)
    assert found == {"diversity": pytest.approx(pdist(fake.numpy()).mean() / pdist(real.numpy()).mean(), rel=1e-5)}
    assert figures(PairwiseDiversity(), real.view(30, 1, 2, 2), 3 * real.view(30, 1, 2, 2))[
        "diversity"
    ] == pytest.approx(3)


@pytest.mark.usefixtures("blocks")
def test_nearest_neighbours_equal_loops_and_the_test_of_scipy():
    real, fake = points(), torch.cat([points(10, seed=1), points()[:3]])
    to_real = [min(math.dist(a, b) for b in real.tolist()) for a in fake.tolist()]
    among = radii(real, 1)
    found = figures(NearestNeighbour(), real, fake)
    assert found["nn_ratio"] == pytest.approx(sum(to_real) / 13 / (sum(among) / 30), rel=1e-4)
    assert found["nn_closer"] == pytest.approx(mannwhitneyu(among, to_real).statistic / (13 * 30))


def test_nearest_neighbours_distinguish_copies_new_samples_and_poor_ones():
    real = points(500)
    new, copies, poor = points(500, seed=1), real.flip(0), points(500, seed=1) + 5
    assert figures(NearestNeighbour(), real, copies) == {"nn_ratio": 0, "nn_closer": 1}
    found = figures(NearestNeighbour(), real, new)
    assert found["nn_ratio"] == pytest.approx(1, abs=0.08) and found["nn_closer"] == pytest.approx(0.5, abs=0.05)
    assert figures(NearestNeighbour(), real, poor)["nn_ratio"] > 2
    assert figures(NearestNeighbour(), points(4).repeat(1, 1), points(4))["nn_closer"] == 1
    line = torch.tensor([[0.0], [1.0], [2.0]])  # each at 1 from its neighbour: ties count half
    assert figures(NearestNeighbour(), line, line + 3)["nn_closer"] == pytest.approx((0.5 + 0 + 0) / 3)


@pytest.mark.parametrize(
    ("score", "settings"),
    [
        (PrecisionRecall, {"k": 0}),
        (DensityCoverage, {"k": 2.5}),
        (NDB, {"num_bins": 1}),
        (NDB, {"seed": -1}),
        (NDB, {"seed": True}),
    ],
)
def test_arguments_out_of_range_are_refused(score, settings):
    name, value = next(iter(settings.items()))
    with pytest.raises(ValueError, match=rf"{score.__name__}\({name}={value}\): expected a whole number of at least"):
        score(**settings)


def test_levels_out_of_range_and_bins_that_stay_empty_are_refused():
    for alpha in (0, 1, math.nan):
        with pytest.raises(ValueError, match=rf"NDB\(alpha={alpha}\): expected a level above 0 and below 1"):
            NDB(alpha=alpha)
    with pytest.raises(ValueError, match=r"NDB\(num_bins=5\): only 4 real samples differ; use fewer bins"):
        figures(NDB(num_bins=5), points(4).repeat(5, 1), points())
    with pytest.raises(ValueError, match="NDB: 30 real samples; expected at least 100"):
        figures(NDB(), points(), points())
    with pytest.raises(ValueError, match="PrecisionRecall: 3 fake samples; expected at least 4"):
        figures(PrecisionRecall(), points(), points(3))
