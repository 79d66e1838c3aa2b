"""The space in which a survey compares samples: points as they are, images by features that nothing downloads."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from lightning_gans.networks import DigitClassifier, DigitFeatures

_PARTS = 64  # images whose features are computed at a time
_SMALLEST = 8  # side of an image, in pixels, below which it is compared as it is
_SURE = 0.9  # probability above which a digit is told
_DIGITS = math.log(4)  # nats of information about its class in an image, above which images are taken for digits


class PointSpace:
    """Points, compared as they are.

    Attributes:
        classes: the number of classes that `classify` knows; 0 for none.
    """

    classes = 0

    def features(self, x: Tensor) -> Tensor:
        """Map samples (N, …) to features (N, D), single precision."""
        return x.flatten(1).float()

    def classify(self, features: Tensor) -> Tensor:
        """Return the class (N,) of each sample, from its features, where there are classes; −1 where it is unsure."""
        raise NotImplementedError


class DigitSpace(PointSpace):
    """Images of handwritten digits, by the hidden layer of the digit classifier that ships with the library."""

    classes = 10

    def __init__(self) -> None:
        self._network = DigitFeatures()
        self._classifier: DigitClassifier = self._network.network.classifier  # type: ignore[assignment]

    @override
    def features(self, x: Tensor) -> Tensor:
        return _in_parts(self._network.to(x.device), x)

    @override
    def classify(self, features: Tensor) -> Tensor:
        probability, found = self.logits(features).softmax(1).max(1)
        return torch.where(probability > _SURE, found, -1)

    def logits(self, features: Tensor) -> Tensor:
        """Return the classifier's logits (N, 10)."""
        with torch.no_grad():
            return self._classifier.head.to(features.device)(features)


class TextureSpace(PointSpace):
    """Images of any kind, by a convolutional network with fixed random weights.

        3 × [4 × 4 convolution, stride 2, to 32, 64, 128 channels → ReLU]; means over quarters of each layer's image

    It knows no objects, but structure: samples whose pixels are shuffled, blurred, noisy or misplaced are far from
    real ones, which pixels alone do not show. He-normal weights from a fixed seed keep the scale of its input.

    Args:
        channels: of the images.
    """

    def __init__(self, channels: int) -> None:
        source = torch.Generator().manual_seed(0)
        widths = (channels, 32, 64, 128)
        self._weights = [
            torch.randn(after, before, 4, 4, generator=source) * math.sqrt(2 / (16 * before))
            for before, after in pairwise(widths)
        ]

    @override
    def features(self, x: Tensor) -> Tensor:
        self._weights = [weight.to(x.device) for weight in self._weights]
        return _in_parts(self._network, x)

    def _network(self, x: Tensor) -> Tensor:
        found = []
        for weight in self._weights:
            x = F.relu(F.conv2d(x, weight, stride=2, padding=1))
            found.append(F.adaptive_avg_pool2d(x, 2).flatten(1) / math.sqrt(x.shape[1]))
        return torch.cat(found, 1)


def space_of(real: Tensor) -> PointSpace:
    """Return the space for samples like these: of digits if the classifier tells them apart, else of textures."""
    if real.dim() != 4 or min(real.shape[2:]) < _SMALLEST:
        return PointSpace()
    digits = DigitSpace()
    guesses = digits.logits(digits.features(real)).softmax(1)
    told_apart = _entropy(guesses.mean(0)) - _entropy(guesses).mean()
    return digits if told_apart > _DIGITS else TextureSpace(real.shape[1])


def _entropy(p: Tensor) -> Tensor:
    return -(p * p.clamp_min(1e-12).log()).sum(-1)


def _in_parts(network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([network(part.float()) for part in x.split(_PARTS)])
