"""Samples of a trained generator: drawn from a seed, in evaluation mode."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lightning_gans.gan import GAN
from lightning_gans.networks import StochasticGenerator


@torch.no_grad()
def draw(
    gan: GAN, num: int, seed: int | None = None, labels: Sequence[int] | None = None, batch_size: int = 256
) -> tuple[Tensor, Tensor | None]:
    """Samples of the generator in evaluation mode, (num, …) on the CPU, and their labels if it has classes.

    Args:
        gan: its mode is left as it was.
        num: how many, at least 1.
        seed: of the latents and whatever else the generator draws; None draws from torch's own generator.
        labels: classes to draw, repeated as often as needed; None takes all classes in turn.
        batch_size: how many at a time.
    """
    if num < 1:
        raise ValueError(f"num={num}: expected at least 1 sample.")
    classes = class_labels(gan, num, labels)
    samples = []
    with seeded(seed), showing(gan):
        z = gan.generator.latents.sample(num)
        for start in range(0, num, batch_size):
            part = slice(start, start + batch_size)
            part_labels = None if classes is None else classes[part].to(gan.device)
            samples.append(gan(z[part].to(gan.device, gan.dtype), part_labels).float().cpu())  # type: ignore[arg-type]
    return torch.cat(samples), classes


@torch.no_grad()
def draw_by_route(
    gan: GAN, routes: int, per_route: int = 8, seed: int | None = None, labels: Sequence[int] | None = None
) -> Tensor:
    """The same latents along several routes of a stochastic ensemble, (routes, per_route, …) on the CPU.

    Args:
        gan: its generator must have routes; its mode is left as it was.
        routes: how many, drawn without repetition.
        per_route: samples along each.
        seed: of latents and routes; None draws from torch's own generator.
        labels: classes to draw, repeated as often as needed; None takes all classes in turn.
    """
    generator = gan.generator
    if not isinstance(generator, StochasticGenerator):
        raise ValueError(f"routes={routes}, but {type(generator).__name__} has none; leave them out.")
    if not 1 <= routes <= generator.num_routes:
        raise ValueError(f"routes={routes}: expected 1 to {generator.num_routes}, which is all that there are.")
    if per_route < 1:
        raise ValueError(f"per_route={per_route}: expected at least 1 sample.")
    classes = class_labels(gan, per_route, labels)
    with seeded(seed), showing(gan):
        z = generator.latents.sample(per_route).to(gan.device, gan.dtype)  # type: ignore[arg-type]
        chosen = random.Random(torch.randint(2**62, ()).item()).sample(range(generator.num_routes), routes)
        rows = [generator(z, None if classes is None else classes.to(gan.device), route) for route in chosen]
    return torch.stack(rows).float().cpu()


@torch.no_grad()
def seed_latents(gan: GAN, seeds: Sequence[int]) -> Tensor:
    """The latents of seeds, (N, latent_dim) on the CPU, each drawn alone: what sheets of numbered samples show.

    Args:
        gan: its generator knows its latents.
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
    """Samples of given latents, (N, …) on the CPU, made one at a time, so that none depends on its company.

    Whatever else the generator draws, such as a route or a dropout, is what it would draw for the sample of the seed:
    along a path of one seed it stays the same.

    Args:
        gan: its mode is left as it was.
        z: latents (N, latent_dim).
        seeds: one a sample.
        classes: for a conditional generator, the weights of its classes, (N, num_classes): 1 for one class and 0 for
            the others, or a mixture, which mixes the embeddings of the classes.
    """
    samples = []
    labels = None if classes is None else classes.argmax(1)
    with showing(gan), _mixed_embeddings(gan, classes) as mixed:
        labels = labels if mixed is None else mixed
        for i, seed in enumerate(seeds):
            with seeded(seed):
                gan.generator.latents.sample(1)  # which the random numbers that follow come after
                label = None if labels is None else labels[i : i + 1].to(gan.device)
                samples.append(gan(z[i : i + 1].to(gan.device, gan.dtype), label).float().cpu())  # type: ignore[arg-type]
    return torch.cat(samples)


@contextmanager
def _mixed_embeddings(gan: GAN, classes: Tensor | None) -> Iterator[Tensor | None]:
    """For a while, an embedding that has mixtures of classes as classes of its own, and their labels."""
    if classes is None or bool(((classes == 0) | (classes == 1)).all() & (classes.sum(1) == 1).all()):
        yield None
        return
    owners = [one for one in gan.generator.modules() if isinstance(getattr(one, "embedding", None), nn.Embedding)]
    if len(owners) != 1:
        raise ValueError(
            f"{type(gan.generator).__name__} has {len(owners)} embeddings of classes: classes can be mixed where there "
            "is one; give a single class."
        )
    (owner,) = owners
    embedding: nn.Embedding = owner.embedding  # type: ignore[assignment]
    weight = embedding.weight
    mixtures = classes.to(weight.device, weight.dtype) @ weight
    owner.embedding = nn.Embedding.from_pretrained(torch.cat([weight, mixtures]))
    try:
        yield torch.arange(len(classes)) + len(weight)
    finally:
        owner.embedding = embedding


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Torch's random numbers from a seed for a while, and as they were afterwards; None leaves them alone."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def class_labels(gan: GAN, num: int, labels: Sequence[int] | None = None) -> Tensor | None:
    """`num` labels in turn, or None for an unconditional generator."""
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
    """The generator that is to be shown, in evaluation mode for a while: dropout off, BatchNorm by its statistics."""
    with evaluating(gan.generator), gan.evaluation_weights():
        yield


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """A network in evaluation mode for a while, every part of it as it was afterwards."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
