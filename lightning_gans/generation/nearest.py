"""`lightning-gans neighbours`: the training samples closest to a generator's samples, which show memorisation."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans import arguments
from lightning_gans.data import GANData
from lightning_gans.data.order import size_of
from lightning_gans.generation.drawing import class_labels, draw, render, seed_latents
from lightning_gans.generation.loading import load
from lightning_gans.generation.pictures import COLOURS, GREY, ORANGE, captioned, point_map, save_picture
from lightning_gans.generation.training_data import (
    check_data,
    data_of,
    held_out_samples,
    in_blocks,
    some_training_samples,
)
from lightning_gans.metrics.distances import distance_blocks

BLOCK = 1024
"""Number of training samples that are read and compared at a time."""


def neighbours(
    checkpoint: str,
    data: GANData | None = None,
    out: str = "neighbours.png",
    num: int = 8,
    k: int = 7,
    seed: int = 0,
    labels: list[int] | None = None,
    features: nn.Module | None = None,
    compared: int = 250,
    trust: bool = False,
) -> None:
    """Check whether a trained generator has memorised its training set: draw its samples beside the closest ones.

      lightning-gans neighbours --checkpoint last.ckpt
      lightning-gans neighbours --checkpoint last.ckpt --data=MNIST --data.root=data --features=DigitFeatures

    A row of the picture is a sample and the k training samples closest to it, with the distance under each. If the
    generator copies, a row shows the same image twice. The printed verdict compares the distances to the closest
    training sample of generated samples and of held-out real ones, which are certainly not copies. Copies are much
    closer than those. Slightly smaller distances may also mean samples that are simpler than the data, such as smooth
    ones: compare the rows. The whole training set is read once.

    Args:
        checkpoint: a checkpoint of `lightning-gans fit`, such as runs/<experiment>/<version>/checkpoints/last.ckpt, or
            a file of `lightning-gans export`.
        data: the data, as for fit; if left out, that of the config.yaml in the run's folder.
        out: the picture to write; the name's ending chooses the format. An existing file is replaced.
        num: number of samples to show, at least 1.
        k: number of neighbours of each, at least 1.
        seed: seed of the first sample; the next samples have the next seeds, as in `sample --numbered true`.
        labels: classes to draw, for a conditional generator, as a list such as [3,7]; all in turn if left out.
        features: a network with `num_features`, such as DigitFeatures, ImageNetFeatures or InceptionFeatures, whose
            features are compared; if left out, pixels are compared.
        compared: number of generated samples, and of held-out ones, that the verdict compares, at least 20.
        trust: import and build whatever classes the checkpoint names, once you know who made it.
    """
    gan = load(checkpoint, trust)
    arguments.whole("neighbours", 1, num=num, k=k)
    arguments.whole("neighbours", 20, compared=compared)
    if features is not None and not isinstance(getattr(features, "num_features", None), int):
        raise ValueError(
            f"features={type(features).__name__}: expected a network with num_features, the width of what it returns; "
            "use DigitFeatures, ImageNetFeatures or InceptionFeatures."
        )
    data = data_of(checkpoint, trust) if data is None else data
    check_data(data, gan)
    seeds = list(range(seed, seed + num))
    classes = class_labels(gan, num, labels)
    weights = None if classes is None else F.one_hot(classes, gan.generator.num_classes).float()
    samples = render(gan, seed_latents(gan, seeds), seeds, weights)
    data.prepare_data()
    held_out = held_out_samples(data, compared)
    many = draw(gan, compared, seed, labels)[0]
    found = find_neighbours(torch.cat([samples, many, held_out]), data, k, features)
    shown = Neighbours(found.distances[:num], found.samples[:num], found.searched)
    save_picture(_rows(samples, seeds, shown) if samples.dim() == 4 else _map(samples, seeds, shown, data), out)
    print(
        f"{num} samples of {type(gan).__name__} after {gan.generator_updates} generator updates beside the {k} closest "
        f"of {found.searched:,} training samples: {out}"
    )
    nearest = found.distances[num:, 0]
    print(verdict(nearest[:compared], nearest[compared:]))


class Neighbours(NamedTuple):
    """The training samples closest to N other samples.

    Attributes:
        distances: (N, k), ascending.
        samples: the training samples at these distances, (N, k, …).
        searched: number of training samples.
    """

    distances: Tensor
    samples: Tensor
    searched: int


@torch.no_grad()
def find_neighbours(samples: Tensor, data: GANData, k: int, features: nn.Module | None = None) -> Neighbours:
    """Find the k training samples closest to each of some samples; the training set is read once, a block at a time.

    Args:
        samples: (N, …) on the CPU.
        data: its training split is searched.
        k: number of neighbours, at least 1.
        features: a network with `num_features` whose features are compared by Euclidean distance; None compares the
            samples themselves.

    Raises:
        ValueError: where the training set has fewer than k samples.
    """
    from tqdm import tqdm

    training = data.load("train")
    size = size_of(training)
    if not 1 <= k <= size:
        raise ValueError(f"k={k}: expected 1 to {size}, the number of training samples.")
    wanted = torch.cat([_features(part, features) for part in samples.split(BLOCK)])
    distances = torch.full((len(samples), k), torch.inf)
    found = samples.new_zeros(len(samples), k, *samples.shape[1:])
    blocks = in_blocks(training, BLOCK, data.num_workers)
    for block in tqdm(blocks, "training samples", -(-size // BLOCK), leave=False, delay=3, disable=None):
        near = _features(block, features)
        for rows, apart in distance_blocks(wanted, near):
            closest, which = apart.topk(min(k, len(block)), largest=False)
            together, order = torch.cat([distances[rows], closest], dim=1).topk(k, largest=False)
            both = torch.cat([found[rows], block[which]], dim=1)
            distances[rows] = together
            found[rows] = both[torch.arange(len(both))[:, None], order]
    return Neighbours(distances, found, size)


def verdict(samples: Tensor, held_out: Tensor) -> str:
    """Return one line on memorisation, from the distances of samples and of held-out data to the training samples.

    The share of pairs in which the sample is the closer one is the Mann–Whitney statistic; for new data it is one half
    within 3 standard deviations √((n + m + 1) / (12 n m)).

    Args:
        samples: distances (n,) of generated samples to their closest training samples.
        held_out: distances (m,) of held-out samples to theirs.

    Reference:
        Meehan, Chaudhuri, Dasgupta, A Non-Parametric Test to Detect Data-Copying in Generative Models, AISTATS 2020,
        arXiv 2004.05675.
    """
    below = (samples[:, None] < held_out).double().mean() + (samples[:, None] == held_out).double().mean() / 2
    share = float(below)
    n, m = len(samples), len(held_out)
    deviation = ((n + m + 1) / (12 * n * m)) ** 0.5
    if share > 0.95:
        says = "the samples are copies of training samples, or nearly"
    elif share > 0.5 + 3 * deviation:
        says = "closer than new data: memorised, or simpler than the data; compare the rows"
    elif share < 0.5 - 3 * deviation:
        says = "farther than new data: no sign of memorisation, but the samples miss the data"
    else:
        says = "as far as new data: no sign of memorisation"
    return (
        f"Mean distance to the closest training sample: {samples.mean():.3g} of {n} samples, {held_out.mean():.3g} of "
        f"{m} held-out ones; the sample is the closer of two in {100 * share:.0f} % of pairs: {says}."
    )


def _features(x: Tensor, features: nn.Module | None) -> Tensor:
    return x.flatten(1) if features is None else features.eval()(x).float().flatten(1)


def _map(samples: Tensor, seeds: list[int], found: Neighbours, data: GANData) -> Tensor:
    """Return a map of samples, their neighbours and lines to the closest ones, over training samples."""
    lines = _lines(samples, found.samples[:, 0])
    near = found.samples.flatten(0, 1)
    layers = [(some_training_samples(data), GREY), (lines, COLOURS[-1]), (near, COLOURS[1]), (samples, ORANGE)]
    return point_map(layers, list(zip(samples, map(str, seeds), strict=True)))


def _lines(starts: Tensor, ends: Tensor, dots: int = 60) -> Tensor:
    """Return dots on straight lines, (N · dots, D)."""
    t = torch.linspace(0, 1, dots)[:, None, None]
    return torch.lerp(starts[None], ends[None], t).flatten(0, 1)


def _rows(samples: Tensor, seeds: list[int], found: Neighbours) -> Tensor:
    """Return a picture with a row for each sample: the sample, then its neighbours with their distances."""
    left = captioned(samples, [f"seed {seed}" for seed in seeds], columns=1)
    k = found.distances.shape[1]
    right = captioned(
        found.samples.flatten(0, 1), [f"{one:#.3g}".rstrip(".") for one in found.distances.flatten().tolist()], k
    )
    gap = torch.full((len(left), 10, 3), 255, dtype=torch.uint8)
    return torch.cat([left, gap, right], dim=1)
