"""What every generator and discriminator has: shapes, latents, labels, features and head."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans import arguments
from lightning_gans.networks.latents import Latents, as_latents
from lightning_gans.overriding import check_names


class Generator(nn.Module, ABC):
    """Network that maps latents z, and labels if it is conditional, to samples.

    A subclass defines `forward` on top of `condition`, which checks the input and joins the label to z:

        condition(z, label) = [z, onehot(label)]

    The first layer so learns one bias for each class. A label that enters as strongly as z, such as a learned embedding
    of its width and scale, makes z superfluous: the generator soon makes one sample a class.

        class Linear(Generator):
            def __init__(self, sample_shape: Sequence[int], num_classes: int = 0):
                super().__init__(sample_shape, latents=16, num_classes=num_classes)
                self.linear = nn.Linear(self.input_dim, sample_shape[0])

            def forward(self, z, labels=None):
                return self.linear(self.condition(z, labels))

    Args:
        sample_shape: shape of one sample, (C, H, W) for images, (D,) for points.
        latents: distribution of z; an integer is the width of Gaussian latents.
        num_classes: number of labels; 0 is an unconditional generator.

    Raises:
        ValueError: if an argument is out of its range; in use, if z or the labels do not fit.

    Reference:
        Mirza, Osindero, "Conditional Generative Adversarial Nets", 2014, arXiv 1411.1784.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a misspelled part, where the class is defined."""
        super().__init_subclass__(**kwargs)
        check_names(cls, Generator, ("forward", "condition", "input_dim", "latent_dim"))

    def __init__(self, sample_shape: Sequence[int], latents: Latents | int = 100, num_classes: int = 0) -> None:
        super().__init__()
        arguments.whole(self, 0, num_classes=num_classes)
        self.sample_shape = as_shape(self, sample_shape)
        self.latents = as_latents(latents)
        self.num_classes = num_classes

    @property
    def latent_dim(self) -> int:
        """Width of z."""
        return self.latents.dim

    @property
    def input_dim(self) -> int:
        """Width of what `condition` returns, which is the width of the first layer's input."""
        return self.latent_dim + self.num_classes

    def condition(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Check z (N, latent_dim) and labels, and join them to (N, input_dim).

        Labels are classes (N,), or the weights of the classes (N, num_classes) in a mixture of them.
        """
        self.check_input(z, labels)
        return z if labels is None else torch.cat([z, self.class_weights(labels, z.dtype)], dim=1)

    def check_input(self, z: Tensor, labels: Tensor | None = None) -> None:
        """Refuse z and labels that do not fit, with a ValueError."""
        if z.dim() != 2 or z.shape[1] != self.latent_dim:
            raise ValueError(
                f"z has shape {tuple(z.shape)}, expected (N, {self.latent_dim}); "
                "draw it with generator.latents.sample(n)"
            )
        mixture = labels is not None and labels.is_floating_point() and labels.shape == (len(z), self.num_classes)
        if not mixture:
            check_labels(self, self.num_classes, labels, len(z))

    def class_weights(self, labels: Tensor, dtype: torch.dtype) -> Tensor:
        """Return labels (N,) as one-hot vectors (N, num_classes), and weights of classes as they are."""
        return (labels if labels.is_floating_point() else F.one_hot(labels.long(), self.num_classes)).to(dtype)

    @abstractmethod
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map z (N, latent_dim) and labels (N,) to samples (N, *sample_shape)."""


class Discriminator(nn.Module):
    """Network that maps samples, and labels if it is conditional, to logits: features, then head.

        logit = head(features(x)) + ⟨embedding(label), features(x)⟩

    The second term, the projection of the label, exists with `num_classes` above 0 only. Features may be maps, and
    logits those of patches, as in PatchGAN; the label is then projected on the features' mean over positions. A
    subclass defines `features`, as a method or as a submodule, and may replace `head`:

        class Linear(Discriminator):
            def __init__(self, sample_shape: Sequence[int], num_classes: int = 0):
                super().__init__(sample_shape, num_features=64, num_classes=num_classes)
                self.features = nn.Sequential(nn.Linear(sample_shape[0], 64), nn.ReLU())

    Attributes:
        features: maps samples (N, *sample_shape) to features (N, num_features), or maps (N, num_features, H, W).
        head: module that maps features to logits (N,), or of patches (N, 1, H, W).

    Args:
        sample_shape: shape of one sample, (C, H, W) for images, (D,) for points.
        num_features: width of the features, or channels of their maps.
        num_classes: number of labels; 0 is an unconditional discriminator.

    Raises:
        ValueError: if an argument is out of its range; in use, if the samples or the labels do not fit.

    Reference:
        Miyato, Koyama, "cGANs with Projection Discriminator", ICLR 2018, arXiv 1802.05637; patches: Isola et al.,
        "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017, arXiv 1611.07004.
    """

    features: Callable[[Tensor], Tensor]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a misspelled part, where the class is defined."""
        super().__init_subclass__(**kwargs)
        check_names(cls, Discriminator, ("features", "head", "forward"))

    def __init__(self, sample_shape: Sequence[int], num_features: int, num_classes: int = 0) -> None:
        super().__init__()
        arguments.whole(self, 1, num_features=num_features)
        arguments.whole(self, 0, num_classes=num_classes)
        self.sample_shape = as_shape(self, sample_shape)
        self.num_features = num_features
        self.num_classes = num_classes
        self.head: nn.Module = nn.Sequential(nn.Linear(num_features, 1), nn.Flatten(0))
        self.embedding = nn.Embedding(num_classes, num_features) if num_classes else None
        if self.embedding is not None:  # at the scale of the head, or the label would outweigh the sample
            nn.init.normal_(self.embedding.weight, std=num_features**-0.5)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map samples (N, *sample_shape) and labels (N,) to logits (N,), or (N, 1, H, W) of patches."""
        if x.shape[1:] != self.sample_shape:
            raise ValueError(
                f"samples have shape {tuple(x.shape[1:])} each, expected {self.sample_shape}; "
                f"resize the data, or build the {type(self).__name__} for their shape"
            )
        check_labels(self, self.num_classes, labels, len(x))
        features = self.features(x)
        logits = self.head(features)
        if self.embedding is None:
            return logits
        pooled = features if features.dim() == 2 else features.flatten(2).mean(2)
        projected = (self.embedding(labels) * pooled).sum(1)
        return logits + projected.view(-1, *[1] * (logits.dim() - 1))


def as_shape(owner: object, shape: Sequence[int], name: str = "sample_shape") -> tuple[int, ...]:
    """Return the shape of a sample as a tuple of integers.

    Args:
        owner: the object whose argument it is, named in the message.
        shape: one size per dimension, each at least 1.
        name: name of the argument.

    Raises:
        ValueError: for a number, an empty shape, or a size out of range.
    """
    if isinstance(shape, int) or len(shape) == 0:
        raise ValueError(f"{type(owner).__name__}({name}={shape!r}): expected (D,) for points or (C, H, W) for images.")
    arguments.whole(owner, 1, **{f"{name}[{i}]": size for i, size in enumerate(shape)})
    return tuple(shape)


def check_labels(network: nn.Module, num_classes: int, labels: Tensor | None, n: int) -> None:
    """Check presence, type and shape of labels; not their values, for which the CPU would wait for the device."""
    name = type(network).__name__
    if labels is None:
        if num_classes:
            raise ValueError(f"{name} got no labels, expected shape ({n},); pass them, or build it with num_classes=0")
    elif not num_classes:
        raise ValueError(
            f"{name} got labels, expected none; build it with num_classes above 0, or leave the labels out"
        )
    elif labels.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"labels have dtype {labels.dtype}, expected torch.int64; convert with labels.long()")
    elif labels.shape != (n,):
        raise ValueError(f"labels have shape {tuple(labels.shape)}, expected ({n},); pass one class index per sample")


def cancels_bias(norm: nn.Module | None) -> bool:
    """Return whether `norm` subtracts the mean of every channel, so that a bias before it has no effect."""
    return isinstance(norm, nn.modules.batchnorm._NormBase)
