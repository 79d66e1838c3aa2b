"""Augmentations that other stabilizers apply, each to every sample of D's input by itself, and the base of these."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor
from typing_extensions import override

from lightning_gans.gan import GAN
from lightning_gans.hooks import discriminator_input
from lightning_gans.stabilizer import NetworkStabilizer, Stabilizer
from lightning_gans.stabilizers.differentiable_augmentation import DifferentiableAugmentation
from lightning_gans.stabilizers.random_affine import RandomAffine
from lightning_gans.stabilizers.random_color import RandomColor


class Augmenting(Stabilizer, ABC):
    """A stabilizer that applies a list of augmentations; a subclass defines `by_default`.

    Args:
        augmentations: stabilizers that change D's input, in this order; None is those of `by_default`.

    Raises:
        ValueError: for what is no augmentation, or samples that an augmentation does not take.
    """

    def __init__(self, augmentations: list[Stabilizer] | None):
        check(self, augmentations or ())
        self.augmentations = augmentations

    @abstractmethod
    def by_default(self, shape: tuple[int, ...]) -> list[Stabilizer]:
        """Return the augmentations of images (C, H, W) where none are given."""

    def chosen(self, gan: GAN) -> list[Stabilizer]:
        """Return the augmentations that are applied."""
        return self.by_default(gan.generator.sample_shape) if self.augmentations is None else self.augmentations

    @override
    def apply_to(self, gan: GAN) -> None:
        """Refuse samples that an augmentation does not take."""
        if self.augmentations is None:
            require_images(self, gan.generator.sample_shape)
        for one in self.chosen(gan):
            one.apply_to(gan)

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Warn of a schedule that ends after the run."""
        super().on_train_start(trainer, pl_module)
        for one in self.chosen(pl_module):
            one.on_train_start(trainer, pl_module)


def check(owner: Stabilizer, augmentations: Sequence[Stabilizer]) -> None:
    """Raise `ValueError` for what is no augmentation: a stabilizer whose only hook is `on_discriminator_input`."""
    hooks = [name for name in vars(Stabilizer) if name.startswith("on_") and not hasattr(Callback, name)]
    for one in augmentations:
        used = [name for name in hooks if getattr(type(one), name, None) is not getattr(Stabilizer, name)]
        if isinstance(one, NetworkStabilizer) or not isinstance(one, Stabilizer) or used != ["on_discriminator_input"]:
            name = one.__name__ if isinstance(one, type) else type(one).__name__
            raise ValueError(
                f"{type(owner).__name__}(augmentations=…): {name} is no augmentation; give a list of objects such as "
                "RandomAffine(), RandomColor(), DifferentiableAugmentation() or InstanceNoise()."
            )


def require_images(owner: Stabilizer, shape: tuple[int, ...]) -> None:
    """Raise `ValueError` for samples that are not images, for which there is no list by default."""
    if len(shape) != 3:
        raise ValueError(
            f"{type(owner).__name__} augments images (C, H, W) by default, but the samples are {shape}; give "
            "augmentations that take them, such as [InstanceNoise(0.1)]."
        )


def augmented(augmentations: Sequence[Stabilizer], gan: GAN, x: Tensor, probability: float = 1.0) -> Tensor:
    """Return samples after all augmentations, each of which is applied to each sample with a probability.

    Args:
        augmentations: they are applied in this order.
        gan: whose input of the discriminator it is.
        x: samples (N, …).
        probability: in [0, 1]; drawn for each sample and augmentation, where it is neither 0 nor 1.
    """
    for one in augmentations if probability > 0 else ():
        changed = discriminator_input(one, gan, x)
        if probability < 1 and changed is not x:
            chosen = torch.rand(len(x), *[1] * (x.dim() - 1), device=x.device) < probability
            changed = torch.where(chosen, changed, x)
        x = changed
    return x


@cache
def flip_and_shift(shape: tuple[int, ...]) -> list[Stabilizer]:
    """Return those of consistency regularisation: mirror images, and shifts by whole pixels up to ⅛ of each side."""
    shift = [DifferentiableAugmentation(color=0.0, translation=0.125, cutout=0.0)] if max(shape[1:]) >= 8 else []
    return [RandomAffine(rotation=0.0, zoom=0.0, shift=0.0, flip=0.5), *shift]


@cache
def moves_and_colors(shape: tuple[int, ...]) -> list[Stabilizer]:
    """Return those of adaptive augmentation, for images (C, H, W): moves of pixels, affine ones, and colours."""
    chosen: list[Stabilizer] = [RandomAffine(rotation=0.0, zoom=0.0, shift=0.0, flip=0.5)]
    if shape[1] == shape[2]:
        chosen.append(RandomAffine(rotation=0.0, zoom=0.0, shift=0.0, quarter_turns=0.75))
    chosen.append(RandomAffine(rotation=0.0, zoom=0.2, shift=0.125))
    chosen.append(RandomAffine(rotation=180.0, zoom=0.0, shift=0.0, stretch=0.2))
    strengths = {1: _OF_GREY, 3: _OF_GREY | {"hue": 180.0, "saturation": 1.0}}.get(shape[0], {})
    none = dict.fromkeys(("brightness", "contrast", "luma_flip", "hue", "saturation"), 0.0)
    return [*chosen, *(RandomColor(**{**none, name: strength}) for name, strength in strengths.items())]


_OF_GREY = {"brightness": 0.2, "contrast": 0.5, "luma_flip": 0.5}
