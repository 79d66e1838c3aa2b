"""ClassSpread: against plain loops, for collapse inside classes, and with the labels that a generator was given."""

import itertools
import math

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn

from lightning_gans import GAN
from lightning_gans.callbacks import Evaluation
from lightning_gans.data import Digits
from lightning_gans.metrics import ClassSpread
from lightning_gans.networks import Generator, MLPDiscriminator


class ByCorner(nn.Module):
    """The class of an image is that of four bands in which its first pixel lies."""

    input_shape = (1, 2, 2)

    def forward(self, x):
        return -(x[:, 0, 0, :1] - torch.tensor([-0.75, -0.25, 0.25, 0.75])).abs()


def images(classes, seed=0, varied=True):
    source = torch.Generator().manual_seed(seed)
    x = (
        torch.rand(len(classes), 1, 2, 2, generator=source) * 1.6 - 0.8
        if varied
        else torch.zeros(len(classes), 1, 2, 2)
    )
    x[:, 0, 0, 0] = torch.tensor(classes) / 2 - 0.75
    return x


def figures(real, fake, labels=None, **arguments):
    score = ClassSpread(ByCorner(), **arguments)
    score.update(real, real=True)
    for part, own in zip(fake.split(7), (None,) * 99 if labels is None else labels.split(7), strict=False):
        score.update(part, real=False, labels=own)
    return {name: value.item() for name, value in score.figures().items()}


def mean_by_loops(x):
    return sum(math.dist(a, b) for a, b in itertools.combinations(x.flatten(1).tolist(), 2)) / math.comb(len(x), 2)


def test_it_equals_plain_loops():
    reals, fakes = [0, 1, 2] * 6, [0, 0, 1, 1, 1, 2, 2, 2, 2]
    real, fake = images(reals), 0.7 * images(fakes, seed=1)
    fake[:, 0, 0, 0] /= 0.7
    spreads = [
        mean_by_loops(fake[torch.tensor(fakes) == one]) / mean_by_loops(real[torch.tensor(reals) == one])
        for one in range(3)
    ]
    found = figures(real, fake)
    assert found == {
        "class_spread": pytest.approx(sum(spreads) / 3, rel=1e-6),
        "least_class_spread": pytest.approx(min(spreads), rel=1e-6),
    }


def test_one_picture_per_class_has_no_spread_and_the_data_itself_has_1():
    real = images([0, 1, 2, 3] * 5)
    assert figures(real, images([0, 1, 2, 3] * 5, varied=False))["class_spread"] == 0
    assert figures(real, real) == {"class_spread": pytest.approx(1), "least_class_spread": pytest.approx(1)}


def test_a_class_without_two_fakes_has_none_and_one_with_few_reals_does_not_count():
    real = images([0, 1] * 5 + [2, 2])
    found = figures(real, images([0] * 8 + [1]))
    assert found["least_class_spread"] == 0 and found["class_spread"] > 0.2
    assert figures(real, images([0, 1] * 4), least=3)["least_class_spread"] > 0.5, "class 2 has two reals"


def test_the_share_of_right_classes_is_that_of_the_labels():
    found = figures(images([0, 1] * 5), images([0, 1, 2, 3] * 4), labels=torch.tensor([0, 1, 0, 3] * 4))
    assert found["right_class"] == pytest.approx(12 / 16)


def test_reals_without_variety_or_number_are_refused():
    with pytest.raises(ValueError, match=r"all 10 real samples of class 1 are equal"):
        figures(images([1] * 10, varied=False), images([1] * 4))
    with pytest.raises(
        ValueError, match=r"ClassSpread\(least=9\): no class of the classifier has as many of the 8 real"
    ):
        figures(images([0, 1] * 4), images([1] * 4), least=9)
    with pytest.raises(ValueError, match=r"ClassSpread\(least=1\): expected a whole number of at least 2, such as 2\."):
        ClassSpread(ByCorner(), least=1)


class ByLabel(Generator):
    """Shows the label as the shade of the image, but 9 as 8."""

    def __init__(self):
        super().__init__((1, 8, 8), 2, num_classes=10)
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, z, labels=None):
        self.check_input(z, labels)
        shade = labels.clamp(max=8) / 5 - 0.9
        return shade[:, None, None, None].expand(-1, 1, 8, 8) + 0.01 * z[:, :1, None, None] + self.weight


class ByShade(nn.Module):
    input_shape = (1, 8, 8)

    def forward(self, x):
        return -(x[:, 0, 0, :1] - (torch.arange(10) / 5 - 0.9)).abs()


def test_an_evaluation_gives_it_the_labels_of_the_generator(quiet):
    evaluation = Evaluation([ClassSpread(ByShade())], num_samples=40, statistics=None)
    gan = GAN(ByLabel(), MLPDiscriminator((1, 8, 8), width=4, num_classes=10))
    Trainer(**quiet, callbacks=[evaluation]).validate(gan, Digits(labels=True, size=8), verbose=False)
    assert evaluation.board.figures["right_class"] == pytest.approx(0.9)
    assert 0 < evaluation.board.figures["class_spread"] < 0.2
