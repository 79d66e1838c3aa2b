"""Networks around others: a discriminator of packs, and networks that always see a reference batch beside theirs."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from lightning_gans.networks.base import Discriminator, Generator
from lightning_gans.networks.latents import at_least
from lightning_gans.networks.stochastic import StochasticGenerator
from lightning_gans.networks.weights import weighted_layers


class DiscriminatorWrapper(Discriminator):
    """Discriminator around the features of another, whose head and embedding it takes over.

    The logits come from `Discriminator.forward`, and what sits between features and head sits there still. A
    subclass defines `features`.

    Args:
        inner: the discriminator to wrap; only its features remain in it.

    Raises:
        ValueError: for a discriminator with a `forward` of its own.
    """

    def __init__(self, inner: Discriminator) -> None:
        if not isinstance(inner, Discriminator) or type(inner).forward is not Discriminator.forward:
            raise ValueError(
                f"{type(inner).__name__} is no Discriminator of features and head, or has a forward of its own, which "
                "would be passed by; define `features` and `head` instead"
            )
        nn.Module.__init__(self)  # there is nothing to draw
        self.sample_shape = inner.sample_shape
        self.num_features = inner.num_features
        self.num_classes = inner.num_classes
        self.training = inner.training
        self.inner = inner
        self.head, inner.head = inner.head, nn.Identity()
        self.embedding, inner.embedding = inner.embedding, None


class PackedDiscriminator(DiscriminatorWrapper):
    """Discriminator that judges packs of m samples, which it sees side by side: a pack that lacks variety gives
    itself away.

        (N, C, …) → N/m packs (N/m, m · C, …) → logits (N/m,)

    A pack is of consecutive samples. `sample_shape` stays that of one sample. Each layer that reads the input is
    widened m-fold; the entries of the added weights are those of the old ones, permuted. The label of a pack, in a
    conditional game, is the mean of its labels' embeddings.

    In training N must be a multiple of m. In evaluation the remainder is dropped; fewer than m samples are repeated
    to make one pack.

    Args:
        inner: the discriminator to wrap and widen.
        samples: number m of samples in a pack, at least 2.

    Raises:
        ValueError: if an argument is out of its range, or the layers cannot be widened; in training, for a batch
            that is no multiple of m.

    Reference:
        Lin et al., "PacGAN: The power of two samples in generative adversarial networks", NeurIPS 2018,
        arXiv 1712.04086.
    """

    def __init__(self, inner: Discriminator, samples: int = 2) -> None:
        at_least("samples", samples, 2)
        super().__init__(inner)
        self.samples = samples
        if self.embedding is not None:
            self.embedding = PackedEmbedding(self.embedding, samples)  # type: ignore[assignment]
        channels, *size = inner.sample_shape
        inner.sample_shape = (samples * channels, *size)
        _widen(inner, samples)

    def features(self, x: Tensor) -> Tensor:
        """Map samples (N, *sample_shape) to the features of N/m packs, (N/m, num_features)."""
        packs = _packed(x, self.samples, self.training)
        return self.inner.features(packs.reshape(len(packs), *self.inner.sample_shape))


class PackedEmbedding(nn.Module):
    """The mean embedding of the labels of each pack.

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
        return self.embedding(_packed(labels, self.samples, self.training)).mean(1)


def _packed(x: Tensor, samples: int, training: bool) -> Tensor:
    """Consecutive rows (N, …) in packs, (N/m, m, …)."""
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
    """Widen every layer that sees `factor` times the channels that it was made for, found by showing it zeros."""
    widened: list[nn.Module] = []

    def look(layer: Any, inputs: tuple[Tensor, ...]) -> None:
        linear = isinstance(layer, nn.Linear)
        width, seen = (layer.in_features, inputs[0].shape[-1]) if linear else (layer.in_channels, inputs[0].shape[1])
        if seen != factor * width or layer in widened:
            return
        if is_parametrized(layer, "weight") or getattr(layer, "groups", 1) != 1:
            reason = "in groups" if getattr(layer, "groups", 1) != 1 else "parametrised, as by SpectralNorm"
            raise ValueError(
                f"Packing(samples={factor}): the weights of the first layer, {type(layer).__name__}, are {reason}, and "
                "cannot be widened; let Packing come first."
            )
        weight = layer.weight
        blocks = [weight.flatten()[torch.randperm(weight.numel(), device=weight.device)] for _ in range(factor - 1)]
        dim = 0 if getattr(layer, "transposed", False) else 1
        layer.weight = nn.Parameter(torch.cat([weight, *(block.view_as(weight) for block in blocks)], dim).detach())
        setattr(layer, "in_features" if linear else "in_channels", factor * width)
        widened.append(layer)

    modes = {module: module.training for module in network.modules()}
    parameter = next(network.parameters(), torch.empty(0))
    handles = [layer.register_forward_pre_hook(look) for _, layer in weighted_layers(network)]
    try:
        network.eval()
        with torch.no_grad():
            network.features(torch.zeros(2, *network.sample_shape, device=parameter.device, dtype=parameter.dtype))
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"Packing(samples={factor}): {type(network).__name__} cannot be widened: {reason}") from error
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
    if not widened:
        raise ValueError(f"Packing(samples={factor}): {type(network).__name__} has no linear layer or convolution.")


class ReferencedDiscriminator(DiscriminatorWrapper):
    """Discriminator that sees a fixed reference batch in front of every batch, for its `ReferenceNorm`s.

        features(x) = inner.features([reference, x]) without the rows of the reference

    The reference is the first samples that it is shown in training, unless they carry a graph, as fakes do in the
    generator's step, or its weights are lent (`torch.func.functional_call`). It is kept in a buffer and never changes;
    with several processes it is the first one's. Until there is one, the samples themselves stand in.

    Args:
        inner: the discriminator to wrap, its BatchNorms replaced.
        size: number of samples in the reference, at least 1.

    Raises:
        ValueError: if an argument is out of its range; in training, if the first batch is smaller than `size`.

    Reference:
        Salimans et al., "Improved Techniques for Training GANs", NeurIPS 2016, arXiv 1606.03498.
    """

    reference: Tensor
    filled: Tensor

    def __init__(self, inner: Discriminator, size: int) -> None:
        super().__init__(inner)
        self.size = at_least("size", size, 1)
        like = next(inner.parameters(), torch.empty(0))
        self.register_buffer("reference", like.new_zeros(size, *inner.sample_shape))
        self.register_buffer("filled", torch.tensor(False, device=like.device))
        self._is_filled = False  # the same in Python: to ask a GPU in every step would make it wait
        self.register_load_state_dict_post_hook(_look_whether_filled)

    def features(self, x: Tensor) -> Tensor:
        """Map samples (N, *sample_shape) to features (N, num_features)."""
        if not self._is_filled and self.training and x.grad_fn is None and not self._wears_other_weights():
            self._fill(x)
        reference = self.reference
        if not self._is_filled:
            reference = x[torch.arange(self.size, device=x.device) % len(x)].detach()
        return self.inner.features(torch.cat([reference, x]))[self.size :]

    @torch.no_grad()
    def _fill(self, x: Tensor) -> None:
        if len(x) < self.size:
            raise ValueError(
                f"VirtualBatchNorm(size={self.size}): the first batch has {len(x)} samples (or packs) for a reference "
                f"of {self.size}; lower size, or use larger batches in fewer parts."
            )
        self.reference.copy_(x[: self.size])
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            dist.broadcast(self.reference, src=0)
        self.filled.fill_(True)
        self._is_filled = True

    def _wears_other_weights(self) -> bool:
        return not all(isinstance(parameter, nn.Parameter) for parameter in self.parameters())


def _look_whether_filled(network: ReferencedDiscriminator, _: object) -> None:
    network._is_filled = bool(network.filled)


class ReferencedGenerator(Generator):
    """Generator that makes a fixed reference batch with every batch, for its `ReferenceNorm`s.

        forward(z) = inner([reference z, z]) without the samples of the reference

    The reference latents are drawn once, their labels are all classes in turn; both are buffers.

    Args:
        inner: the generator to wrap, its BatchNorms replaced.
        size: number of samples in the reference, at least 1.

    Raises:
        ValueError: if an argument is out of its range, or for a generator with routes, which are drawn per sample.

    Reference:
        Salimans et al., "Improved Techniques for Training GANs", NeurIPS 2016, arXiv 1606.03498.
    """

    reference: Tensor
    reference_labels: Tensor

    def __init__(self, inner: Generator, size: int) -> None:
        if isinstance(inner, StochasticGenerator):
            raise ValueError(f"{type(inner).__name__} has routes, and a fixed reference cannot; use another norm")
        super().__init__(inner.sample_shape, inner.latents)
        self.num_classes = inner.num_classes  # whose embedding stays where it is used
        self.training = inner.training
        self.inner = inner
        self.size = at_least("size", size, 1)
        like = next(inner.parameters(), torch.empty(0))
        self.register_buffer("reference", inner.latents.sample(size, device=like.device, dtype=like.dtype))
        if inner.num_classes:
            self.register_buffer("reference_labels", torch.arange(size, device=like.device) % inner.num_classes)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map z (N, latent_dim) and labels (N,) to samples (N, *sample_shape)."""
        z = torch.cat([self.reference.to(z.dtype), self.condition(z, labels)])
        if labels is not None:
            labels = torch.cat([self.reference_labels.to(labels.dtype), labels])
        return self.inner(z, labels)[self.size :]
