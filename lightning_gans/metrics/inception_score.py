"""Inception score: how sure a classifier is of each sample, and how varied its answers are."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchmetrics.image.inception import InceptionScore as _InceptionScore

from lightning_gans.metrics.class_coverage import frozen
from lightning_gans.metrics.feature_score import in_fixed_order
from lightning_gans.metrics.score import Score, seeded, whole


class InceptionScore(Score, _InceptionScore):
    """exp of the mean KL of a classifier's answer p(y | x) from its mean answer p(y), from 1 to the number of classes.

        is = mean over splits of  exp(mean_x KL(p(y | x) ‖ p(y)))

    `is_std` is the standard deviation over the splits, left out for one; `is_real` the score of real samples, where
    there are any, beside which it should be read. It neither sees that a class has one image only, nor compares
    with the data. Published figures are those of Inception; this one is the classifier's. The score is torchmetrics'.

    Args:
        classifier: maps images to logits, through `FrozenClassifier`; None is the digit classifier that ships.
        splits: groups at random of which each has a score, at least 1; fewer samples have lower scores.
        seed: of the groups.

    Raises:
        ValueError: if an argument is out of its range, or there are fewer samples than two a split.

    Reference:
        Salimans, Goodfellow, Zaremba, Cheung, Radford, Chen, "Improved Techniques for Training GANs", NeurIPS 2016,
        arXiv 1606.03498.
    """

    name = "is"
    captions: ClassVar[dict[str, str]] = {
        "is": "Inception score: how sure a classifier is of each sample, and how varied its answers are. Higher is "
        "better."
    }
    real_logits: list[Tensor]
    fake_logits: list[Tensor]

    def __init__(self, classifier: nn.Module | None = None, splits: int = 10, seed: int = 0) -> None:
        whole(self, "splits", splits, 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the memory that it takes: 4 bytes a class and sample
            super().__init__(feature=nn.Identity(), splits=splits)
        self.seed = whole(self, "seed", seed, 0)
        self.classifier = frozen(classifier)
        self.least_samples = 2 * splits
        self.add_state("real_logits", [], dist_reduce_fx="cat")
        self.add_state("fake_logits", [], dist_reduce_fx="cat")

    @property
    def network(self) -> nn.Module:
        """The classifier."""
        return self.classifier.network

    def fit_data(self, data: Any) -> None:
        """Classify one blank sample of the data's shape."""
        if hasattr(data, "sample_shape"):
            with torch.no_grad():
                self.classifier(torch.zeros(1, *data.sample_shape, device=self.device))

    def update(self, samples: Tensor, real: bool) -> None:  # type: ignore[override]
        """Classify images (N, C, H, W) of one kind."""
        self.check_samples(samples)
        (self.real_logits if real else self.fake_logits).append(self.classifier(samples.detach().float()))

    def compute(self) -> dict[str, Tensor]:  # type: ignore[override]
        """The figures by name."""
        score, deviation = self._score("fake", self.fake_logits)
        figures = {"is": score, "is_std": deviation} if self.splits > 1 else {"is": score}
        if len(self.real_logits):
            figures["is_real"] = self._score("real", self.real_logits)[0]
        return figures

    def _score(self, kind: str, logits: list[Tensor] | Tensor) -> tuple[Tensor, Tensor]:
        logits = torch.cat(logits) if isinstance(logits, list) and logits else logits
        self.check_count(kind, len(logits))
        try:
            self.features = [in_fixed_order(logits.double())]  # type: ignore[union-attr]
            with seeded(self.seed), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the deviation of one split
                return _InceptionScore.compute(self)
        finally:
            self.features = []
