"""Spread inside each class, by a classifier: whether a generator shows more than one picture of it."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.metrics.classifier_score import ClassifierScore
from lightning_gans.metrics.distances import mean_distance


class ClassSpread(ClassifierScore):
    """Mean distance between two samples of a class over that between two reals of it, by the classes of a classifier.

        spread_k = mean_{i≠j in class k} ‖x_i − x_j‖ / mean_{i≠j in class k} ‖r_i − r_j‖

        class_spread        mean of spread_k over the classes with two reals or more; 1 is as varied as the reals
        least_class_spread  the smallest spread_k
        right_class         share of fakes that the classifier assigns to the label that the generator was given; left
                            out for a generator without labels

    A class with less than two fakes has a spread of 0. Near 0 a generator shows one picture per class, which scores
    over all classes do not see. Distances are Euclidean, of pixels; noise is spread too, so read it beside
    `right_class` and a distance to the data. Choose a classifier that did not train the generator: of its own teacher
    a generator finds the faults. Costs a forward of the classifier; it keeps every sample and compares all pairs of a
    class.

    Args:
        classifier: maps images to logits, through `FrozenClassifier`; None is the digit classifier of this library.
        least: reals that a class must have to count, at least 2.

    Raises:
        ValueError: for an argument out of range; if no class has as many reals, or all reals of one are equal.

    Reference:
        The distances: `PairwiseDiversity`; labels that a classifier finds again: Ravuri, Vinyals, Classification
        Accuracy Score for Conditional Generative Models, NeurIPS 2019, arXiv 1905.10887, there in the other direction.
    """

    name = "class_spread"
    figure_names = ("class_spread", "least_class_spread", "right_class")
    captions: ClassVar[dict[str, str]] = {
        "class_spread": "How varied samples of one class are beside real ones. Higher is better, up to 1.",
        "least_class_spread": "The same of the least varied class. Near 0 it shows one picture.",
        "right_class": "The share of samples that show the class asked for, by a classifier. Higher is better.",
    }
    reads_labels = True
    real_rows: list[Tensor]
    fake_rows: list[Tensor]
    fake_right: Tensor
    fake_labelled: Tensor

    def __init__(self, classifier: nn.Module | None = None, least: int = 2) -> None:
        super().__init__(classifier)
        arguments.whole(self, 2, least=least)
        self.least = least
        self.add_state("real_rows", [], dist_reduce_fx="cat")
        self.add_state("fake_rows", [], dist_reduce_fx="cat")
        for name in ("fake_right", "fake_labelled"):
            self.add_state(name, torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    @override
    @torch.no_grad()
    def update(self, samples: Tensor, real: bool, labels: Tensor | None = None) -> None:
        """Add samples (N, C, H, W) of one kind; `labels` (N,) are what the generator was given."""
        self.check_samples(samples, real)
        samples = samples.detach().float()
        classes = self.classifier(samples).argmax(1)
        rows = torch.cat([samples.flatten(1), classes[:, None].to(samples.dtype)], 1)
        (self.real_rows if real else self.fake_rows).append(rows)
        if labels is not None and not real:
            self.fake_right += (classes == labels.to(classes.device)).sum()
            self.fake_labelled += len(labels)

    @override
    def compute(self) -> dict[str, Tensor]:
        real, fake = self.joined("real", self.real_rows), self.joined("fake", self.fake_rows)
        spreads = torch.stack(self._spreads(real, fake))
        figures = {"class_spread": spreads.mean(), "least_class_spread": spreads.min()}
        if self.fake_labelled:
            figures["right_class"] = self.fake_right.double() / self.fake_labelled
        return figures

    def _spreads(self, real: Tensor, fake: Tensor) -> list[Tensor]:
        """Return the spread of each class that has enough reals."""
        spreads = []
        for one in range(self.classifier.num_classes):
            own, others = (x[x[:, -1] == one, :-1] for x in (real, fake))
            if len(own) < self.least:
                continue
            whole = mean_distance(own)
            if whole == 0:
                raise ValueError(
                    f"ClassSpread: all {len(own)} real samples of class {one} are equal, and the ratio is undefined; "
                    "give real samples that differ, or leave this score out."
                )
            spreads.append(mean_distance(others) / whole if len(others) > 1 else whole.new_zeros(()))
        if not spreads:
            raise ValueError(
                f"ClassSpread(least={self.least}): no class of the classifier has as many of the {len(real)} real "
                "samples; give more, or leave this score out."
            )
        return spreads
