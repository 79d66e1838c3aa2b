"""`lightning-gans interpolate`: the samples between the samples of some seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans import arguments
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
    """Draw the samples along paths between the latents of some seeds, as a picture or an animation.

    Along a path the samples of a good generator change smoothly, and each of them is a likely sample; a generator that
    has memorised its training set jumps. Choose the seeds with `lightning-gans sample --numbered true`, then for
    instance

      lightning-gans interpolate --checkpoint last.ckpt --seeds=[3,17,42,3] --out path.gif

    Each row of the picture is a path, with the seeds written under their samples, and the class in brackets. Points in
    the plane are drawn as paths over the samples; a gap in a path is where the generator is discontinuous, or nearly.

    Between Gaussian latents the path is spherical: it turns from one to the other at a constant rate. The straight line
    would pass through latents that are shorter than almost all of those in training. Between uniform latents the path
    is straight, which stays inside their cube. A one-hot code (GaussianWithCode) changes half-way, to that of the
    nearer end. The route of a stochastic ensemble and the noise of a dropout are those of the row's first seed. (White,
    "Sampling Generative Networks", 2016, arXiv 1609.04468.)

    Args:
        checkpoint: a checkpoint of `lightning-gans fit`, such as runs/<experiment>/<version>/checkpoints/last.ckpt, or
            a file of `lightning-gans export`.
        out: the file to write: a picture, such as path.png, or an animation, path.gif. An existing file is replaced.
        seeds: the seeds that the paths pass through, as a list such as [3,17,42], split evenly among the rows, at least
            two for each; 0, 1, 2, ... if left out.
        rows: number of paths; if left out, one through the given seeds, or 8 through two seeds each.
        steps: samples from one seed to the next, both included; if left out 10, 30 in a GIF, 200 for points.
        spherical: whether paths are spherical (true) or straight (false); if left out, spherical for Gaussian latents
            and straight for uniform ones.
        labels: for a conditional generator, the class of each seed as a list such as [3], or [3,7] to go from class 3
            to class 7; repeated as often as needed. If left out, each row has one class, all classes in turn.
        trust: import and build whatever classes the checkpoint names, once you know who made it.
    """
    gan = load(checkpoint, trust)
    paths = _split(seeds, rows)
    classes = _classes(gan, paths, labels)
    of_images = len(gan.generator.sample_shape) == 3
    animated = Path(out).suffix.lower() == ".gif"
    if steps is None:
        steps = 30 if animated else 10 if of_images else 200
    samples = torch.stack(  # (rows, samples in a path, …)
        [draw_path(gan, path, steps, spherical, own) for path, own in zip(paths, classes, strict=True)]
    )
    if animated:
        frames = _image_frames(samples) if of_images else _map_frames(gan, samples)
        save_animation([*frames, *frames[-2:0:-1]], out)  # forwards, then backwards
    else:
        captions = [_captions(path, own, steps) for path, own in zip(paths, classes, strict=True)]
        save_picture(_image_rows(samples, captions) if of_images else _map_of_paths(gan, samples, captions), out)
    number = f"{len(paths)} path{'s' if len(paths) > 1 else ''} of {samples.shape[1]} samples each"
    print(
        f"{number}, {_kind(gan, spherical)}, of {type(gan).__name__} after {gan.generator_updates} generator updates: "
        f"{out}"
    )


def draw_path(
    gan: GAN, seeds: Sequence[int], steps: int = 10, spherical: bool | None = None, labels: Sequence[int] | None = None
) -> Tensor:
    """Return the samples along a path through the latents of seeds, ((S − 1)(steps − 1) + 1, …) on the CPU.

    Args:
        gan: its mode is restored afterwards.
        seeds: S seeds, at least two.
        steps: samples from one seed to the next, both included, at least 2.
        spherical: whether to use `slerp` or straight lines; None uses `slerp` where the latents are `isotropic`.
        labels: the class of each seed of a conditional generator, repeated as often as needed; None is class 0.
            Between two classes their weights change with it.
    """
    latents = gan.generator.latents
    if len(seeds) < 2:
        raise ValueError(f"seeds={list(seeds)}: expected at least two, the ends of a path.")
    arguments.whole("interpolate", 2, steps=steps)
    if latents.continuous_dim == 0:
        raise ValueError(
            f"{latents} has nothing continuous to interpolate; use latents such as Gaussian, or draw samples with "
            "`lightning-gans sample`."
        )
    between = slerp if _is_spherical(gan, spherical) else torch.lerp
    classes = class_labels(gan, len(seeds), [0] if labels is None and gan.generator.num_classes else labels)
    z = seed_latents(gan, seeds)
    weights = None if classes is None else F.one_hot(classes, gan.generator.num_classes).float()
    path, mixtures = [z[:1]], [] if weights is None else [weights[:1]]
    for i in range(len(seeds) - 1):
        t = torch.linspace(0, 1, steps)[1:, None]
        a, b = z[i : i + 1], z[i + 1 : i + 2]
        c = latents.continuous_dim
        code = torch.where(t < 0.5, a, b)[:, c:]
        path.append(torch.cat([between(a[:, :c], b[:, :c], t), code], dim=1))
        if weights is not None:
            mixtures.append(torch.lerp(weights[i : i + 1], weights[i + 1 : i + 2], t))
    z = torch.cat(path)
    return render(gan, z, [seeds[0]] * len(z), torch.cat(mixtures) if mixtures else None)


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Interpolate spherically from a to b: the direction turns at a constant rate, the length changes linearly.

        direction(t) = [sin((1 − t)ω) a/‖a‖ + sin(tω) b/‖b‖] / sin ω,    ω = angle between a and b

    Latents of a wide Gaussian have lengths near √dim; so have all points between. Where a and b are parallel, opposite
    or 0 there is no unique great circle, and the path is straight.

    Args:
        a: (…, D).
        b: (…, D).
        t: fraction of the path, 0 to 1, of a shape that broadcasts with (…, 1).

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


def _split(seeds: list[int] | None, rows: int | None) -> list[list[int]]:
    """Return the seeds of every row."""
    if rows is None:
        rows = 8 if seeds is None else 1
    arguments.whole("interpolate", 1, rows=rows)
    seeds = list(range(2 * rows)) if seeds is None else seeds
    if len(seeds) < 2 * rows or len(seeds) % rows:
        raise ValueError(f"seeds={seeds} in rows={rows}: expected at least two seeds a row, as many in each.")
    each = len(seeds) // rows
    return [seeds[row * each : (row + 1) * each] for row in range(rows)]


def _classes(gan: GAN, paths: list[list[int]], labels: list[int] | None) -> list[list[int] | None]:
    """Return the class of every seed of every row, None for rows of an unconditional generator."""
    if labels is None and gan.generator.num_classes:
        labels = [row % gan.generator.num_classes for row, path in enumerate(paths) for _ in path]
    classes = class_labels(gan, sum(map(len, paths)), labels)
    return [None] * len(paths) if classes is None else [part.tolist() for part in classes.split(len(paths[0]))]


def _captions(path: list[int], classes: list[int] | None, steps: int) -> list[str]:
    """Return a caption for each sample of a path: the seed and its class, and nothing between seeds."""
    captions = [""] * ((len(path) - 1) * (steps - 1) + 1)
    captions[:: steps - 1] = [f"{seed}" if classes is None else f"{seed} ({classes[i]})" for i, seed in enumerate(path)]
    return captions


def _image_rows(samples: Tensor, captions: list[list[str]]) -> Tensor:
    """Return a picture with a row of images for each path."""
    return captioned(samples.flatten(0, 1), [caption for row in captions for caption in row], samples.shape[1])


def _image_frames(samples: Tensor) -> list[Tensor]:
    """Return a picture of all paths at each step."""
    columns = next(columns for columns in range(1, len(samples) + 1) if columns**2 >= len(samples))
    return [picture(at_step, columns=columns) for at_step in samples.unbind(1)]


def _map_of_paths(gan: GAN, samples: Tensor, captions: list[list[str]]) -> Tensor:
    """Return a map of the paths over other samples of the generator."""
    pairs = zip(samples.flatten(0, 1), [caption for row in captions for caption in row], strict=True)
    marks = [(point, caption) for point, caption in pairs if caption]
    return point_map([(_cloud(gan), GREY), *_coloured(samples)], marks)


def _map_frames(gan: GAN, samples: Tensor) -> list[Tensor]:
    """Return maps on which the paths grow by a step in each."""
    cloud = _cloud(gan)
    return [point_map([(cloud, GREY), *_coloured(samples[:, : step + 1])]) for step in range(samples.shape[1])]


def _cloud(gan: GAN) -> Tensor:
    return draw(gan, 2500, 0)[0]


def _coloured(paths: Tensor) -> list[tuple[Tensor, tuple[int, int, int]]]:
    return [(path, COLOURS[row % len(COLOURS)]) for row, path in enumerate(paths)]


def _is_spherical(gan: GAN, spherical: bool | None) -> bool:
    return gan.generator.latents.isotropic if spherical is None else spherical


def _kind(gan: GAN, spherical: bool | None) -> str:
    latents = gan.generator.latents
    code = ", the code changing half-way" if latents.continuous_dim < latents.dim else ""
    return ("spherical" if _is_spherical(gan, spherical) else "linear") + code
