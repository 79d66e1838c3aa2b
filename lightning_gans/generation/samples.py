"""`lightning-gans sample`: samples of a trained generator in one picture, or each in its own."""

from __future__ import annotations

from pathlib import Path

import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.generation.drawing import class_labels, draw, draw_by_route, draw_in_batches, render, seed_latents
from lightning_gans.generation.loading import load
from lightning_gans.generation.pictures import (
    GREY,
    ORANGE,
    captioned,
    columns_of,
    picture,
    point_map,
    save_each,
    save_picture,
)


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
    """Draw samples of a trained generator and write them as one picture, or as a folder with a picture of each.

    `--out samples/ --num 5000` writes 5,000 PNGs to a new folder. Those of a conditional generator are in a sub-folder
    for each class, named after its number, as `ImageFolder` reads them.

    With `--numbered true` every sample is drawn from its own seed, which is written below it, with the class in
    brackets; `interpolate` and `arithmetic` take these seeds.

    Args:
        checkpoint: a checkpoint of `lightning-gans fit`, such as runs/<experiment>/<version>/checkpoints/last.ckpt, or
            a file of `lightning-gans export`.
        out: the picture to write; the name's ending chooses the format. An existing file is replaced. A name without an
            ending, or with a slash at its end, is a new folder, in which each image gets a PNG of its own.
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
    how, count = "", num
    if out.endswith("/") or not Path(out).suffix or Path(out).is_dir():
        if numbered or routes is not None:
            raise ValueError(f"out={out!r} is a folder, without numbers and routes; give a picture, such as grid.png.")
        _to_folder(gan, Path(out), num, seed, labels)
    elif routes is not None:
        columns = max(1, num // max(1, routes))
        count = routes * columns
        samples = draw_by_route(gan, routes, columns, seed, labels)
        save_picture(picture(samples.flatten(0, 1), columns=columns), out)
        how = f" along {routes} routes of {gan.generator.num_routes}"
    elif numbered:
        save_picture(_numbered(gan, num, seed, labels), out)
        how = f" numbered {seed} to {seed + num - 1}, by their seeds,"
    else:
        samples, classes = draw(gan, num, seed, labels)
        save_picture(picture(samples, columns=_columns(classes)), out)
    print(f"{count} samples{how} of {type(gan).__name__} after {gan.generator_updates} generator updates: {out}")


def _to_folder(gan: GAN, folder: Path, num: int, seed: int, labels: list[int] | None) -> None:
    """Write every sample to a PNG of its own, in a new folder, with a progress bar."""
    if len(gan.generator.sample_shape) != 3:
        raise ValueError(f"out='{folder}': points have no pictures of their own; give a picture, such as map.png.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"out='{folder}' exists already; give the name of a new folder, or of a picture.")
    digits, start = max(5, len(str(num - 1))), 0
    with tqdm(total=num, unit="picture", desc=str(folder), leave=False) as progress:
        for batch, classes in draw_in_batches(gan, num, seed, labels):
            homes = [folder] * len(batch) if classes is None else [folder / str(label) for label in classes.tolist()]
            save_each(batch, [home / f"{i:0{digits}}.png" for i, home in enumerate(homes, start)])
            start += len(batch)
            progress.update(len(batch))


def _numbered(gan: GAN, num: int, first: int, labels: list[int] | None) -> Tensor:
    """Return a picture of the samples of the seeds from `first` on, with their seeds."""
    seeds = list(range(first, first + num))
    classes = class_labels(gan, num, labels)
    weights = None if classes is None else F.one_hot(classes, gan.generator.num_classes).float()
    samples = render(gan, seed_latents(gan, seeds), seeds, weights)
    names = [str(seed) if classes is None else f"{seed} ({classes[i]})" for i, seed in enumerate(seeds)]
    if samples.dim() == 4:
        return captioned(samples, names, _columns(classes))
    cloud = draw(gan, 2500, first)[0]
    return point_map([(cloud, GREY), (samples, ORANGE)], list(zip(samples, names, strict=True)))


def _columns(classes: Tensor | None) -> int:
    return 8 if classes is None else columns_of(len(classes.unique()))
