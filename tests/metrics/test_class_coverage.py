"""Class coverage with a classifier of grey levels, and with the digit classifier of the library."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from lightning_gans.metrics import ClassCoverage
from lightning_gans.networks import FrozenClassifier


class Levels(nn.Module):
    """Confident of class 0 below −0.5 and of class 2 above 0.5; class 1 in between, without confidence."""

    input_shape = (1, 4, 4)

    def forward(self, x):
        level = x.mean((1, 2, 3))
        low, high = (level < -0.5).float(), (level > 0.5).float()
        return torch.stack([9 * low, 1 - low - high, 9 * high], 1)


def grey(*levels):
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)


def figures(fake, real=None, **kwargs):
    score = ClassCoverage(Levels(), **kwargs)
    score.update(fake, real=False)
    if real is not None:
        score.update(real, real=True)
    return {name: float(value) for name, value in score.figures().items()}


def test_figures_equal_an_independent_count():
    fake = grey(-1.0, -1.0, 0.0, -1.0)
    found = figures(fake, real=grey(-1.0, 0.0, 1.0, 1.0, 1.0))
    assert found["classes"] == 2 and found["confident"] == 0.75 and found["confident_classes"] == 1
    assert found["kl_uniform"] == pytest.approx(math.log(3) + 0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert found["kl_uniform_floor"] == pytest.approx(2 / 8)
    assert found["kl_real_floor"] == pytest.approx(2 / 2 * (1 / 4 + 1 / 5))
    shares = [1.5 / 6.5, 1.5 / 6.5]  # half a count added to each
    assert found["kl_real"] == pytest.approx(0.75 * math.log(0.75 / shares[0]) + 0.25 * math.log(0.25 / shares[1]))


def test_fakes_with_the_histogram_of_the_reals_have_no_divergence_from_them():
    levels = grey(*[-1.0] * 500, *[0.0] * 1000, *[1.0] * 1500)
    found = figures(levels, real=levels)
    assert found["kl_real"] < 1e-6 and found["kl_uniform"] > 0.08
    assert figures(grey(-1.0, 0.0, 1.0))["kl_uniform"] == pytest.approx(0, abs=1e-12)


def test_each_channel_is_a_digit_of_the_class_the_first_channel_first():
    triples = torch.tensor([[-1.0, 0.0, 1.0], [1.0, -1.0, -1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    score = ClassCoverage(Levels(), channels=3)
    score.update(triples.view(4, 3, 1, 1).expand(-1, -1, 4, 4), real=False)
    assert len(score.fake_counts) == 27
    assert score.fake_counts.nonzero().flatten().tolist() == [0 * 9 + 1 * 3 + 2, 2 * 9, 2 * 9 + 2 * 3 + 2]
    found = score.figures()
    assert found["classes"] == 3 and found["confident_classes"] == 2  # class 1 is never confident
    assert found["confident"] == 0.75 and float(found["kl_uniform_floor"]) == pytest.approx(26 / 8)


def test_confidence_is_a_threshold():
    middle = math.e / (math.e + 2)  # 0.576
    assert figures(grey(0.0), confidence=middle - 0.01)["confident"] == 1
    assert figures(grey(0.0), confidence=middle + 0.01)["confident"] == 0


def test_a_frozen_classifier_is_kept_and_any_other_is_frozen():
    frozen = FrozenClassifier(Levels())
    assert ClassCoverage(frozen).classifier is frozen and isinstance(ClassCoverage(frozen).network, Levels)
    assert isinstance(ClassCoverage(Levels()).classifier, FrozenClassifier)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"confidence": 1.0}, r"^ClassCoverage\(confidence=1.0\): expected a number in \[0, 1\), such as 0\.8\.$"),
        ({"confidence": math.nan}, r"^ClassCoverage\(confidence=nan\): expected a number in \[0, 1\), such as 0\.8\.$"),
        ({"channels": 0}, r"^ClassCoverage\(channels=0\): expected a whole number of at least 1, such as 1\.$"),
        ({"channels": 30}, "expected at most a million; use fewer channels"),
    ],
)
def test_arguments_out_of_range_are_refused(settings, line):
    with pytest.raises(ValueError, match=line):
        ClassCoverage(Levels(), **settings)


def test_images_without_the_channels_are_refused():
    score = ClassCoverage(Levels(), channels=3)
    with pytest.raises(ValueError, match=r"samples of shape \(1, 4, 4\); expected images \(3, H, W\); use channels=1"):
        score.update(grey(0.0), real=False)


@pytest.mark.slow
def test_real_stacked_mnist_has_the_published_figures():
    if not Path("data/MNIST/raw").is_dir():
        pytest.skip("data/MNIST/raw is absent")
    from lightning_gans.data import StackedMNIST

    data = StackedMNIST(batch_size=1000, labels=True)
    data.setup("test")
    score = ClassCoverage(channels=3)
    right = 0
    for x, y in data.test_dataloader():
        before = score.fake_counts.clone()
        score.update(x, real=False)
        right += int(torch.minimum(score.fake_counts - before, torch.bincount(y, minlength=1000)).sum())
    found = score.figures()
    assert found["classes"] == found["confident_classes"] == 1000 and right / 26_000 > 0.98
    assert float(found["kl_uniform_floor"]) == pytest.approx(0.0192, abs=1e-4)
    assert float(found["kl_uniform"]) == pytest.approx(0.0236, abs=0.0025) and found["confident"] > 0.96
