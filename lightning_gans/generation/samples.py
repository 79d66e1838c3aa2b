"""`lightning-gans sample`: samples of a trained generator in one picture."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.generation.drawing import class_labels, draw, draw_by_route, render, seed_latents
from lightning_gans.generation.loading import load
from lightning_gans.generation.pictures import GREY, ORANGE, captioned, picture, point_map, save_picture


def sample(
    checkpoint: str,
    out: str = "grid.png",
    num: int = 64,
    seed: int = 0,
    labels: list[int] | None = None,
    routes: int | None = None,
    numbered: bool = False,
    trust: bool = False,
) -> None:
    """Draw samples of a trained generator and write them as one picture.

    With `--numbered true` every sample is drawn from its own seed, which is written below it, with the class in
    brackets; `interpolate` and `arithmetic` take these seeds.

    Args:
        checkpoint: a checkpoint of `lightning-gans fit`, such as runs/<experiment>/<version>/checkpoints/last.ckpt, or
            a file of `lightning-gans export`.
        out: the picture to write; the name's ending chooses the format. An existing file is replaced.
        num: number of samples, at least 1.
        seed: seed of the latents; the same seed gives the same picture. With `numbered`, the first sample's seed.
        labels: classes to draw, for a conditional generator, as a list such as [3,7]; all in turn if left out.
        routes: for a stochastic ensemble, the number of routes to draw, one a row, with the same latents in each;
            num is divided among them.
        numbered: whether to draw each sample from a seed of its own, seed, seed + 1, ..., and to write it below.
        trust: import and build whatever classes the checkpoint names, once you know who made it.
    """
    gan = load(checkpoint, trust)
    arguments.whole("sample", 1, num=num)
    if numbered and routes is not None:
        raise ValueError(f"routes={routes} of numbered samples: each has the route of its seed; leave either out.")
    how = ""
    if routes is not None:
        columns = max(1, num // max(1, routes))
        samples = draw_by_route(gan, routes, columns, seed, labels).flatten(0, 1)
        image = picture(samples, columns=columns)
        how = f" along {routes} routes of {gan.generator.num_routes}"
    elif numbered:
        samples, image = _numbered(gan, num, seed, labels)
        how = f" numbered {seed} to {seed + num - 1}, by their seeds,"
    else:
        samples, classes = draw(gan, num, seed, labels)
        image = picture(samples, columns=_columns(classes))
    save_picture(image, out)
    print(f"{len(samples)} samples{how} of {type(gan).__name__} after {gan.generator_updates} generator updates: {out}")


def _numbered(gan: GAN, num: int, first: int, labels: list[int] | None) -> tuple[Tensor, Tensor]:
    """Return the samples of the seeds from `first` on, and a picture of them with their seeds."""
    seeds = list(range(first, first + num))
    classes = class_labels(gan, num, labels)
    weights = None if classes is None else F.one_hot(classes, gan.generator.num_classes).float()
    samples = render(gan, seed_latents(gan, seeds), seeds, weights)
    names = [str(seed) if classes is None else f"{seed} ({classes[i]})" for i, seed in enumerate(seeds)]
    if samples.dim() == 4:
        return samples, captioned(samples, names, _columns(classes))
    cloud = draw(gan, 2500, first)[0]
    return samples, point_map([(cloud, GREY), (samples, ORANGE)], list(zip(samples, names, strict=True)))


def _columns(classes: Tensor | None) -> int:
    """Return 8 columns, or one for each class."""
    return 8 if classes is None else max(min(len(classes.unique()), 16), 2)
