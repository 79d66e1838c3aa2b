"""Every remedy of a score works when it is done."""

import sys
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch
from helpers import small_gan
from remedied import each_row, fit
from torch import nn

from lightning_gans import data, metrics, networks
from lightning_gans.callbacks import Evaluation
from lightning_gans.metrics import (
    NDB,
    ClassCoverage,
    DensityCoverage,
    FrechetDistance,
    LPIPSDiversity,
    ModeCoverage,
    MultiScaleSSIM,
    NearestNeighbour,
    PairwiseDiversity,
    Score,
)

pytestmark = [pytest.mark.untrusted]
EQUAL = torch.ones(8, 2)
CENTRE = [[0.0, 0.0]]


def points(size=8, dimensions=2):
    return torch.rand(size, dimensions) * 2 - 1


def images(channels=1, side=8, size=4):
    return torch.rand(size, channels, side, side) * 2 - 1


def scored(*scores, real=None, fake=None):
    """Compute the figures of scores, of points where no samples are given."""
    real = points() if real is None else real
    for one in scores:
        one.update(real, real=True)
        one.update(points() if fake is None else fake, real=False)
        assert one.figures()


def of_images(*scores, scale=lambda x: x, **shape):
    scored(*scores, real=scale(images(**shape)), fake=scale(images(**shape)))


def fitted(score, to):
    score.fit_data(to)
    score.update(to.load("test").x, real=False)
    assert score.figures()


def evaluated(**settings):
    ring = data.GaussianRing(num_samples=8, num_val_samples=8, batch_size=8)
    evaluation = Evaluation([PairwiseDiversity()], statistics=None, **settings)
    trainer = fit(small_gan(), ring, callbacks=[evaluation])
    assert "val/diversity" in trainer.callback_metrics


def own(**parts):
    """Compute the figures of a score of one's own."""
    known = {"update": lambda self, samples, real: self.check_samples(samples, real)}
    scored(type(Score)("Mine", (Score,), {**known, **parts})())


def zero(self):
    return torch.zeros(())


class First(nn.Module):
    """The first numbers of each sample as its features."""

    def __init__(self, num_features, returned=None):
        super().__init__()
        self.num_features, self.returned = num_features, returned or num_features

    def forward(self, x):
        return x.flatten(1)[:, : self.returned]


def with_width(network, width):
    network.num_features = width
    return network


class Bytes(nn.Module):
    """In the place of Inception, whose weights are no part of the tests."""

    def __init__(self, *settings):
        super().__init__()
        self.layer = nn.Linear(3, 2048)

    def forward(self, x):
        return (self.layer(x.float().mean((2, 3))),)


def through_features(*names):
    module = SimpleNamespace(FeatureExtractorInceptionV3=Bytes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch_fidelity", SimpleNamespace(feature_extractor_inceptionv3=module))
        patch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", module)
        for name in names:
            of_images(PairwiseDiversity(getattr(networks, name)()), size=2)


def of_two_sizes(score, *sizes):
    for size in sizes:
        score.update(points(8, size), real=True)
        score.update(points(8, size), real=False)
    assert score.figures()


class PixelDistance(nn.Module):
    """A distance of one's own, in the place of LPIPS."""

    def forward(self, x, y):
        return (x - y).abs().mean((1, 2, 3))


def alexnet(weights):
    layers = nn.Sequential(
        *[nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)],
        *[nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)],
        *[nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()],
        *[nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)],
    )
    return SimpleNamespace(features=layers)


def no_connection(weights):
    raise URLError("no route to host")


def lpips(download, installed=True):
    """Score with AlexNet, whose weights are downloaded so."""
    import torchvision

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision.models, "alexnet", download)
        if not installed:
            patch.setitem(sys.modules, "torchvision", None)
        of_images(LPIPSDiversity(2), channels=3)


def left_out(**shape):
    """Score without the score that was refused."""
    of_images(PairwiseDiversity(), **shape)


NO_MESSAGES = ("Lower is better",)  # captions of figures
ELSEWHERE = {"expected floats in [-1, 1]; scale them": "metrics/test_ranges.py::test_the_remedy_for_bytes_is_right"}
REMEDIES = {
    # ---------------------------------------------------------------- classes and modes
    "expected at most a million": (
        lambda: of_images(ClassCoverage(channels=9), channels=9, side=28),
        {"use fewer channels": lambda: of_images(ClassCoverage(channels=3), channels=3, side=28)},
    ),
    "use channels=1 to classify images as a whole": (
        lambda: of_images(ClassCoverage(channels=3), side=28),
        {
            "expected images ({}, H, W)": lambda channels: of_images(
                ClassCoverage(channels=int(channels)), channels=int(channels), side=28
            ),
            "use channels={} to classify": lambda channels: of_images(ClassCoverage(channels=int(channels)), side=28),
            "or leave this score out": lambda: left_out(side=28),
        },
    ),
    "use it on GaussianRing or GaussianGrid": (
        lambda: fitted(ModeCoverage(), to=data.ParallelLines()),
        {
            "use it on {} or {}, or": lambda *names: [fitted(ModeCoverage(), to=getattr(data, n)()) for n in names],
            "or give means and sigma": lambda: fitted(ModeCoverage(CENTRE, 1.0), to=data.ParallelLines()),
        },
    ),
    "the modes are not known": (
        lambda: scored(ModeCoverage()),
        {
            "give means and sigma": lambda: scored(ModeCoverage(means=CENTRE, sigma=1.0)),
            "or call fit_data first": lambda: fitted(ModeCoverage(), to=data.GaussianRing()),
        },
    ),
    "expected finite centres (K, D)": (
        lambda: scored(ModeCoverage(means=[0.0, 0.0], sigma=1.0)),
        {"give a list of points, one a mode": lambda: scored(ModeCoverage(means=[[0.0, 0.0]], sigma=1.0))},
    ),
    "samples have shape … and the modes": (
        lambda: scored(ModeCoverage(CENTRE, 1.0), fake=points(8, 3)),
        {
            "give means of as many dimensions": lambda: scored(ModeCoverage([[0.0] * 3], 1.0), fake=points(8, 3)),
            "or leave this score out if samples are no points": left_out,
        },
    ),
    # ---------------------------------------------------------------- features
    "(features=…): expected a network with num_features": (
        lambda: of_images(PairwiseDiversity(nn.Flatten())),
        {
            "set it": lambda: of_images(PairwiseDiversity(with_width(nn.Flatten(), 64))),
            "or use {}, {} or {}": through_features,
        },
    ),
    "correct its num_features or its forward": (
        lambda: scored(PairwiseDiversity(First(1, returned=2))),
        {
            "correct its num_features": lambda: scored(PairwiseDiversity(First(2, returned=2))),
            "or its forward": lambda: scored(PairwiseDiversity(First(1, returned=1))),
        },
    ),
    "samples have … numbers each, and earlier ones": (
        lambda: of_two_sizes(FrechetDistance(), 2, 3),
        {
            "give samples of one size": lambda: of_two_sizes(FrechetDistance(), 3, 3),
            "or a feature network": lambda: of_two_sizes(FrechetDistance(First(2)), 2, 3),
        },
    ),
    # ---------------------------------------------------------------- samples that are equal
    "others equal to it, so that density": (
        lambda: scored(PairwiseDiversity(), DensityCoverage(k=1), real=points(4).repeat(2, 1)),
        {
            "give real samples that differ": lambda: scored(PairwiseDiversity(), DensityCoverage(k=1)),
            "or leave this score out": lambda: scored(PairwiseDiversity(), real=points(4).repeat(2, 1)),
        },
    ),
    "NearestNeighbour: every real sample has another equal to it": (
        lambda: scored(PairwiseDiversity(), NearestNeighbour(), real=points(4).repeat(2, 1)),
        {
            "give real samples that differ": lambda: scored(PairwiseDiversity(), NearestNeighbour()),
            "or leave this score out": lambda: scored(PairwiseDiversity(), real=points(4).repeat(2, 1)),
        },
    ),
    "PairwiseDiversity: all real samples are equal": (
        lambda: scored(FrechetDistance(), PairwiseDiversity(), real=EQUAL),
        {
            "give real samples that differ": lambda: scored(FrechetDistance(), PairwiseDiversity()),
            "or leave this score out": lambda: scored(FrechetDistance(), real=EQUAL),
        },
    ),
    "real samples differ; use fewer bins": (
        lambda: scored(NDB(num_bins=5), real=points(4).repeat(2, 1)),
        {
            "only {} real samples differ; use fewer bins": lambda bins: scored(
                NDB(num_bins=int(bins)), real=points(4).repeat(2, 1)
            ),
            "or more data": lambda: scored(NDB(num_bins=5), real=points(8)),
        },
    ),
    "expected a level above 0 and below 1": (
        lambda: scored(NDB(num_bins=2, alpha=2.0)),
        {"such as {}": lambda alpha: scored(NDB(num_bins=2, alpha=float(alpha)))},
    ),
    # ---------------------------------------------------------------- pairs of images
    "expected images (C, H, W); leave this score out": (
        lambda: scored(PairwiseDiversity(), MultiScaleSSIM(2)),
        {"leave this score out": lambda: scored(PairwiseDiversity())},
    ),
    "expected a finite number above 0 for each scale": (
        lambda: of_images(MultiScaleSSIM(2, betas=(0.5, 0.0)), side=12),
        {"a finite number above 0 for each scale": lambda: of_images(MultiScaleSSIM(2, betas=(0.5, 0.1)), side=12)},
    ),
    "scales>): images are … × …, expected at least": (
        lambda: of_images(MultiScaleSSIM(2), side=44),
        {
            "expected at least {} × {};": lambda side, _: of_images(MultiScaleSSIM(2), side=int(side), size=2),
            "use fewer betas, such as [{}, {}, {}]": lambda *betas: of_images(
                MultiScaleSSIM(2, betas=[float(beta) for beta in betas]), side=44
            ),
        },
    ),
    "channels; expected 1 or 3": (
        lambda: of_images(LPIPSDiversity(2, PixelDistance()), channels=2),
        {
            "expected {} or {}": lambda *numbers: [
                of_images(LPIPSDiversity(2, PixelDistance()), channels=int(number)) for number in numbers
            ],
            "leave this score out": lambda: left_out(channels=2),
        },
    ),
    "AlexNet's weights cannot be loaded": (
        lambda: lpips(no_connection),
        {
            "once, a network connection": lambda: lpips(alexnet),
            "give a distance of your own": lambda: of_images(LPIPSDiversity(2, PixelDistance()), channels=3),
            "or use {} with {}": lambda score, features: of_images(
                getattr(metrics, score)(getattr(networks, features)()), channels=3, size=2
            ),
        },
    ),
    # ---------------------------------------------------------------- every score
    "has no name for its figure": (
        lambda: own(compute=zero),
        {"such as name = '{}'": lambda name: own(compute=zero, name=name)},
    ),
    ".compute returned … for …, expected a number": (
        lambda: own(compute=lambda self: torch.zeros(2), name="mine"),
        {
            "return one tensor ()": lambda: own(compute=zero, name="mine"),
            "or several by name": lambda: own(compute=lambda self: {"mine": torch.ones(()), "other": torch.ones(())}),
        },
    ),
    "images span …; expected [-1, 1]; ": (
        lambda: of_images(PairwiseDiversity(), scale=lambda x: (x + 1) * 127.5),
        {
            "scale them: x / {} - 1 for images in [0, 255]": lambda half: of_images(
                PairwiseDiversity(), scale=lambda x: (x + 1) * 127.5 / float(half) - 1
            )
        },
    ),
    "none is below 0: if they are in [0, 1], scale them": (
        lambda: of_images(PairwiseDiversity(), scale=lambda x: (x + 1) / 2),
        {
            "scale them: x * {} - {}": lambda factor, shift: of_images(
                PairwiseDiversity(), scale=lambda x: (x + 1) / 2 * float(factor) - float(shift)
            )
        },
    ),
    "samples; expected at least …; give more": (
        lambda: scored(PairwiseDiversity(), real=points(1), fake=points(1)),
        {
            "expected at least {}; give more": lambda least: scored(
                PairwiseDiversity(), real=points(int(least)), fake=points(int(least))
            ),
            "(num_samples of Evaluation": lambda: evaluated(num_samples=8),
            "or more data": lambda: scored(PairwiseDiversity(), real=points(9), fake=points(9)),
        },
    ),
}

# of a second message with the words of a row above, or of one that the finder does not know
MORE = {
    "PairwiseDiversity: the real images are torch.int64": (
        lambda: of_images(PairwiseDiversity(), scale=lambda x: (x * 100).long()),
        {
            "scale them: to floats of that range": lambda: of_images(
                PairwiseDiversity(), scale=lambda x: (x * 100).long() / 100
            )
        },
    ),
    "the real images span …x / 32767.5 - 1": (
        lambda: of_images(PairwiseDiversity(), scale=lambda x: (x + 1) * 32767.5),
        {
            "scale them: x / {} - 1 for images in [0, 65535]": lambda half: of_images(
                PairwiseDiversity(), scale=lambda x: (x + 1) * 32767.5 / float(half) - 1
            )
        },
    ),
    "the real images span …x.max()": (
        lambda: of_images(PairwiseDiversity(), scale=lambda x: (x + 1) * 1e6),
        {
            "x / (x.max() / 2) - 1, with the largest value": lambda: of_images(
                PairwiseDiversity(), scale=lambda x: (x + 1) * 1e6 / 1e6 - 1
            )
        },
    ),
    "the real images span …; expected [-1, 1]; normalise": (
        lambda: of_images(PairwiseDiversity(), scale=lambda x: ((x + 1) / 2 - 0.485) / 0.229),
        {
            "normalise with mean {} and std {},": lambda mean, std: of_images(
                PairwiseDiversity(), scale=lambda x: ((x + 1) / 2 - float(mean)) / float(std)
            ),
            "or clamp them to [{}, {}]": lambda low, high: of_images(
                PairwiseDiversity(), scale=lambda x: (((x + 1) / 2 - 0.485) / 0.229).clamp(float(low), float(high))
            ),
        },
    ),
    "the generated images span …; expected [-1, 1]; give": (
        lambda: scored(PairwiseDiversity(), real=images(), fake=images() * 3),
        {
            "such as a final {}": lambda bound: scored(
                PairwiseDiversity(), real=images(), fake=getattr(torch, bound)(images() * 3)
            )
        },
    ),
    "samples hold NaN or infinity": (
        lambda: scored(PairwiseDiversity(), real=torch.cat([points(), EQUAL / 0])),
        {"the data needs cleaning": lambda: scored(PairwiseDiversity(), real=points())},
    ),
    "images are 8 × 8, expected at least 176": (
        lambda: of_images(PairwiseDiversity(), MultiScaleSSIM(2)),
        {"leave this score out": left_out},
    ),
    "AlexNet's weights cannot be loaded (import of torchvision": (
        lambda: lpips(alexnet, installed=False),
        {"it needs torchvision": lambda: lpips(alexnet)},
    ),
}


test_a_remedy_works = each_row(REMEDIES | MORE)
