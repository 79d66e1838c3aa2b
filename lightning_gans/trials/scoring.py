"""One number for the samples of a trial: how well they lie among the data, and the data among them."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_gans.batches import samples_and_labels
from lightning_gans.callbacks.health.space import space_of
from lightning_gans.data import GANData
from lightning_gans.data.base import collate_of
from lightning_gans.data.order import size_of
from lightning_gans.gan import GAN
from lightning_gans.generation import draw
from lightning_gans.metrics import DensityCoverage
from lightning_gans.randomness import seeded

_POINTS, _IMAGES = 4_000, 2_000  # samples that are compared
_FEWEST = 40  # real samples of a class that can be compared with
_NEIGHBOURS = 5


def score(gan: GAN, data: GANData) -> float:
    """Return how good samples are, 0 to 1: 1 is what training samples score among one another.

        score = harmonic mean of min(density / density of real samples, 1) and coverage / coverage of real samples

    of up to 2,000 images, or 4,000 points; with labels, the mean over the classes, samples of a class beside its real
    ones. Digits are compared in the features of the digit classifier, other images in those of a network with fixed
    random weights, points as they are. A mode that is missing, samples that vary little, and samples that are
    smeared, blurred or noisy lower it; of samples that the generator has copied from the data it knows nothing.

    Args:
        gan: the generator's.
        data: its data; as many training samples are read as are compared.

    Reference:
        Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, ICML 2020, arXiv 2002.09797.
    """
    number = _POINTS if len(data.sample_shape) == 1 else _IMAGES
    fake, labels = draw(gan, number, seed=0)
    real, classes = _training_samples(data, 2 * number, 0 if labels is None else data.num_classes)
    if not fake.isfinite().all():
        return 0.0
    space = space_of(real[:1_024])
    real, fake = space.features(real), space.features(fake)
    if labels is None or classes is None:
        return _among(real, fake)
    pairs = [(real[classes == label], fake[labels == label]) for label in labels.unique()]
    found = [_among(*pair) for pair in pairs if len(pair[0]) >= _FEWEST]
    return sum(found) / len(found) if found else _among(real, fake)


def _among(real: Tensor, fake: Tensor) -> float:
    """Return the score of samples, from features; one half of the real samples is compared with the other."""
    half = min(len(real) // 2, len(fake))
    held, kept = real[:half], real[half : 2 * half]
    floor, own = _density_coverage(kept, held), _density_coverage(kept, fake[:half])
    density, coverage = (min(1.0, a / b) if b else math.nan for a, b in zip(own, floor, strict=True))
    return 2 * density * coverage / (density + coverage) if density + coverage > 0 else 0.0


def _density_coverage(real: Tensor, fake: Tensor) -> tuple[float, float]:
    metric = DensityCoverage(k=_NEIGHBOURS)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    figures = metric.compute()
    return float(figures["density"]), float(figures["coverage"])


def _training_samples(data: GANData, number: int, num_classes: int) -> tuple[Tensor, Tensor | None]:
    """Return training samples, shuffled, and their labels with more than no classes."""
    data.prepare_data()
    dataset = data.load("train")
    with seeded(0):
        rows = torch.randperm(size_of(dataset))[:number].tolist()
        (batch,) = DataLoader(dataset, batch_size=len(rows), sampler=rows, collate_fn=collate_of(dataset))
    x, y = samples_and_labels(batch, num_classes)
    return x.float(), y
