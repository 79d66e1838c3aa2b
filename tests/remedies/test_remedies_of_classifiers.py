"""Every remedy of a classifier, and of the networks whose features metrics compare, works when it is done."""

import re
import shutil
import sys
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as F
from library_messages import LIBRARY
from remedied import each_row
from torch import nn

from lightning_gans import SEPGAN, networks
from lightning_gans.metrics import ClassSpread, KernelDistance
from lightning_gans.networks import (
    DCGANGenerator,
    DigitClassifier,
    DigitFeatures,
    FrozenClassifier,
    InceptionFeatures,
    classifier,
)

pytestmark = [pytest.mark.untrusted]


GREY = (1, 8, 8), [0.5], [0.5]


def linear(*shape, classes=5):
    return nn.Sequential(nn.Flatten(), nn.Linear(torch.Size(shape).numel(), classes))


def classified(network, *settings, channels=3, size=8, **more):
    """Let a generator train against a network as its classifier."""
    frozen = network if isinstance(network, FrozenClassifier) else FrozenClassifier(network, *settings, **more)
    gan = SEPGAN(DCGANGenerator((channels, size, size), 3, width=2), frozen)
    (optimizer,), _ = gan.configure_optimizers()
    assert gan.train_batch(torch.zeros(4, channels, size, size), optimizer)["generator"].loss.isfinite()


def spread(real, least=2):
    score = ClassSpread(FrozenClassifier(linear(1, 4, 4), (1, 4, 4), [0.5], [0.5]), least)
    score.update(real, real=True)
    score.update(torch.rand(8, 1, 4, 4) - 1, real=False)
    assert all(value.isfinite() for value in score.figures().values())


def logits(x, network=None):
    (network or DigitClassifier(pretrained=False))(x).sum().backward()


def of_weights(path, *args, **kwargs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "WEIGHTS", path)
        assert DigitClassifier(*args, **kwargs)(IMAGES).shape == (2, 10)


def reinstalled(folder):
    """Load the weights that an installation copies, by the patterns of pyproject.toml."""
    project = (LIBRARY.parent / "pyproject.toml").read_text()
    for pattern in re.findall(r'"(.+?)"', re.search(r"^lightning_gans = \[(.+)\]$", project, re.M)[1]):
        for file in LIBRARY.glob(pattern):
            shutil.copy(file, folder)
    of_weights(folder / classifier.WEIGHTS.name)


class Pair(nn.Module):
    """A classifier that returns something beside its logits."""

    def __init__(self):
        super().__init__()
        self.network = linear(3, 8, 8)

    def forward(self, x):
        return self.network(x), x


class First(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)[0]


class Inception(nn.Module):
    """In the place of torch-fidelity's network, whose weights it would download or read from a file."""

    def __init__(self, name, features, weights):
        super().__init__()
        if weights is None and not self.online:
            raise URLError("no connection")
        self.layer = nn.Linear(3, 2048)
        if weights is not None:
            self.load_state_dict(torch.load(weights, weights_only=True))

    def forward(self, x):
        return (self.layer(x.float().mean((2, 3))),)


def inception(weights=None, online=True):
    """Compare images by Inception's features, with or without a connection to download its weights."""
    with pytest.MonkeyPatch.context() as patch:
        module = SimpleNamespace(FeatureExtractorInceptionV3=type("Inception", (Inception,), {"online": online}))
        patch.setitem(sys.modules, "torch_fidelity", SimpleNamespace(feature_extractor_inceptionv3=module))
        patch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", module)
        compared(InceptionFeatures(weights))


def saved(path, network=None):
    torch.save((network or nn.ModuleDict({"layer": nn.Linear(3, 2048)})).state_dict(), path)
    return str(path)


def compared(features=None, x=None):
    """Compare the halves of a batch by their features."""
    score = KernelDistance(features=features, subsets=1, subset_size=2)
    x = torch.rand(4, 3, 8, 8) if x is None else x
    score.update(x[::2], real=True)
    score.update(x[1::2], real=False)
    assert all(value.isfinite() for value in score.compute().values())


IMAGES = torch.rand(2, 1, 28, 28)
LARGE = torch.rand(2, 1, 32, 32, requires_grad=True)
FILE = "weights-inception-2015-12-05-6726825d.pth"

REMEDIES = {
    # ---------------------------------------------------------------- digits
    "the pretrained weights have 10": (
        lambda: classified(DigitClassifier(num_classes=5), channels=1),
        {"use pretrained=False": lambda: classified(DigitClassifier(num_classes=5, pretrained=False), channels=1)},
    ),
    "resize them, or wrap the network in FrozenClassifier": (
        lambda: logits(LARGE),
        {
            "expected (1, 28, {}); resize them": lambda side: logits(F.interpolate(LARGE, size=int(side))),
            "or wrap the network in FrozenClassifier, which does": lambda: logits(
                LARGE, FrozenClassifier(DigitClassifier(pretrained=False))
            ),
        },
    ),
    "are missing; reinstall lightning-gans": (
        lambda folder: of_weights(folder / "none.safetensors"),
        {
            "reinstall lightning-gans": reinstalled,
            "or pretrained={}": lambda value, folder: of_weights(folder / "none.safetensors", value == "True"),
        },
    ),
    # ---------------------------------------------------------------- any classifier
    "expected (C, H, W), such as": (
        lambda: classified(linear(3, 8, 8), (8, 8)),
        {
            "expected (C, H, W)": lambda: classified(linear(3, 8, 8), (3, 8, 8)),
            "such as ({}, {}, {})": lambda *shape: classified(linear(*map(int, shape)), tuple(map(int, shape))),
        },
    ),
    "expected one number per channel": (
        lambda: classified(linear(3, 8, 8), (3, 8, 8), std=[0.5, 0.5]),
        {
            "one number per channel, {}": lambda count: classified(linear(3, 8, 8), (3, 8, 8), std=[0.5] * int(count)),
            "or one for all": lambda: classified(linear(3, 8, 8), (3, 8, 8), std=[0.5]),
        },
    ),
    "expected finite numbers": (
        lambda: classified(linear(3, 8, 8), (3, 8, 8), std=[0.0]),
        {"expected finite numbers above 0": lambda: classified(linear(3, 8, 8), (3, 8, 8), std=[0.5])},
    ),
    "(num_classes=…): the network has": (
        lambda: classified(linear(3, 8, 8), (3, 8, 8), num_classes=4),
        {
            "the network has {};": lambda classes: classified(linear(3, 8, 8), (3, 8, 8), num_classes=int(classes)),
            "leave it out": lambda: classified(linear(3, 8, 8), (3, 8, 8)),
        },
    ),
    "give the shape that it was made for": (
        lambda: classified(linear(3, 8, 8)),
        {
            "FrozenClassifier(Sequential(...), input_shape=(C, H, W))": lambda: classified(
                FrozenClassifier(linear(3, 8, 8), input_shape=(3, 8, 8))
            )
        },
    ),
    "for one image, expected logits (1, K)": (
        lambda: classified(Pair(), (3, 8, 8)),
        {"wrap it so that it does": lambda: classified(First(Pair()), (3, 8, 8))},
    ),
    "change the generator's channels, or give a classifier for such samples": (
        lambda: classified(linear(3, 8, 8), (3, 8, 8), channels=2),
        {
            "expected images (N, {}, H, W)": lambda channels: classified(
                linear(3, 8, 8), (3, 8, 8), channels=int(channels)
            ),
            "or (N, {}, H, W); change the generator's channels": lambda channels: classified(
                linear(3, 8, 8), (3, 8, 8), channels=int(channels)
            ),
            "or give a classifier for such samples": lambda: classified(
                linear(2, 8, 8), (2, 8, 8), [0.5], [0.5], channels=2
            ),
        },
    ),
    # ---------------------------------------------------------------- features
    "there is no such file; leave it out to download it": (
        lambda: inception("none.pth"),
        {"leave it out to download it": lambda: inception()},
    ),
    "give weights=FILE where you have them": (
        lambda: inception(online=False),
        {
            "give weights=FILE where you have them": lambda folder: inception(saved(folder / FILE), online=False),
            "or use {}, which needs no download": lambda name: compared(getattr(networks, name)()),
        },
    ),
    "the weights cannot be read": (
        lambda folder: inception(saved(folder / "other.pth", nn.Linear(2, 2))),
        {
            "give {}, or none": lambda name, folder: inception(saved(folder / name)),
            "or none to download it again": lambda: inception(),
        },
    ),
    "has no Linear layer that takes features; use one that has": (
        lambda: FrozenClassifier(nn.Sequential(nn.Conv2d(1, 5, 8), nn.Flatten()), *GREY).features(
            torch.zeros(2, 1, 8, 8)
        ),
        {"use one that has": lambda: FrozenClassifier(linear(1, 8, 8), *GREY).features(torch.zeros(2, 1, 8, 8))},
    ),
    # ---------------------------------------------------------------- classes
    "and the ratio is undefined; give real samples": (
        lambda: spread(torch.zeros(8, 1, 4, 4)),
        {
            "give real samples that differ": lambda: spread(torch.rand(8, 1, 4, 4) - 1),
            "or leave this score out": lambda: compared(x=torch.rand(8, 1, 4, 4) - 1),
        },
    ),
    "no class of the classifier has as many": (
        lambda: spread(torch.rand(8, 1, 4, 4) - 1, least=9),
        {
            "give more": lambda: spread(torch.rand(80, 1, 4, 4) - 1, least=9),
            "or leave this score out": lambda: compared(x=torch.rand(8, 1, 4, 4) - 1),
        },
    ),
    "leave features out to compare samples as they are": (
        lambda: compared(DigitFeatures(), torch.rand(4, 2)),
        {
            "expected images (C, H, W) of any number of channels": lambda: compared(DigitFeatures()),
            "leave features out to compare samples as they are": lambda: compared(x=torch.rand(4, 2)),
        },
    ),
}


test_a_remedy_works = each_row(REMEDIES)
