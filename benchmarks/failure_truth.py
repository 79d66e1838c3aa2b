"""What is wrong in a training by scores that the failure monitor does not know, for `failure_monitor.py`.

Every 100 batches, on samples of latents of its own, a run is scored:

- points, 2,500 samples: the share within three standard deviations of a mode, relative to the data's; the modes with
  less than .15 of their share of the samples; the standard deviation inside the modes, over the data's. Good: a share
  of .7 and more. Far: below .5.
- images, 600 samples, in the features of a small network that is trained for the purpose to classify the data: coverage
  (Naeem 2020, arXiv 2002.09797), relative to that of real images; classes with less than .15 of their share; the mean
  distance of two images of one class, over the data's; of conditional generators the share in whose class the network
  agrees, over that of real images. Good: a coverage of .65 and more; at .4 to .6 half of the digits were malformed to
  the eye. Far: below .2.
- both: the mean distance of two samples, over the data's, of images in pixels or in features, whichever is less; the
  Fréchet distance to the data and to the last samples. SEP-GAN, whose samples nothing compares with data, has this
  first figure alone.

A score is failing where samples are far from the data, where a mode or class is missing (of images two), where the
spread inside the modes or classes is below .4, where fewer than half of the samples are of their class, or where two
samples are .25 as far apart as real ones, or less. It is good where none of this is so, and unclear in between: .5 to
.7 and .2 to .65, one class of images missing, a spread of .4 to .6, an agreement of .5 to .7.

A run ends in what most of the last third of its scores are. A failure begins when it has lasted until the end, and the
best so far has not become better since: a Fréchet distance lower by a tenth, .05 more of the samples near the data, a
missing mode found; but not before batch 300. One that begins less than 600 batches before the end is undecided: such a
run may still learn.
"""

from __future__ import annotations

import copy
import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn

from lightning_gans import SEPGAN, generation
from lightning_gans.callbacks.health.states import (
    BLURRED,
    COLLAPSE_IN_CLASSES,
    EXPLODING_GRADIENTS,
    LABELS_IGNORED,
    LATENTS_IGNORED,
    MODE_COLLAPSE,
    NOISY,
    NON_FINITE,
    PARTIAL_COLLAPSE,
    SOFT_COLLAPSE,
    STALLED,
    VANISHING_GRADIENT,
    WEAK_DISCRIMINATOR,
    State,
)
from lightning_gans.data import GANData
from lightning_gans.metrics import FrechetDistance
from lightning_gans.randomness import seeded

EVERY, FIRST, LASTS = 100, 300, 600
POINTS, IMAGES = 2_500, 600
MISSING = 0.15  # of its share of the samples, below which a mode or class is missing
GOOD, FAILING, UNCLEAR = "good", "failing", "unclear"

COLLAPSES = (MODE_COLLAPSE, PARTIAL_COLLAPSE, COLLAPSE_IN_CLASSES, LATENTS_IGNORED)
FAR = (BLURRED, NOISY, STALLED, SOFT_COLLAPSE, VANISHING_GRADIENT, WEAK_DISCRIMINATOR, EXPLODING_GRADIENTS)
NAMES: dict[str, tuple[State, ...]] = {
    "NaN or infinity": (NON_FINITE,),
    "little variety": COLLAPSES,
    "modes missing": (MODE_COLLAPSE, PARTIAL_COLLAPSE),
    "narrow modes": (COLLAPSE_IN_CLASSES, LATENTS_IGNORED, MODE_COLLAPSE),
    "wrong classes": (LABELS_IGNORED,),
    "far from the data": FAR,
}
"""What may be wrong, and which states of the monitor name it."""


@dataclass
class Score:
    """The scores of a run at one batch, NaN where they do not apply."""

    batch: int
    near: float = math.nan  # share of the samples, or coverage
    missing: float = math.nan
    spread: float = math.nan
    right: float = math.nan
    variety: float = math.nan
    distance: float = math.nan
    moved: float = math.nan
    finite: bool = True
    images: bool = False

    @property
    def wrong(self) -> tuple[str, ...]:
        """What is wrong, in the words of `NAMES`."""
        if not self.finite:
            return ("NaN or infinity",)
        found = {
            "little variety": self.variety < 0.25,
            "modes missing": self.missing > self.images,
            "narrow modes": self.spread < 0.4,
            "wrong classes": self.right < 0.5,
            "far from the data": self.near < (0.2 if self.images else 0.5),
        }
        return tuple(name for name, holds in found.items() if holds)

    @property
    def state(self) -> str:
        """Whether it is good, failing or unclear."""
        if self.wrong:
            return FAILING
        good = 0.65 if self.images else 0.7
        doubtful = (self.near < good, self.missing >= 1, self.spread < 0.6, self.right < 0.7, self.variety < 0.4)
        return UNCLEAR if any(doubtful) else GOOD

    @property
    def names(self) -> set[str]:
        """Return the names of the states that are correct."""
        names = {state.name for wrong in self.wrong for state in NAMES[wrong]}
        if self.wrong and self.moved > self.distance / 5:
            names.add(SOFT_COLLAPSE.name)
        return names


# ---------------------------------------------------------------- scoring


class Scores(Callback):
    """Score a run during training.

    Args:
        data: of the run.
        kept: folder of the networks that classify the data.
    """

    def __init__(self, data: GANData, kept: Path):
        self.data, self.kept = data, kept
        self.points = len(data.sample_shape) == 1
        self.num = POINTS if self.points else IMAGES
        self.seen: list[Score] = []
        self.samples = torch.empty(0)
        self._before: Tensor | None = None

    def on_train_start(self, trainer: Trainer, gan: Any) -> None:
        self.alone = isinstance(gan, SEPGAN)
        dataset = self.data.load("train")
        with seeded(0):
            rows = torch.randperm(len(dataset))[: 4 * self.num].tolist()
            self.real, labels = gan.unpack_batch(dataset.__getitems__(rows))
        if not self.points:
            self.network, self.head = classifier_of(self.data, self.real.shape[1:], self.kept)
            self.classes = self.head.out_features
            guesses = self.head(self.network(self.real)).argmax(1)
            self.accuracy = 1.0 if labels is None else float((guesses == labels).float().mean())
            self.shares = guesses.bincount(minlength=self.classes) / len(guesses)
            self.spreads = spread_by_class(self.real[: 2 * self.num], guesses[: 2 * self.num], self.classes)
            features = self.network(self.real)
            self.reference, other = features[: self.num], features[self.num : 2 * self.num]
            apart = torch.cdist(self.reference, self.reference).fill_diagonal_(math.inf)
            self.radii = apart.kthvalue(5, dim=1).values
            self.floor = coverage(self.reference, other, self.radii)
        self.real = self.real[: self.num]
        self.apart = mean_of_pairs(self.real)

    def on_train_batch_end(self, trainer: Trainer, gan: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if gan.batches_seen % EVERY == 0:
            self.take(gan)

    def take(self, gan: Any) -> None:
        """Score the generator as it is."""
        self.samples, labels = generation.draw(gan, self.num, seed=1)
        with torch.no_grad(), seeded(0):
            self.seen.append(self.score(gan.batches_seen, self.samples, labels))

    def score(self, batch: int, fake: Tensor, labels: Tensor | None) -> Score:
        if not torch.isfinite(fake).all():
            return Score(batch, finite=False)
        score = Score(batch, images=not self.points)
        score.variety = mean_of_pairs(fake) / self.apart
        if not self.points:
            score.variety = min(score.variety, mean_of_pairs(self.network(fake)) / mean_of_pairs(self.reference))
        if self.alone:
            return score
        features, reference = fake, self.real
        if self.points:
            self.add_modes(score, fake)
        else:
            features, reference = self.network(fake), self.reference
            self.add_classes(score, fake, features, labels)
        score.distance = frechet(reference, features)
        score.moved = math.nan if self._before is None else frechet(self._before, features)
        self._before = features
        return score

    def add_modes(self, score: Score, fake: Tensor) -> None:
        centres, sigma = self.data.means, self.data.sigma
        distances, nearest = torch.cdist(fake, centres.to(fake)).min(1)
        near = distances < 3 * sigma
        score.near = float(near.float().mean() / (1 - math.exp(-4.5)))
        around = distances < torch.cdist(centres, centres).fill_diagonal_(math.inf).min() / 3
        counts = nearest[around].bincount(minlength=len(centres))
        score.missing = float((counts < MISSING * len(fake) / len(centres)).sum())
        squares = (distances / sigma)[near].square()
        widths = [squares[nearest[near] == mode].mean().div(2).sqrt() for mode in nearest[near].unique()]
        widths = [float(width) for width in widths if not width.isnan()]
        score.spread = statistics.median(widths) if widths else math.nan

    def add_classes(self, score: Score, fake: Tensor, features: Tensor, labels: Tensor | None) -> None:
        score.near = coverage(self.reference, features, self.radii) / self.floor
        guesses = self.head(features).argmax(1)
        shares = guesses.bincount(minlength=self.classes) / len(guesses)
        score.missing = float((shares < MISSING * self.shares).sum())
        spreads = spread_by_class(fake, guesses, self.classes) / self.spreads
        spreads = spreads[spreads.isfinite()]
        score.spread = float(spreads.median()) if len(spreads) else math.nan
        if labels is not None:
            score.right = float((guesses == labels).float().mean()) / self.accuracy


def mean_of_pairs(x: Tensor) -> float:
    """Return the mean distance of two samples, of up to 1,000."""
    return float(torch.pdist(x[:1_000].flatten(1)).mean())


def coverage(real: Tensor, fake: Tensor, radii: Tensor) -> float:
    """Return the share of real samples with a fake among their five nearest neighbours."""
    return float((torch.cdist(real, fake).min(1).values < radii).float().mean())


def spread_by_class(x: Tensor, classes: Tensor, number: int) -> Tensor:
    """Return the mean distance of two samples of each class, NaN for a class with fewer than four."""
    own = [x[classes == one].flatten(1)[:300] for one in range(number)]
    return torch.stack([torch.pdist(some).mean() if len(some) >= 4 else torch.tensor(math.nan) for some in own])


def frechet(real: Tensor, fake: Tensor) -> float:
    """Return the Fréchet distance of features."""
    metric = FrechetDistance()
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return float(metric.compute())


# ---------------------------------------------------------------- a network that classifies the data


def classifier_of(data: GANData, shape: torch.Size, kept: Path) -> tuple[nn.Sequential, nn.Linear]:
    """Return features and head of a small network that is trained on labelled data once, and kept.

    It is another network than those of the monitor: two convolutions of 5 × 5, a layer of 64 features; three epochs.
    """
    channels, height, width = shape
    network = nn.Sequential(
        *(nn.Conv2d(channels, 24, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(24, 48, 5, padding=2), nn.ReLU(), nn.AdaptiveMaxPool2d(4)),
        *(nn.Flatten(), nn.Linear(48 * 16, 64), nn.ReLU()),
    )
    head = nn.Linear(64, 10)
    both = nn.Sequential(network, head)
    path = kept / f"classifier_{type(data).__name__}_{channels}x{height}x{width}.pt"
    if path.is_file():
        both.load_state_dict(torch.load(path, weights_only=True))
    else:
        with seeded(0), torch.enable_grad():
            train(both, data)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(both.state_dict(), path)
    return network.requires_grad_(False), head.requires_grad_(False)


def train(network: nn.Module, data: GANData) -> None:
    labelled = copy.copy(data)
    labelled.labels = True
    dataset = labelled.load("train")
    number = min(len(dataset), 10_000)
    x, y = dataset.__getitems__(torch.randperm(len(dataset))[:number].tolist())
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    epochs = max(3, 15_000 // number)
    for _ in range(epochs):
        for rows in torch.randperm(number).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimizer.step()


# ---------------------------------------------------------------- the truth of a run


def truth(scores: list[Score]) -> tuple[str, int | None]:
    """Return whether a run ended good, failing or undecided, and where a failure began."""
    if not scores[-1].finite:
        return FAILING, next(score.batch for score in scores if not score.finite)
    last = [score.state for score in scores[-max(1, len(scores) // 3) :]]
    if last.count(GOOD) > len(last) / 2:
        return GOOD, None
    if last.count(FAILING) <= len(last) / 2:
        return UNCLEAR, None
    begins = len(scores) - 1
    while begins > 0 and scores[begins - 1].state != GOOD:
        begins -= 1
    begins = max(begins, last_improvement(scores))
    batch = max(FIRST, scores[begins].batch)
    return (FAILING, batch) if scores[-1].batch - batch >= LASTS else (UNCLEAR, None)


def last_improvement(scores: list[Score]) -> int:
    """Return the index of the score at which the best so far, of medians of five, has last become better."""
    last, best = 0, [math.inf, math.inf, math.inf]
    for index in range(4, len(scores)):
        window = [score for score in scores[index - 4 : index + 1]]
        now = [median([score.distance for score in window]), median([-score.near for score in window])]
        now.append(median([score.missing for score in window]))
        better = (now[0] < 0.9 * best[0], now[1] < best[1] - 0.05, now[2] < best[2] - 0.9)
        for place, is_better in enumerate(better):
            if is_better:
                best[place], last = now[place], index - 2
    return last


def median(values: list[float]) -> float:
    """Return the median of the numbers, infinity without one."""
    known = [value for value in values if not math.isnan(value)]
    return statistics.median(known) if known else math.inf
