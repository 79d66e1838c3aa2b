"""A discriminator of packs: several samples side by side get one logit."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from lightning_gans import arguments
from lightning_gans.networks.base import Discriminator
from lightning_gans.networks.modes import evaluating
from lightning_gans.networks.weights import weighted_layers
from lightning_gans.networks.wrappers import DiscriminatorWrapper


class PackedDiscriminator(DiscriminatorWrapper):
    """Discriminator that gives one logit to a pack of m samples side by side, in which a lack of variety shows.

        (N, C, …) → N/m packs (N/m, m · C, …) → logits (N/m,)

    A pack consists of consecutive samples. `sample_shape` stays that of one sample. Each layer that reads the input is
    widened m-fold; the entries of the added weights are those of the old ones, permuted. In a conditional GAN each
    place in a pack has its own part of the features, on which its label is projected, see `PackedEmbedding`.

    In training N must be a multiple of m. In evaluation the remainder is dropped, and fewer than m samples are
    repeated to make one pack.

    Args:
        inner: the discriminator to wrap and widen.
        samples: number m of samples in a pack, at least 2; with labels at most the number of features.

    Raises:
        ValueError: if an argument is out of its range, or the layers cannot be widened; in training, for a batch
            that is not a multiple of m.

    Reference:
        Lin et al., "PacGAN: The power of two samples in generative adversarial networks", NeurIPS 2018,
        arXiv 1712.04086.
    """

    def __init__(self, inner: Discriminator, samples: int = 2) -> None:
        arguments.whole(self, 2, samples=samples)
        super().__init__(inner)
        self.samples = samples
        if self.embedding is not None:
            if samples > self.num_features:
                raise ValueError(
                    f"Packing(samples={samples}): {type(inner).__name__} has {self.num_features} features, too few for "
                    f"as many labels; use fewer samples, or more features."
                )
            self.embedding = PackedEmbedding(self.embedding, samples)  # type: ignore[assignment]
        channels, *size = inner.sample_shape
        inner.sample_shape = (samples * channels, *size)
        _widen(inner, samples)

    def features(self, x: Tensor) -> Tensor:
        """Map samples (N, *sample_shape) to the features (N/m, num_features) of N/m packs."""
        packs = _packed(x, self.samples, self.training)
        return self.inner.features(packs.reshape(len(packs), *self.inner.sample_shape))


class PackedEmbedding(nn.Module):
    """One embedding for the labels of each pack, of which each label fills the part of its place.

        e(y₁, …, y_m) = [e(y₁)₁, …, e(y_m)_m],    e(y)_j = the j-th of m parts of e(y)

    Labels so stay with their samples: exchanged in a pack, they have another embedding. It has the parameters, and the
    scale, of the embedding of a single label.

    Args:
        embedding: maps labels (N,) to (N, width).
        samples: labels in a pack.
    """

    def __init__(self, embedding: nn.Module, samples: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.samples = samples

    def forward(self, labels: Tensor) -> Tensor:
        """Map labels (N,) to (N/m, width)."""
        packs = self.embedding(_packed(labels, self.samples, self.training))
        places = enumerate(packs.tensor_split(self.samples, dim=2))
        return torch.cat([part[:, place] for place, part in places], dim=1)


def samples_in_pack(discriminator: nn.Module) -> int:
    """Return how many samples get one logit: m with packs of m, else 1."""
    return math.prod(one.samples for one in discriminator.modules() if isinstance(one, PackedDiscriminator))


def _packed(x: Tensor, samples: int, training: bool) -> Tensor:
    """Return consecutive rows (N, …) in packs (N/m, m, …)."""
    rest = len(x) % samples
    if rest and training:
        raise ValueError(
            f"Packing(samples={samples}): a batch of {len(x)} does not divide into packs of {samples}; use a "
            f"batch_size that is a multiple of {samples}, also in every part of an accumulated batch."
        )
    if len(x) < samples:
        x, rest = x[torch.arange(samples, device=x.device) % len(x)], 0
    return x[: len(x) - rest].unflatten(0, (-1, samples))


def _widen(network: Discriminator, factor: int) -> None:
    """Widen every layer whose input has `factor` times the channels it was made for, found by a forward of zeros."""
    widened: list[nn.Module] = []

    def widen(layer: Any, inputs: tuple[Tensor, ...]) -> None:
        linear = isinstance(layer, nn.Linear)
        width, seen = (layer.in_features, inputs[0].shape[-1]) if linear else (layer.in_channels, inputs[0].shape[1])
        if seen != factor * width or layer in widened:
            return
        found = f"Packing(samples={factor}): the weights of the first layer, {type(layer).__name__}, are"
        if getattr(layer, "groups", 1) != 1:
            raise ValueError(f"{found} in groups, and cannot be widened; build it with groups=1.")
        if is_parametrized(layer, "weight"):
            raise ValueError(
                f"{found} parametrised, as by SpectralNorm, and cannot be widened; let Packing come first."
            )
        weight = layer.weight
        blocks = [weight.flatten()[torch.randperm(weight.numel(), device=weight.device)] for _ in range(factor - 1)]
        dim = 0 if getattr(layer, "transposed", False) else 1
        layer.weight = nn.Parameter(torch.cat([weight, *(block.view_as(weight) for block in blocks)], dim).detach())
        setattr(layer, "in_features" if linear else "in_channels", factor * width)
        widened.append(layer)

    parameter = next(network.parameters(), torch.empty(0))
    handles = [layer.register_forward_pre_hook(widen) for _, layer in weighted_layers(network)]
    try:
        with evaluating(network), torch.no_grad():
            network.features(torch.zeros(2, *network.sample_shape, device=parameter.device, dtype=parameter.dtype))
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"Packing(samples={factor}): {type(network).__name__} cannot be widened: {reason}") from error
    finally:
        for handle in handles:
            handle.remove()
    if not widened:
        raise ValueError(f"Packing(samples={factor}): {type(network).__name__} has no linear layer or convolution.")
