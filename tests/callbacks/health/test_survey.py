"""Surveys: figures against loops and closed forms, about 1 for real samples, and each defect moves its own figure."""

import math

import pytest
import torch
from sklearn.metrics import pairwise_distances

from lightning_gans.callbacks.health.modes import modes_of
from lightning_gans.callbacks.health.space import DigitSpace, PointSpace, TextureSpace, space_of
from lightning_gans.callbacks.health.survey import Survey
from lightning_gans.data import Digits


def ring(number, seed, sigma=0.05, modes=range(8)):
    """Return points of eight Gaussians on a ring, of some of them."""
    source = torch.Generator().manual_seed(seed)
    angles = torch.tensor(list(modes))[torch.randint(len(modes), (number,), generator=source)] * math.pi / 4
    return torch.stack([angles.cos(), angles.sin()], 1) + sigma * torch.randn(number, 2, generator=source)


@pytest.fixture(scope="module")
def points():
    return Survey(ring(512, 0), None)


@pytest.fixture(scope="module")
def digits():
    """Return all digits of scikit-learn at 16 x 16 and their labels, in random order."""
    data = Digits(size=16, labels=True, batch_size=1445)
    data.setup("fit")
    torch.manual_seed(0)
    return next(iter(data.train_dataloader()))


@pytest.fixture(scope="module")
def images(digits):
    return Survey(digits[0][:900], None)


# ---------------------------------------------------------------- the figures


def test_figures_of_points_against_loops(points):
    fake = ring(256, 1, sigma=0.07, modes=range(7))
    found, raw = points.compare(fake), points._real
    real = raw.x.double().numpy()
    across = pairwise_distances(real, fake.double().numpy())
    among, between = pairwise_distances(real), pairwise_distances(fake.double().numpy())
    apart = among.copy()
    for index in range(len(apart)):
        apart[index, index] = math.inf
    radii = [sorted(row)[4] for row in apart]
    inside = [[distance <= radius for distance in row] for row, radius in zip(across, radii, strict=True)]
    coverage = sum(map(any, inside)) / len(real)
    density = sum(map(sum, inside)) / 5 / len(fake)
    gap = sorted(row.min() for row in apart)[(len(real) - 1) // 2]
    width = sorted(column.min() for column in across.T)[(len(fake) - 1) // 2] / gap
    assert found["coverage"] * points.floor["coverage"] == pytest.approx(coverage, rel=1e-4)
    assert found["density"] * points.floor["density"] == pytest.approx(density, rel=1e-4)
    assert found["width"] * points.floor["width"] == pytest.approx(width, rel=1e-3)
    pairs = [one.sum() / (len(one) * (len(one) - 1)) for one in (among, between)]
    assert found["distance"] == pytest.approx(1 - sum(pairs) / 2 / across.mean(), abs=1e-4)
    assert found["missing"] == 1 and points.names == ["(0.71, -0.71)"]


@pytest.mark.parametrize("seed", range(1, 6))
def test_real_samples_have_1_or_0(points, seed):
    found = points.compare(ring(256, seed))
    for name in ("coverage", "density", "width", "gap", "spread"):
        assert found[name] == pytest.approx(1, abs=0.3), name
    for name in ("distance", "outside", "missing", "imbalance", "repeats"):
        assert found[name] == pytest.approx(0, abs=0.05), name
    assert all(math.isnan(found[name]) for name in ("copies", "contrast", "sharpness", "agreement"))


def test_the_width_of_modes_is_their_spread(points):
    for factor in (0.25, 0.5, 1.4):
        found = points.compare(ring(256, 1, sigma=0.05 * factor))
        assert found["spread"] == pytest.approx(factor, rel=0.15) and found["gap"] == pytest.approx(factor, rel=0.3)


def test_unequal_modes_have_the_kl_divergence_of_their_shares(points):
    often = torch.cat([ring(156, 1), ring(100, 2, modes=[0])])
    shares = torch.full((8,), 156 / 256 / 8)
    shares[0] += 100 / 256
    divergence = (shares * (8 * shares).log()).sum().item()
    assert points.compare(often)["imbalance"] == pytest.approx(divergence, abs=0.1)


def test_points_between_modes_are_outside(points):
    half = torch.cat([ring(128, 1), torch.zeros(128, 2)])
    assert points.compare(half)["outside"] == pytest.approx(0.5, abs=0.01)


def test_repeats_are_the_share_of_fakes_with_a_copy(points):
    fake = ring(256, 1)
    fake[:64] = fake[64:128]
    assert points.compare(fake)["repeats"] == pytest.approx(0.5, abs=0.08)


def held(digits, rows=slice(900, 1060)):
    return digits[0][rows], digits[1][rows]


def blurred(x):
    return torch.nn.functional.avg_pool2d(x, 5, 1, 2)


DEFECTS = {
    "coverage": (lambda x, pool: x[:10].repeat(16, 1, 1, 1), 0, 0.4),
    "density": (lambda x, pool: torch.randn_like(x).clamp(-1, 1), 0, 0.1),
    "repeats": (lambda x, pool: x[:10].repeat(16, 1, 1, 1), 0.9, 1.1),
    "copies": (lambda x, pool: pool[:160], 0.5, 1),
    "contrast": (lambda x, pool: x / 2, 0.45, 0.55),
    "sharpness": (lambda x, pool: blurred(x), 0, 0.5),
    "distance": (lambda x, pool: torch.randn_like(x).clamp(-1, 1), 0.2, 1),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_of_images_moves_its_figure(digits, images, name):
    change, low, high = DEFECTS[name]
    x, _ = held(digits)
    good, bad = (images.compare(one)[name] for one in (x, change(x, digits[0][:900])))
    assert low <= bad <= high and not low <= good <= high


def test_pixels_of_other_images_are_far_in_features_and_near_in_pixels(digits, images):
    x, _ = held(digits)
    mixed = x.gather(0, torch.rand(x.shape).argsort(0))
    assert images.compare(mixed)["coverage"] < 0.1 < 0.5 < images.compare(x)["coverage"]


def test_a_missing_digit_is_named(digits, images):
    x, y = digits[0][900:], digits[1][900:]
    assert images.compare(x[y != 6][:200])["missing"] == 1 and images.names == ["digit 6"]
    assert images.of_modes() == {"modes": 10.0, "missing_names": ("digit 6",)}


def test_spread_and_agreement_of_classes(digits):
    survey = Survey(digits[0][:900], digits[1][:900])
    x, y = held(digits)
    real = survey.compare(x, y)
    assert real["agreement"] == pytest.approx(1, abs=0.1) and real["spread"] == pytest.approx(1, abs=0.15)
    assert survey.compare(x, y.roll(1))["agreement"] < 0.3, "the labels of others"
    first = torch.stack([x[y == label][0] for label in range(10)])
    assert survey.compare(first[y], y)["spread"] < 0.02
    one = torch.where((y == 4)[:, None, None, None], first[y], x)
    assert survey.compare(one, y)["least"] < 0.02 and survey.compare(one, y)["spread"] > 0.8


# ---------------------------------------------------------------- modes and spaces


def test_modes_of_a_ring_are_its_gaussians_named_by_their_centres(points):
    assert points.modes.kind == "modes" and len(points.modes.names) == 8
    for angle in range(8):
        centre = torch.tensor([[math.cos(angle * math.pi / 4), math.sin(angle * math.pi / 4)]])
        assert torch.cdist(centre, points.modes.centres).min() < 0.02
    named = torch.tensor([eval(name) for name in points.modes.names])
    torch.testing.assert_close(named, points.modes.centres, atol=0.006, rtol=0)


def test_a_continuum_has_clusters():
    found = modes_of(torch.randn(500, 2), None, PointSpace())
    assert found.kind == "clusters" and len(found.names) == 10
    assert (found.of(torch.randn(100, 2) * 50, None) >= 0).all(), "nothing is outside of a continuum"


def test_labels_are_classes_and_so_are_digits(digits):
    space = space_of(digits[0])
    assert isinstance(space, DigitSpace)
    features = space.features(digits[0])
    assert modes_of(features, digits[1], space).names[3] == "class 3"
    found = modes_of(features, None, space)
    assert found.names[3] == "digit 3" and (found.of(features, None) == digits[1]).float().mean() > 0.6
    sure = found.of(features, None) >= 0
    assert (found.of(features, None) == digits[1])[sure].float().mean() > 0.9


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 16, 16), (3, 9, 12), (4, 8, 8)])
def test_other_images_have_textures(shape):
    torch.manual_seed(0)
    x = torch.rand(50, *shape) * 2 - 1
    space = space_of(x)
    assert isinstance(space, TextureSpace) and not space.classes
    features = space.features(x)
    assert torch.equal(features, TextureSpace(shape[0]).features(x)), "the weights are the same each time"
    assert len(features) == 50 and features.isfinite().all()
    torch.testing.assert_close(space.features(x[7:9]), features[7:9])


@pytest.mark.parametrize("shape", [(2,), (1, 4, 4), (7, 3)])
def test_points_and_tiny_images_are_compared_as_they_are(shape):
    x = torch.randn(50, *shape)
    assert type(space_of(x)) is PointSpace and torch.equal(space_of(x).features(x), x.flatten(1))


def test_a_survey_leaves_random_numbers_alone(digits):
    state = torch.get_rng_state()
    Survey(digits[0][:60], None).compare(digits[0][60:80])
    assert torch.equal(state, torch.get_rng_state())


# ---------------------------------------------------------------- data that cannot be surveyed


@pytest.mark.parametrize(
    "real",
    [torch.zeros(100, 2), torch.randn(30, 2), torch.zeros(100, 1, 8, 8), torch.eye(3).repeat(40, 1)],
    ids=["constant points", "few points", "constant images", "three points again and again"],
)
def test_there_is_no_survey_without_variance_or_with_few_samples(real):
    assert Survey(real, None).number == 0


@pytest.mark.parametrize("labels", [torch.zeros(200, dtype=torch.long), torch.arange(200)], ids=["one", "each its own"])
def test_any_number_of_classes(labels):
    survey = Survey(torch.randn(200, 2), labels)
    found = survey.compare(torch.randn(100, 2), labels[:100])
    assert found["missing"] == 0 and math.isfinite(found["coverage"])


def test_fakes_of_a_class_that_no_known_real_sample_has():
    labels = torch.arange(200) % 3
    survey = Survey(torch.randn(200, 2), labels)
    found = survey.compare(torch.randn(100, 2), torch.arange(100) % 5)
    assert found["outside"] == pytest.approx(0.4) and found["missing"] == 0


def test_the_class_of_a_fake_is_not_told_from_a_few_real_samples():
    x = torch.randn(200, 2)
    few, enough = (Survey(x, torch.arange(200) % classes) for classes in (20, 4))
    assert math.isnan(few.compare(x[:100], torch.arange(100) % 20)["agreement"])
    assert math.isfinite(enough.compare(x[:100], torch.arange(100) % 4)["agreement"])


def test_there_is_no_survey_of_real_samples_that_are_not_finite():
    real = torch.randn(100, 2)
    real[3, 1] = math.nan
    assert Survey(real, None).number == 0
