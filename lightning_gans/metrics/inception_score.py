"""Inception score: how confident a classifier is of each sample, and how varied its predictions are."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.metrics.classifier_score import ClassifierScore
from lightning_gans.randomness import seeded


class InceptionScore(ClassifierScore):
    """exp of the mean KL divergence of a classifier's predictions from their mean, from 1 to the number of classes.

        is = mean over splits of  exp(mean_x KL(p(y | x) ‖ p(y)))

    `is_std` is the standard deviation over the splits (divided by their number), left out for one split; `is_real` is
    the score of real samples, where there are any: compare `is` with it. The score neither notices that a class has a
    single image nor compares with the data. Published figures are those of Inception; these are the given classifier's.

    Args:
        classifier: maps images to logits, through `FrozenClassifier`; None is the digit classifier of this library.
        splits: number of random groups with a score each, at least 1, whose sizes differ by at most one; smaller groups
            have lower scores.
        seed: seed of the groups, at least 0.

    Raises:
        ValueError: if an argument is out of its range, or there are fewer than two samples a split.

    Reference:
        Salimans, Goodfellow, Zaremba, Cheung, Radford, Chen, "Improved Techniques for Training GANs", NeurIPS 2016,
        arXiv 1606.03498.
    """

    name = "is"
    for_fewer_samples = "lower its splits"
    captions: ClassVar[dict[str, str]] = {
        "is": "Inception score: how sure a classifier is of each sample, and how varied its answers are. Higher is "
        "better."
    }
    real_logits: list[Tensor]
    fake_logits: list[Tensor]

    def __init__(self, classifier: nn.Module | None = None, splits: int = 10, seed: int = 0) -> None:
        super().__init__(classifier)
        arguments.whole(self, 1, splits=splits)
        arguments.whole(self, 0, seed=seed)
        self.splits = splits
        self.seed = seed
        self.least_samples = 2 * splits
        self.figure_names = ("is", "is_std", "is_real") if splits > 1 else ("is", "is_real")
        self.add_state("real_logits", [], dist_reduce_fx="cat")
        self.add_state("fake_logits", [], dist_reduce_fx="cat")

    @override
    def update(self, samples: Tensor, real: bool) -> None:
        self.check_samples(samples, real)
        (self.real_logits if real else self.fake_logits).append(self.classifier(samples.detach().float()))

    @override
    def compute(self) -> dict[str, Tensor]:
        score, deviation = self._score("fake", self.fake_logits)
        figures = {"is": score, "is_std": deviation} if self.splits > 1 else {"is": score}
        if len(self.real_logits):
            figures["is_real"] = self._score("real", self.real_logits)[0]
        return figures

    def _score(self, kind: str, logits: list[Tensor] | Tensor) -> tuple[Tensor, Tensor]:
        rows = self.joined(kind, logits).double()
        with seeded(self.seed):
            rows = rows[torch.randperm(len(rows))]
        scores = torch.stack([_score(group) for group in rows.tensor_split(self.splits)])
        return scores.mean(), scores.std(correction=0)


def _score(logits: Tensor) -> Tensor:
    """Return the score of one group of samples from their logits (N, K)."""
    p, log_p = logits.softmax(1), logits.log_softmax(1)
    marginal = p.mean(0, keepdim=True).clamp_min(torch.finfo(p.dtype).tiny)  # 0 · log 0 is 0
    return (p * (log_p - marginal.log())).sum(1).mean().exp()
