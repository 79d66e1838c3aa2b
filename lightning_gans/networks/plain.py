"""Plain torch modules as generators and discriminators."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.networks.base import Discriminator, Generator, as_shape, check_labels
from lightning_gans.networks.latents import Latents, as_latents
from lightning_gans.networks.probing import has_patch_logits, shape_of_samples


class PlainGenerator(Generator):
    """Generator around any torch module whose forward takes z, or z and labels, and returns samples.

        samples = module(z)    or    module(z, labels)

    `GAN(generator=module, …)` makes one where it can find the width of z. One forward in evaluation mode, which changes
    neither random numbers nor buffers, finds the samples' shape, and whether the module takes z as (N, latent_dim) or,
    as PyTorch's DCGAN example does, as (N, latent_dim, 1, 1).

    Args:
        module: the network, whose last layer gives the samples themselves, images in [−1, 1].
        latents: distribution of z; an integer is the width of Gaussian latents.
        latent_shape: shape in which the module takes one z, with latent_dim numbers; None finds it.
        sample_shape: shape of one sample; None finds it, a given one is checked.
        num_classes: number of labels, which the module takes as a second argument (N,); 0 is unconditional.

    Raises:
        ValueError: for a module that does not take such latents, or does not return such samples.
    """

    def __init__(
        self,
        module: nn.Module,
        latents: Latents | int = 100,
        latent_shape: Sequence[int] | None = None,
        sample_shape: Sequence[int] | None = None,
        num_classes: int = 0,
    ) -> None:
        arguments.whole(self, 0, num_classes=num_classes)
        latents = as_latents(latents)
        shapes = [(latents.dim,), (latents.dim, 1, 1)] if latent_shape is None else [tuple(latent_shape)]
        if math.prod(shapes[0]) != latents.dim:
            raise ValueError(
                f"PlainGenerator(latent_shape={shapes[0]}): {math.prod(shapes[0])} numbers in one z, and its latents "
                f"have {latents.dim}; use latents={math.prod(shapes[0])}, or another latent_shape."
            )
        found, latent_shape = shape_of_samples(self, module, shapes, num_classes)
        if sample_shape is not None and tuple(sample_shape) != found:
            raise ValueError(
                f"PlainGenerator(sample_shape={tuple(sample_shape)}): {type(module).__name__} makes samples of shape "
                f"{found}; change the one or the other."
            )
        super().__init__(found, latents, num_classes)
        self.latent_shape = latent_shape
        self.module = module
        self.training = module.training

    @override
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_input(z, labels)
        z = z.reshape(len(z), *self.latent_shape)
        return self.module(z) if labels is None else self.module(z, labels)


class PlainDiscriminator(Discriminator):
    """Discriminator around any torch module whose forward takes samples, or samples and labels, and returns logits.

        logits = module(x)    or    module(x, labels)

    `GAN(discriminator=module, …)` makes one for the generator's samples. Logits of one number per sample, as (N,),
    (N, 1) or (N, 1, 1, 1), become (N,); a logit per patch, (N, 1, H, W), keeps its shape. There are no
    features, so that stabilizers which read or change them (`FeatureMatching`, `MinibatchDiscrimination`, `Packing`, …)
    need a `Discriminator` of features and head.

    Args:
        module: the network; it ends in logits, without a sigmoid.
        sample_shape: shape of one sample.
        num_classes: number of labels, which the module takes as a second argument (N,); 0 is unconditional.

    Raises:
        ValueError: for a module that does not take such samples, does not return logits, or ends in a sigmoid.
    """

    features = None  # type: ignore[assignment] # so that what needs features refuses it by name

    def __init__(self, module: nn.Module, sample_shape: Sequence[int], num_classes: int = 0) -> None:
        nn.Module.__init__(self)  # Discriminator.__init__ would draw a head
        arguments.whole(self, 0, num_classes=num_classes)
        self.sample_shape = as_shape(self, sample_shape)
        self.num_classes = num_classes
        self.embedding = None
        self.head = nn.Identity()
        self._patches = has_patch_logits(self, module, self.sample_shape, num_classes)
        self.module = module
        self.training = module.training

    @property
    def num_features(self) -> int:  # type: ignore[override]
        """Raise `ValueError`: there are no features.

        Raises:
            ValueError: whenever it is read.
        """
        raise ValueError(
            f"{type(self.module).__name__} is a plain torch module without features, which this stabilizer needs; "
            "write it as a Discriminator of `features` and `head` (lightning_gans.networks.Discriminator), or leave "
            "the stabilizer out."
        )

    @override
    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        if x.shape[1:] != self.sample_shape:
            raise ValueError(
                f"samples have shape {tuple(x.shape[1:])} each, expected {self.sample_shape}; resize the data, or give "
                f"PlainDiscriminator their shape"
            )
        check_labels(self, self.num_classes, labels, len(x))
        logits = self.module(x) if labels is None else self.module(x, labels)
        return logits if self._patches else logits.reshape(len(x))
