"""What scores that see samples through a classifier share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from lightning_gans.metrics.score import Score
from lightning_gans.networks.classifier import DigitClassifier, FrozenClassifier


class ClassifierScore(Score):
    """A score that sees samples through a frozen classifier.

    Args:
        classifier: maps images to logits, through `FrozenClassifier`; None is the digit classifier of this library.
    """

    def __init__(self, classifier: nn.Module | None = None) -> None:
        super().__init__()
        self.classifier = frozen(classifier)

    @property
    @override
    def network(self) -> nn.Module:
        return self.classifier.network

    @override
    def fit_data(self, data: Any) -> None:
        """Classify one blank sample of the data's shape, to refuse data that does not fit."""
        if hasattr(data, "sample_shape"):
            with torch.no_grad():
                self.try_classifier(torch.zeros(1, *data.sample_shape, device=self.device))

    def try_classifier(self, samples: Tensor) -> None:
        """Classify samples as `update` does, for what it raises."""
        self.classifier(samples)


def frozen(classifier: nn.Module | None) -> FrozenClassifier:
    """Return the classifier frozen; None is the digit classifier of this library."""
    if isinstance(classifier, FrozenClassifier):
        return classifier
    if classifier is not None:
        return FrozenClassifier(classifier)
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn before the pretrained ones replace them
        return FrozenClassifier(DigitClassifier())
