"""`lightning-gans arithmetic`: a − b + c of the latents of samples, as in the DCGAN paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.generation.drawing import class_labels, draw, render, seed_latents
from lightning_gans.generation.loading import load
from lightning_gans.generation.pictures import COLOURS, GREY, ORANGE, picture, point_map, save_picture, with_text
from lightning_gans.randomness import seeded


def arithmetic(
    checkpoint: str,
    a: list[int],
    b: list[int],
    c: list[int],
    out: str = "arithmetic.png",
    labels: list[int] | None = None,
    noise: float = 0.25,
    seed: int = 0,
    trust: bool = False,
) -> None:
    """Draw the sample of a - b + c in latent space, such as smiling woman - neutral woman + neutral man.

    Each of a, b and c is a list of seeds whose samples have a property in common. Choose them from numbered samples:

      lightning-gans sample --checkpoint last.ckpt --numbered true --num 96 --out sheet.png
      lightning-gans arithmetic --checkpoint last.ckpt --a=[3,18,40] --b=[7,21,64] --c=[5,33,90]

    The picture is laid out as in the DCGAN paper: a column for each list, with its samples above and the sample of
    their mean latents below; at the right nine samples, that of a - b + c in the centre and eight with a little noise
    added to its latents around it. Give about three seeds in each list: single seeds do not work as well, and with
    three the result is about as long as latents usually are. A one-hot code (GaussianWithCode), the route of a
    stochastic ensemble and the noise of a dropout cannot be averaged: they are those of the list's first seed, and for
    the result those of c. (Radford et al., "Unsupervised Representation Learning with Deep Convolutional GANs", ICLR
    2016, arXiv 1511.06434, figure 7.)

    Args:
        checkpoint: a checkpoint of `lightning-gans fit`, such as runs/<experiment>/<version>/checkpoints/last.ckpt, or
            a file of `lightning-gans export`.
        a: seeds of samples that have the property, as a list such as [3,18,40].
        b: seeds of samples that are like those of a without the property.
        c: seeds of samples to add the property to.
        out: the picture to write; the name's ending chooses the format. An existing file is replaced.
        labels: for a conditional generator, the classes of a, b and c as a list such as [7,1,4], or one class for all;
            their weights are added and subtracted too. Class 0 if left out.
        noise: half the width of the uniform noise around the result, in units of z, at least 0.
        seed: seed of that noise.
        trust: import and build whatever classes the checkpoint names, once you know who made it.
    """
    gan = load(checkpoint, trust)
    drawn = draw_arithmetic(gan, a, b, c, labels, noise, seed)
    if len(gan.generator.sample_shape) == 3:
        image = _figure(drawn)
    else:
        cloud = (draw(gan, 2500, seed)[0], GREY)
        concepts = list(zip(drawn.concepts, COLOURS[1:4], strict=True))
        marks = [*zip(drawn.means, "abc", strict=True), (drawn.results[4], "a-b+c")]
        means = [(drawn.means[i : i + 1], COLOURS[1 + i]) for i in range(3)]
        image = point_map([cloud, *concepts, *means, (drawn.results, ORANGE)], marks)
    save_picture(image, out)
    print(
        f"a - b + c of {len(a)}, {len(b)} and {len(c)} samples of {type(gan).__name__} after {gan.generator_updates} "
        f"generator updates: {out}"
    )


class Arithmetic(NamedTuple):
    """The samples that `draw_arithmetic` returns.

    Attributes:
        concepts: the samples of a, b and c, each (n, …).
        means: the sample of the mean latents of each, (3, …).
        results: samples of a − b + c, (9, …); the fifth is without noise.
    """

    concepts: list[Tensor]
    means: Tensor
    results: Tensor


@torch.no_grad()
def draw_arithmetic(
    gan: GAN,
    a: Sequence[int],
    b: Sequence[int],
    c: Sequence[int],
    labels: Sequence[int] | None = None,
    noise: float = 0.25,
    seed: int = 0,
) -> Arithmetic:
    """Return the samples of the mean latents of three lists of seeds, and of a − b + c.

        result = G(z̄_a − z̄_b + z̄_c + u),    u ~ U(−noise, noise) in every coordinate, and 0 for the fifth

    For Gaussian latents the mean of n is shorter than each, by 1/√n, and the sum of three is longer, by √3; with three
    seeds a list, the two cancel.

    Args:
        gan: its mode is restored afterwards.
        a: seeds, at least one.
        b: seeds, at least one.
        c: seeds, at least one.
        labels: classes of a, b and c of a conditional generator, or one for all; None is class 0. The weights of
            classes are combined as the latents are.
        noise: at least 0.
        seed: seed of the noise.
    """
    arguments.at_least("arithmetic", 0, noise=noise)
    for name, seeds in (("a", a), ("b", b), ("c", c)):
        if not seeds:
            raise ValueError(f"{name}=[]: expected at least one seed, such as those of `sample --numbered true`.")
    latents, width = gan.generator.latents, gan.generator.latents.continuous_dim
    if width == 0:
        raise ValueError(f"{latents} has nothing continuous to calculate with; use latents such as Gaussian.")
    if labels is not None and len(labels) not in (1, 3):
        raise ValueError(f"labels={list(labels)}: expected one class for all, or three, of a, b and c.")
    chosen = class_labels(gan, 3, [0] if labels is None and gan.generator.num_classes else labels)
    classes = None if chosen is None else F.one_hot(chosen, gan.generator.num_classes).float()
    concepts, means = [], []
    for i, seeds in enumerate((a, b, c)):
        z = seed_latents(gan, seeds)
        own = None if classes is None else classes[i : i + 1].expand(len(seeds), -1)
        concepts.append(render(gan, z, seeds, own))
        means.append(torch.cat([z[:, :width].mean(0), z[0, width:]]))
    mean = torch.stack(means)
    sign = torch.tensor([1.0, -1.0, 1.0])
    with seeded(seed):
        around = (torch.rand(9, width) * 2 - 1) * noise
    around[4] = 0
    result = torch.cat([sign @ mean[:, :width] + around, mean[2, width:].expand(9, -1)], dim=1)
    mixture = None if classes is None else (sign @ classes).expand(9, -1)
    return Arithmetic(
        concepts, render(gan, mean, [a[0], b[0], c[0]], classes), render(gan, result, [c[0]] * 9, mixture)
    )


def _figure(drawn: Arithmetic) -> Tensor:
    """Return a picture of the columns a, b and c with their means below, and of the nine results."""
    gap, line = 14, 16
    columns = [picture(concept, columns=1) for concept in drawn.concepts]
    below = [picture(one, columns=1) for one in drawn.means.split(1)]
    result = picture(drawn.results, columns=3)
    width, above = columns[0].shape[1], max(len(column) for column in columns)
    height = line + max(above + gap + len(below[0]), len(result))
    image = torch.full((height, 3 * (width + 2 * gap) + result.shape[1] + gap, 3), 255, dtype=torch.uint8)
    texts = []
    for i, name in enumerate(("a", "b", "c")):
        left = gap + i * (width + 2 * gap)
        top = height - len(below[i]) - gap - len(columns[i])
        image[top : top + len(columns[i]), left : left + width] = columns[i]
        image[height - len(below[i]) :, left : left + width] = below[i]
        middle = height - len(below[i]) // 2
        texts += [(left + width // 2, top - line // 2, name), (left + width + gap, middle, "-+="[i])]
    left, top = 3 * (width + 2 * gap) + gap // 2, height - len(result)
    image[top:, left : left + result.shape[1]] = result
    texts.append((left + result.shape[1] // 2, top - line // 2, "a - b + c"))
    return with_text(image, texts)
