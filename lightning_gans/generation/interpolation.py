"""`lightning-gans interpolate`: what the generator makes on the way from one sample to another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans.gan import GAN
from lightning_gans.generation.drawing import class_labels, draw, render, seed_latents
from lightning_gans.generation.loading import load
from lightning_gans.generation.pictures import (
    COLOURS,
    GREY,
    captioned,
    picture,
    point_map,
    save_animation,
    save_picture,
)


def interpolate(
    checkpoint: str,
    out: str = "interpolation.png",
    seeds: list[int] | None = None,
    rows: int | None = None,
    steps: int | None = None,
    spherical: bool | None = None,
    labels: list[int] | None = None,
    trust: bool = False,
) -> None:
    """Walk from one sample of a trained generator to another and draw what lies between.

    A generator that has learned something changes its samples smoothly and every step is a likely sample; one that has
    learned its training set by heart jumps. Find seeds whose samples you like with `lightning-gans sample --numbered
    true`, then for instance

      lightning-gans interpolate --checkpoint last.ckpt --seeds=[3,17,42,3] --out path.gif

    Each row of the picture is a path, with the seeds written under its stops, and the class in brackets; of points in
    the plane, the path is drawn over the samples, and gaps in it show where the generator tears space apart. Between
    Gaussian latents the path turns from one to the other at an even pace (spherical): the straight line cuts through
    lengths that the generator has hardly ever seen. Between uniform latents it is straight, which stays inside their
    cube. A one-hot code (GaussianWithCode) cannot lie between two: it changes to that of the nearer end half-way. A
    route of a stochastic ensemble and the noise of a dropout stay those of the row's first seed. (White, "Sampling
    Generative Networks", 2016, arXiv 1609.04468.)

    Args:
        checkpoint: a checkpoint of `lightning-gans fit`, runs/<experiment>/<version>/checkpoints/last.ckpt, or what
            `lightning-gans export` made of it.
        out: the picture to write, such as path.png, or an animation, path.gif. A file of that name is replaced.
        seeds: where the paths stop, as a list such as [3,17,42], shared evenly among the rows, at least two in each;
            0, 1, 2, ... if left out.
        rows: how many paths; if left out, one through the given seeds, or 8 between two each.
        steps: samples from one stop to the next, both included; if left out 10, 30 in a GIF, 200 for points.
        spherical: whether to turn from one to the other (true) or go straight (false); if left out as the latents
            are best served.
        labels: for a conditional generator, the class of each seed as a list such as [3], or [3,7] to go from class 3
            to class 7; repeated as often as needed. A class a row, in turn, if left out.
        trust: import and build whatever classes the checkpoint names, once you know who made it.
    """
    gan = load(checkpoint, trust)
    paths = _shared(seeds, rows)
    images = len(gan.generator.sample_shape) == 3
    animated = Path(out).suffix.lower() == ".gif"
    steps = (30 if animated else 10 if images else 200) if steps is None else steps
    if labels is None and gan.generator.num_classes:
        labels = [row % gan.generator.num_classes for row in range(len(paths)) for _ in paths[row]]
    if labels is not None:
        every = class_labels(gan, sum(map(len, paths)), labels)
        labels = [] if every is None else every.tolist()
    drawn, names, at = [], [], 0
    for path in paths:
        own = None if labels is None else labels[at : at + len(path)]
        drawn.append(draw_path(gan, path, steps, spherical, own))
        names.append([str(seed) if own is None else f"{seed} ({own[i]})" for i, seed in enumerate(path)])
        at += len(path)
    samples = torch.stack(drawn)  # (rows, steps, …)
    if images:
        frames = [picture(frame, columns=_columns(len(paths))) for frame in samples.unbind(1)] if animated else []
        captions = [name for row in names for name in _under_stops(row, steps)]
        still = None if animated else captioned(samples.flatten(0, 1), captions, samples.shape[1])
    else:
        cloud = (draw(gan, 2500, 0)[0], GREY)
        colours = [COLOURS[row % len(COLOURS)] for row in range(len(paths))]
        stops = zip(samples[:, :: steps - 1].flatten(0, 1), [name for row in names for name in row], strict=True)
        so_far = [samples[:, : step + 1] for step in range(samples.shape[1])] if animated else []
        frames = [point_map([cloud, *zip(paths_so_far, colours, strict=True)]) for paths_so_far in so_far]
        still = point_map([cloud, *zip(samples, colours, strict=True)], list(stops))
    if animated:
        save_animation([*frames, *frames[-2:0:-1]], out)  # there and back
    else:
        assert still is not None
        save_picture(still, out)
    way = _way(gan, spherical)
    print(
        f"{len(paths)} path{'s' if len(paths) > 1 else ''} of {samples.shape[1]} samples each, {way}, of "
        f"{type(gan).__name__} after {gan.generator_updates} generator updates: {out}"
    )


def draw_path(
    gan: GAN, seeds: Sequence[int], steps: int = 10, spherical: bool | None = None, labels: Sequence[int] | None = None
) -> Tensor:
    """Samples on the way from the sample of one seed to that of the next, ((S − 1)(steps − 1) + 1, …) on the CPU.

    Args:
        gan: its mode is left as it was.
        seeds: S stops, at least two.
        steps: samples from one stop to the next, both included, at least 2.
        spherical: as for `slerp`, else straight; None turns where the latents are `isotropic`.
        labels: the class of each seed of a conditional generator, repeated as often as needed; None is class 0.
            Between two classes their embeddings are mixed.
    """
    latents = gan.generator.latents
    if len(seeds) < 2:
        raise ValueError(f"seeds={list(seeds)}: expected at least two, to go from one to the other.")
    if steps < 2:
        raise ValueError(f"steps={steps}: expected at least 2, which are the ends.")
    if latents.continuous_dim == 0:
        raise ValueError(
            f"{latents} has nothing continuous to interpolate; use latents such as Gaussian, or look at the variety "
            "with `lightning-gans sample`."
        )
    turns = latents.isotropic if spherical is None else spherical
    classes = class_labels(gan, len(seeds), [0] if labels is None and gan.generator.num_classes else labels)
    z = seed_latents(gan, seeds)
    weights = None if classes is None else F.one_hot(classes, gan.generator.num_classes).float()
    path, mixtures = [z[:1]], [] if weights is None else [weights[:1]]
    for i in range(len(seeds) - 1):
        t = torch.linspace(0, 1, steps)[1:, None]
        a, b = z[i : i + 1], z[i + 1 : i + 2]
        nearer = torch.where(t < 0.5, a, b)  # of a code
        c = latents.continuous_dim
        between = (slerp if turns else torch.lerp)(a[:, :c], b[:, :c], t)
        path.append(torch.cat([between, nearer[:, c:]], dim=1))
        if weights is not None:
            mixtures.append(torch.lerp(weights[i : i + 1], weights[i + 1 : i + 2], t))
    z = torch.cat(path)
    return render(gan, z, [seeds[0]] * len(z), torch.cat(mixtures) if mixtures else None)


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Turn from a to b: the direction moves at an even pace along the great circle, the length along a straight line.

        direction(t) = [sin((1 − t)ω) a/‖a‖ + sin(tω) b/‖b‖] / sin ω,    ω = angle between a and b

    Latents of a wide Gaussian have lengths near √dim; so do all points between. Where a and b are parallel, opposite or
    0 there is no such circle, and the way is straight.

    Args:
        a: (…, D).
        b: (…, D).
        t: share of the way, 0 to 1, of a shape that goes with (…, 1).

    Reference:
        White, Sampling Generative Networks, 2016, arXiv 1609.04468; Shoemake, Animating Rotation with Quaternion
        Curves, SIGGRAPH 1985.
    """
    lengths = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    u, v = (x / length.clamp_min(1e-12) for x, length in zip((a, b), lengths, strict=True))
    angle = 2 * torch.atan2((u - v).norm(dim=-1, keepdim=True), (u + v).norm(dim=-1, keepdim=True))
    sine = angle.sin()
    turned = (((1 - t) * angle).sin() * u + (t * angle).sin() * v) / sine.clamp_min(1e-12)
    turned = turned * torch.lerp(*lengths, t)
    path = torch.where((sine < 1e-4) | (lengths[0] == 0) | (lengths[1] == 0), torch.lerp(a, b, t), turned)
    return torch.where(t == 0, a, torch.where(t == 1, b, path))


def _shared(seeds: list[int] | None, rows: int | None) -> list[list[int]]:
    """The seeds of every row."""
    if rows is not None and rows < 1:
        raise ValueError(f"rows={rows}: expected at least 1.")
    rows = (8 if seeds is None else 1) if rows is None else rows
    seeds = list(range(2 * rows)) if seeds is None else seeds
    if len(seeds) < 2 * rows or len(seeds) % rows:
        raise ValueError(f"seeds={seeds} in rows={rows}: expected at least two seeds a row, as many in each.")
    each = len(seeds) // rows
    return [seeds[row * each : (row + 1) * each] for row in range(rows)]


def _under_stops(names: Sequence[str], steps: int) -> list[str]:
    captions = [""] * ((len(names) - 1) * (steps - 1) + 1)
    captions[:: steps - 1] = names
    return captions


def _columns(rows: int) -> int:
    return next(columns for columns in range(1, rows + 1) if columns**2 >= rows)


def _way(gan: GAN, spherical: bool | None) -> str:
    latents = gan.generator.latents
    turns = latents.isotropic if spherical is None else spherical
    code = ", the code changing half-way" if latents.continuous_dim < latents.dim else ""
    return ("spherical" if turns else "linear") + code
