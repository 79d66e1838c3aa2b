"""The data that a generator was trained on, found from its run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_gans import checkpoints
from lightning_gans.batches import samples_and_labels
from lightning_gans.data import Blank, GANData
from lightning_gans.data.base import BatchDataset, Split, collate_of
from lightning_gans.data.order import size_of
from lightning_gans.gan import GAN
from lightning_gans.randomness import seeded


def data_of(checkpoint: str, trust: bool = False) -> GANData:
    """Return the data of the run that made a checkpoint, from the config in the run's folder.

    Args:
        checkpoint: a file in its run's folder.
        trust: import and build whatever classes the config names.

    Raises:
        ValueError: where there is no config, or one that names no data of this library.
    """
    import yaml
    from jsonargparse import ArgumentParser

    places = [folder / "config.yaml" for folder in Path(checkpoint).absolute().parents[:2]]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise ValueError(
            f"there is no config.yaml in the run's folder of '{checkpoint}'; name the data, --data=Digits."
        )
    try:
        config: Any = yaml.safe_load(path.read_text())["data"]
        name = config if isinstance(config, str) else str(config["class_path"])
        if not trust:
            if not _is_known(name):
                raise ValueError(f"{name} is not a data module of this library, and a file may not import other code")
            checkpoints.check_arguments({} if isinstance(config, str) else config.get("init_args", {}))
            checkpoints.check_arguments({} if isinstance(config, str) else config.get("dict_kwargs", {}))
        parser = ArgumentParser(exit_on_error=False)
        parser.add_subclass_arguments(GANData, "data")
        return parser.instantiate_classes(parser.parse_object({"data": config})).data
    except Exception as error:  # a malformed file may raise anything
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"'{path}' does not say which data the run had ({reason}); name it, such as --data=Digits."
        ) from None


def _is_known(class_path: str) -> bool:
    kind = checkpoints.find(class_path)
    if isinstance(kind, type) and issubclass(kind, GANData):
        return True
    known: list[type] = [GANData]
    for one in known:  # grows during the loop: subclasses of subclasses too
        known += one.__subclasses__()
    return any(class_path == one.__name__ for one in known)


def check_data(data: GANData, gan: GAN) -> None:
    """Raise a ValueError for data that the generator cannot have been trained on."""
    if isinstance(data, Blank):
        raise ValueError("the run has no training samples (its data is Blank); name some, such as --data=Digits.")
    ours, theirs = tuple(gan.generator.sample_shape), tuple(data.sample_shape)
    if ours != theirs:
        raise ValueError(
            f"{type(data).__name__} has samples of shape {theirs}, but the generator makes {ours}; give the data that "
            "it was trained on, in the same size (--data.size)."
        )


def held_out_samples(data: GANData, number: int) -> Tensor:
    """Return at most `number` samples of the validation split, or of the test split where that is empty."""
    splits: tuple[Split, ...] = ("val", "test")
    for split in splits:
        held_out = data.load(split)
        size = size_of(held_out)
        if size:
            chosen = torch.randperm(size, generator=torch.Generator().manual_seed(0))[:number].tolist()
            return take(held_out, chosen)
    raise ValueError(f"{type(data).__name__} has neither validation nor test samples; use data with held-out samples.")


def in_blocks(dataset: Any, size: int, num_workers: int) -> Iterator[Tensor]:
    """Yield the samples of a split in order, `size` at a time; fresh random samples are drawn from seed 0."""
    with seeded(0):
        for batch in DataLoader(dataset, batch_size=size, num_workers=num_workers, collate_fn=collate_of(dataset)):
            yield _samples(batch)


def _samples(batch: Any) -> Tensor:
    return samples_and_labels(batch)[0].float()


def take(dataset: Any, indices: list[int]) -> Tensor:
    """Return the samples of a split with these indices."""
    if isinstance(dataset, BatchDataset):
        return _samples(dataset.__getitems__(indices))
    return torch.stack([_samples(dataset[index]) for index in indices])


def some_training_samples(data: GANData) -> Tensor:
    """Return up to 2,500 training samples, for the background of a map."""
    training = data.load("train")
    with seeded(0):
        return take(training, list(range(min(2500, size_of(training)))))
