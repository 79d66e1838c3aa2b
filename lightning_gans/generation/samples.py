"""`lightning-gans sample`: samples of a trained generator in one picture."""

from __future__ import annotations

import torch.nn.functional as F

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

    With `--numbered true` every sample is drawn from a seed of its own, which is written below it, and its class in
    brackets; these are the seeds that `interpolate` and `arithmetic` take.

    Args:
        checkpoint: a checkpoint of `lightning-gans fit`, runs/<experiment>/<version>/checkpoints/last.ckpt, or what
            `lightning-gans export` made of it.
        out: the picture to write; the name's ending chooses the format. A file of that name is replaced.
        num: how many samples.
        seed: of the latents; the same seed gives the same picture. Of numbered samples, the first one's.
        labels: classes to draw, for a conditional generator, as a list such as [3,7]; all in turn if left out.
        routes: for a stochastic ensemble, how many routes to draw, one per row, the same latents in each; num is
            shared among them.
        numbered: whether sample k is drawn from seed + k alone, and this number is written below it.
        trust: import and build whatever classes the checkpoint names, once you know who made it.
    """
    gan = load(checkpoint, trust)
    if num < 1:
        raise ValueError(f"num={num}: expected at least 1 sample.")
    if numbered and routes is not None:
        raise ValueError(f"routes={routes} of numbered samples: each has the route of its seed; leave either out.")
    along = ""
    if routes is not None:
        columns = max(1, num // max(1, routes))
        samples = draw_by_route(gan, routes, columns, seed, labels).flatten(0, 1)
        along = f" along {routes} routes of {gan.generator.num_routes}"
        image = picture(samples, columns=columns)
    elif numbered:
        seeds = list(range(seed, seed + num))
        classes = class_labels(gan, num, labels)
        weights = None if classes is None else F.one_hot(classes, gan.generator.num_classes).float()
        samples = render(gan, seed_latents(gan, seeds), seeds, weights)
        columns = 8 if classes is None else max(min(len(classes.unique()), 16), 2)
        names = [str(one) if classes is None else f"{one} ({classes[i]})" for i, one in enumerate(seeds)]
        if samples.dim() == 4:
            image = captioned(samples, names, columns)
        else:
            cloud = draw(gan, 2500, seed)[0]
            image = point_map([(cloud, GREY), (samples, ORANGE)], list(zip(samples, names, strict=True)))
        along = f" numbered {seeds[0]} to {seeds[-1]}, by their seeds,"
    else:
        samples, classes = draw(gan, num, seed, labels)
        image = picture(samples, columns=8 if classes is None else max(min(len(classes.unique()), 16), 2))
    save_picture(image, out)
    print(
        f"{len(samples)} samples{along} of {type(gan).__name__} after {gan.generator_updates} generator updates: {out}"
    )
