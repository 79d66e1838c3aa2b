"""Samples of a trained generator, drawn from seeds and in evaluation mode."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.networks import StochasticGenerator, evaluating
from lightning_gans.randomness import seeded


@torch.no_grad()
def draw(
    gan: GAN, num: int, seed: int | None = None, labels: Sequence[int] | None = None, batch_size: int = 256
) -> tuple[Tensor, Tensor | None]:
    """Return samples of the generator, (num, …) on the CPU, and their labels if it has classes.

    Args:
        gan: its mode is restored afterwards.
        num: number of samples, at least 1.
        seed: seed of the latents and of whatever else the generator draws; None draws from torch's own generator.
        labels: classes to draw, repeated as often as needed; None takes all classes in turn.
        batch_size: samples to generate at a time.
    """
    batches = list(draw_in_batches(gan, num, seed, labels, batch_size))
    classes = [part for _, part in batches if part is not None]
    return torch.cat([part for part, _ in batches]), torch.cat(classes) if classes else None


@torch.no_grad()
def draw_in_batches(
    gan: GAN, num: int, seed: int | None = None, labels: Sequence[int] | None = None, batch_size: int = 256
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield the samples and labels of `draw`, at most `batch_size` at a time, where all would fill the memory.

    Draw no random numbers between two batches: torch's generator is at the seed's until the last one.
    """
    arguments.whole("draw", 1, num=num)
    classes = class_labels(gan, num, labels)
    with seeded(seed), showing(gan):
        z = gan.generator.latents.sample(num)
        for start in range(0, num, batch_size):
            part = slice(start, start + batch_size)
            own = None if classes is None else classes[part]
            yield from_latents(gan, z[part], own).cpu(), own


@torch.no_grad()
def draw_by_route(
    gan: GAN, routes: int, per_route: int = 8, seed: int | None = None, labels: Sequence[int] | None = None
) -> Tensor:
    """Return samples of the same latents along several routes of a stochastic ensemble.

    Their shape is (routes, per_route, …); they are on the CPU.

    Args:
        gan: its generator must have routes; its mode is restored afterwards.
        routes: number of routes, drawn without repetition.
        per_route: samples along each, at least 1.
        seed: seed of latents and routes; None draws from torch's own generator.
        labels: classes to draw, repeated as often as needed; None takes all classes in turn.
    """
    generator = gan.generator
    if not isinstance(generator, StochasticGenerator):
        raise ValueError(f"routes={routes}, but {type(generator).__name__} has none; leave them out.")
    if not 1 <= routes <= generator.num_routes:
        raise ValueError(f"routes={routes}: expected 1 to {generator.num_routes}, the number of routes that there are.")
    arguments.whole("draw_by_route", 1, per_route=per_route)
    classes = class_labels(gan, per_route, labels)
    with seeded(seed), showing(gan):
        z = generator.latents.sample(per_route)
        chosen = random.Random(torch.randint(2**62, ()).item()).sample(range(generator.num_routes), routes)
        rows = [from_latents(gan, z, classes, route) for route in chosen]
    return torch.stack(rows).cpu()


def from_latents(gan: GAN, z: Tensor, labels: Tensor | None = None, route: int | None = None) -> Tensor:
    """Return the samples of given latents, float32 on the GAN's device, computed in the precision of its parameters.

    Args:
        gan: in whatever mode it is.
        z: latents (N, latent_dim) on any device.
        labels: classes (N,) on any device, of a conditional generator, or weights of classes (N, num_classes).
        route: the route of a stochastic ensemble; None lets it draw one for each sample.
    """
    z = z.to(gan.device, gan.dtype)  # type: ignore[arg-type] # Lightning annotates dtype as str | torch.dtype
    labels = None if labels is None else labels.to(gan.device)
    return (gan(z, labels) if route is None else gan.generator(z, labels, route)).float()


@torch.no_grad()
def seed_latents(gan: GAN, seeds: Sequence[int]) -> Tensor:
    """Return one latent for each seed, (N, latent_dim) on the CPU: those of the numbered samples of `sample`.

    Args:
        gan: the GAN whose latents to draw.
        seeds: from 0 to 2⁶³ − 1, at least one.
    """
    if not seeds or not all(0 <= seed < 2**63 for seed in seeds):
        raise ValueError(f"seeds={list(seeds)}: expected at least one whole number from 0 to 2**63 - 1.")
    latents = []
    for seed in seeds:
        with seeded(seed):
            latents.append(gan.generator.latents.sample(1))
    return torch.cat(latents)


@torch.no_grad()
def render(gan: GAN, z: Tensor, seeds: Sequence[int], classes: Tensor | None = None) -> Tensor:
    """Return the samples of given latents, (N, …) on the CPU, made one at a time, so that none depends on the others.

    Whatever else the generator draws, such as a route or a dropout mask, is what it draws for the sample of the seed:
    it stays the same along a path with one seed.

    Args:
        gan: its mode is restored afterwards.
        z: latents (N, latent_dim).
        seeds: one for each sample.
        classes: for a conditional generator, the weights of its classes, (N, num_classes): 1 for one class and 0 for
            the others, or a mixture.
    """
    mixed = classes is not None and not bool(((classes == 0) | (classes == 1)).all() & (classes.sum(1) == 1).all())
    labels = classes if mixed or classes is None else classes.argmax(1)
    samples = []
    with showing(gan):
        for i, seed in enumerate(seeds):
            with seeded(seed):
                gan.generator.latents.sample(1)  # so that the next random numbers are those of the seed's own sample
                try:
                    samples.append(from_latents(gan, z[i : i + 1], None if labels is None else labels[i : i + 1]).cpu())
                except (RuntimeError, TypeError, IndexError) as error:
                    if not mixed:
                        raise
                    name = type(gan.generator).__name__
                    raise ValueError(f"{name} takes no weights of classes; give a single class.") from error
    return torch.cat(samples)


def class_labels(gan: GAN, num: int, labels: Sequence[int] | None = None) -> Tensor | None:
    """Return `num` labels in turn, or None for an unconditional generator.

    Args:
        gan: the GAN whose classes they are.
        num: number of labels.
        labels: classes to repeat; None takes all classes.

    Raises:
        ValueError: for a class that the generator does not have.
    """
    num_classes = gan.generator.num_classes
    if not num_classes:
        if labels is not None:
            raise ValueError(f"labels={list(labels)}, but this generator has no classes; leave the labels out.")
        return None
    chosen = torch.arange(num_classes) if labels is None else torch.tensor(list(labels), dtype=torch.long)
    if len(chosen) == 0 or int(chosen.min()) < 0 or int(chosen.max()) >= num_classes:
        raise ValueError(f"labels={chosen.tolist()}: expected classes from 0 to {num_classes - 1}.")
    return chosen[torch.arange(num) % len(chosen)]


@contextmanager
def showing(gan: GAN) -> Iterator[None]:
    """Put the generator in evaluation mode, with its evaluation weights, inside the block."""
    with evaluating(gan.generator), gan.evaluation_weights():
        yield
