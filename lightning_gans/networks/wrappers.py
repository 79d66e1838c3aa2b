"""Networks around other networks, such as those that process a fixed reference batch together with every batch."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.networks.base import Discriminator, Generator
from lightning_gans.networks.routes import StochasticGenerator


class DiscriminatorWrapper(Discriminator):
    """Discriminator around the features of another one; it takes over that one's head and embedding.

    The logits come from `Discriminator.forward`, and layers between features and head stay in place. A subclass
    defines `features`.

    Args:
        inner: the discriminator to wrap; only its features remain in it.

    Raises:
        ValueError: for a discriminator that overrides `forward`.
    """

    def __init__(self, inner: Discriminator) -> None:
        if not isinstance(inner, Discriminator) or type(inner).forward is not Discriminator.forward:
            raise ValueError(
                f"{type(inner).__name__} is not a Discriminator of features and head, or overrides forward, which "
                "would not be called; define `features` and `head` instead."
            )
        nn.Module.__init__(self)  # Discriminator.__init__ would draw a head
        self.sample_shape = inner.sample_shape
        self.num_features = inner.num_features
        self.num_classes = inner.num_classes
        self.training = inner.training
        self.inner = inner
        self.head, inner.head = inner.head, nn.Identity()
        self.embedding, inner.embedding = inner.embedding, None


class ReferencedDiscriminator(DiscriminatorWrapper):
    """Discriminator that processes a fixed reference batch before every batch, for its `VirtualBatchNormLayer`s.

        features(x) = inner.features([reference, x]) without the rows of the reference

    The reference is given to `fill`, or else is the first samples of the first batch in training, but neither of fakes
    with grad, as in the generator's step, nor of a forward with other weights (`torch.func.functional_call`). It is
    kept in a buffer and never changes; several processes use that of the first one. Before it exists, the samples
    themselves replace it. Where samples are changed on their way, such as by noise, `show` says what the reference
    becomes.

    Args:
        inner: the discriminator to wrap, its BatchNorms replaced.
        size: number of samples in the reference, at least 1.

    Raises:
        ValueError: if an argument is out of its range; in training, if the first batch is smaller than `size`.

    Reference:
        Salimans et al., "Improved Techniques for Training GANs", NeurIPS 2016, arXiv 1606.03498.
    """

    reference: Tensor
    shown: Tensor
    filled: Tensor

    def __init__(self, inner: Discriminator, size: int) -> None:
        super().__init__(inner)
        arguments.whole(self, 1, size=size)
        self.size = size
        like = next(inner.parameters(), torch.empty(0))
        self.register_buffer("reference", like.new_zeros(size, *inner.sample_shape))
        self.register_buffer("shown", self.reference.clone(), persistent=False)
        self.register_buffer("filled", torch.tensor(False, device=like.device))
        self.is_filled = False  # the same in Python: reading `filled` in every step would wait for the GPU
        self.register_load_state_dict_post_hook(_read_filled)

    def features(self, x: Tensor) -> Tensor:
        """Map samples (N, *sample_shape) to features (N, num_features)."""
        if not self.is_filled and self.training and x.grad_fn is None and self._has_own_weights():
            self.fill(x)
        reference = self.shown
        if not self.is_filled:
            reference = x[torch.arange(self.size, device=x.device) % len(x)].detach()
        return self.inner.features(torch.cat([reference, x]))[self.size :]

    @torch.no_grad()
    def fill(self, x: Tensor) -> None:
        """Take the reference from the first of these samples (N, *sample_shape), for ever."""
        if len(x) < self.size:
            raise ValueError(
                f"VirtualBatchNorm(size={self.size}): the first batch has {len(x)} samples (or packs) for a reference "
                f"of {self.size}; lower size, or use larger batches in fewer parts."
            )
        self.reference.copy_(x[: self.size])
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            dist.broadcast(self.reference, src=0)
        self.shown.copy_(self.reference)
        self.filled.fill_(True)
        self.is_filled = True

    @torch.no_grad()
    def show(self, x: Tensor) -> None:
        """Process x (size, *sample_shape) in place of the reference, until the next call."""
        self.shown.copy_(x)

    def _has_own_weights(self) -> bool:
        return all(isinstance(parameter, nn.Parameter) for parameter in self.parameters())


def _read_filled(network: ReferencedDiscriminator, _: object) -> None:
    network.is_filled = bool(network.filled)
    network.show(network.reference)


class ReferencedGenerator(Generator):
    """Generator that makes a fixed reference batch with every batch, for its `VirtualBatchNormLayer`s.

        forward(z) = inner([reference z, z]) without the samples of the reference

    The reference latents are drawn once, and their labels are all classes in turn; both are buffers.

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
            raise ValueError(
                f"{type(inner).__name__} has routes, which a fixed reference cannot have; use another norm."
            )
        super().__init__(inner.sample_shape, inner.latents)
        arguments.whole(self, 1, size=size)
        self.num_classes = inner.num_classes
        self.training = inner.training
        self.inner = inner
        self.size = size
        like = next(inner.parameters(), torch.empty(0))
        self.register_buffer("reference", inner.latents.sample(size, device=like.device, dtype=like.dtype))
        if inner.num_classes:
            self.register_buffer("reference_labels", torch.arange(size, device=like.device) % inner.num_classes)

    @override
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_input(z, labels)
        z = torch.cat([self.reference.to(z.dtype), z])
        if labels is not None:
            own = self.reference_labels
            own = self.class_weights(own, labels.dtype) if labels.is_floating_point() else own.to(labels.dtype)
            labels = torch.cat([own, labels])
        return self.inner(z, labels)[self.size :]
