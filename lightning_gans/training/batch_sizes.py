"""How many samples the steps of a run will see, and whether they are enough: whole packs, two values for BatchNorm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from lightning_gans.networks import evaluating, samples_in_pack
from lightning_gans.randomness import seeded

_REMEDY = (
    "leave such a batch out (DataLoader(..., drop_last=True)), or use another batch_size, fewer parts in accumulation, "
    "or another norm"
)


def batch_sizes_fit(trainer: Trainer, gan: Any, first: int) -> None:
    """Refuse batches in which BatchNorm has one value of a channel, or which do not divide into packs.

    Args:
        trainer: whose loader says how large the last batch of an epoch is.
        gan: the model, whose networks are to be trained.
        first: size of the first batch.

    Raises:
        ValueError: with the size, and the remedy.
    """
    sizes = {first: f"a batch of {first}"} | _last_batch(trainer)
    for size, name in sizes.items():
        for player in ("discriminator", "generator"):
            _check(gan, player, size, name)


def _last_batch(trainer: Trainer) -> dict[int, str]:
    """Return how many samples an epoch has left for its last batch, with its name; nothing where it is not known."""
    loader = trainer.train_dataloader
    if not isinstance(loader, DataLoader) or not loader.batch_size or loader.drop_last:
        return {}
    try:
        samples, batches = len(loader.sampler), len(loader)  # type: ignore[arg-type] # which some samplers have not
    except TypeError:
        return {}
    last = samples % loader.batch_size
    if not last or trainer.num_training_batches < batches:
        return {}
    return {last: f"the last batch of {last} ({samples} samples in batches of {loader.batch_size})"}


def _check(gan: Any, player: str, size: int, name: str) -> None:
    number = min(getattr(gan, f"{player}_accumulation"), size)
    pack = samples_in_pack(gan.discriminator)
    for samples in {size // number, -(-size // number)}:
        if samples % pack:
            what = name if number == 1 else f"a batch of {samples}"
            raise ValueError(
                f"Packing(samples={pack}): {what} does not divide into packs of {pack}; use a batch_size that is a "
                f"multiple of {pack}, also in every part of an accumulated batch, and drop_last=True in the DataLoader."
            )
        for network, least in ((gan.discriminator, pack), (gan.generator, 1)):
            if samples == least and _has_single_values(gan, network, least):
                what = name if number == 1 else f"a part of {samples} of {name}"
                raise ValueError(
                    f"in {what} a BatchNorm of {type(network).__name__} has one value of each channel, and needs two; "
                    f"{_REMEDY}."
                )


def _has_single_values(gan: Any, network: nn.Module, samples: int) -> bool:
    """Return whether a BatchNorm sees one value of each channel in so many samples, by a forward in evaluation mode."""
    norms = [one for one in network.modules() if isinstance(one, _BatchNorm)]
    found: list[bool] = []

    def look(norm: nn.Module, given: tuple[Tensor, ...]) -> None:
        found.append(given[0].numel() == given[0].shape[1])

    handles = [norm.register_forward_pre_hook(look) for norm in norms]
    try:
        classes = gan.generator.num_classes and network.num_classes
        labels = (torch.zeros(samples, dtype=torch.int64, device=gan.device),) if classes else ()
        # the step itself says what else is wrong
        with evaluating(network), torch.no_grad(), seeded(0), suppress(Exception):
            shape = gan.generator.sample_shape
            inputs = torch.zeros(samples, *shape, device=gan.device, dtype=gan.dtype)
            network(gan.sample_latents(samples) if network is gan.generator else inputs, *labels) if norms else None
    finally:
        for handle in handles:
            handle.remove()
    return any(found)


@contextmanager
def explained() -> Iterator[None]:
    """Say what to do where BatchNorm refuses a batch of one sample, of a loader that did not tell its sizes."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            f"in a batch of 1, or a part of 1, a BatchNorm has one value of each channel, and needs two; {_REMEDY}."
        ) from error
