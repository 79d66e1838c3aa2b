"""Virtual batch normalisation: BatchNorm by the statistics of a fixed reference batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from typing_extensions import override

from lightning_gans import arguments, hooks
from lightning_gans.gan import GAN
from lightning_gans.networks import (
    Discriminator,
    NormalizedDiscriminator,
    PackedDiscriminator,
    ReferencedDiscriminator,
    ReferencedGenerator,
    VirtualBatchNormLayer,
)
from lightning_gans.randomness import seeded
from lightning_gans.stabilizer import NetworkStabilizer, Stabilizer


class VirtualBatchNorm(NetworkStabilizer):
    """Normalise each sample by the statistics of a fixed reference batch together with itself, in place of BatchNorm.

        μ_i = (n μ_ref + m_i) / (n + 1),    σ²_i = (n q_ref + q_i) / (n + 1) − μ_i²

    with n reference samples, m and q the means of a channel and of its square, and m_i, q_i those of the one sample.
    Samples of a batch are then independent, as a gradient penalty requires, and evaluation equals training. Weight,
    bias and eps of each BatchNorm are kept; BatchNorms in a discriminator's head are not replaced.

    The discriminator's reference is the first `size` samples of the first real batch (that of the first process, if
    there are several), as the data has them. In every step it passes through the changes that other stabilizers make to
    D's input, such as `InstanceNoise`, as the batch does, but always by the same random numbers: but for their
    schedules it is fixed, for real samples and fakes, in the steps of both players and in all processes. The
    generator's is latents drawn at the start, with all classes in turn. Both are kept in checkpoints. Before the first
    batch, as in Lightning's sanity check, the samples themselves replace it. Each forward processes the reference too:
    with `size` equal to the batch size, twice the time and memory. Give `Packing` before it, the reference is then of
    `size` packs; and `GradientNormalization` after it.

    Args:
        discriminator: whether the discriminator's norms are replaced.
        generator: whether the generator's are.
        size: number n of samples in a reference, at least 1 and at most the batch size (or that of a part of it, with
            accumulation); the statistics of a small one are noisy.

    Raises:
        ValueError: for a size below 1, networks without BatchNorm, or a discriminator that overrides `forward`; in
            training, for a first batch smaller than `size`.

    Reference:
        Salimans et al., Improved Techniques for Training GANs, NeurIPS 2016, arXiv 1606.03498, section 3.5.
    """

    def __init__(self, discriminator: bool = True, generator: bool = True, size: int = 64):
        arguments.whole(self, 1, size=size)
        self.discriminator = discriminator
        self.generator = generator
        self.size = size

    @override
    def change(self, gan: GAN) -> None:
        """Replace the norms, and wrap the networks, which then process the reference."""
        of_discriminator = self._norms(gan.discriminator) if self.discriminator else []
        of_generator = self._norms(gan.generator) if self.generator else []
        if not of_discriminator + of_generator and (self.discriminator or self.generator):
            raise ValueError(
                f"{self}: no BatchNorm in what it is to change; build the networks with norm torch.nn.BatchNorm2d (or "
                "1d), or leave this stabilizer out."
            )
        if of_discriminator and isinstance(gan.discriminator, NormalizedDiscriminator):
            raise ValueError(
                f"{self}: the discriminator is a NormalizedDiscriminator already; let VirtualBatchNorm come before "
                "GradientNormalization."
            )
        try:
            if of_discriminator and isinstance(gan.discriminator, PackedDiscriminator):
                gan.discriminator.inner = ReferencedDiscriminator(gan.discriminator.inner, self.size)
            elif of_discriminator:
                gan.discriminator = ReferencedDiscriminator(gan.discriminator, self.size)
            if of_generator:
                gan.generator = ReferencedGenerator(gan.generator, self.size)
        except ValueError as error:
            raise ValueError(f"{self}: {error}") from error
        for network in (gan.discriminator, gan.generator):
            for norm in of_discriminator + of_generator:
                self.replace(network, norm, VirtualBatchNormLayer(norm, self.size))

    @property
    @override
    def acts_on_discriminator(self) -> bool:
        return self.discriminator

    @override
    def on_real_samples(self, gan: GAN, real: Tensor, labels: Tensor | None) -> Tensor:
        """Take the reference from the first batch, before other stabilizers change it."""
        network, one = self._referenced(gan), gan.discriminator.sample_shape
        if network is not None and not network.is_filled and not gan.looking_ahead and real.shape[1:] == one:
            packed = network.sample_shape[0] // one[0]  # samples of a row of the reference: m with `Packing`
            network.fill(real[: len(real) // packed * packed].reshape(-1, *network.sample_shape))
        return real

    @torch.no_grad()
    @override
    def on_discriminator_input(self, gan: GAN, x: Tensor) -> Tensor:
        """Change the reference as the other stabilizers change this input."""
        network = self._referenced(gan)
        others = [one for one in gan.active_stabilizers if not isinstance(one, VirtualBatchNorm)]
        changing = [one for one in others if type(one).on_discriminator_input is not Stabilizer.on_discriminator_input]
        if network is not None and network.is_filled and changing:
            reference = network.reference.view(-1, *gan.discriminator.sample_shape)
            with seeded(0):  # or D would be another function of real samples than of fakes
                for stabilizer in changing:
                    reference = hooks.discriminator_input(stabilizer, gan, reference)
            network.show(reference.reshape(network.reference.shape))
        return x

    @staticmethod
    def _referenced(gan: GAN) -> ReferencedDiscriminator | None:
        """Return the discriminator with the reference, which other wrappers may surround."""
        found = (one for one in gan.discriminator.modules() if isinstance(one, ReferencedDiscriminator))
        return next(found, None)

    @staticmethod
    def _norms(network: nn.Module) -> list[_BatchNorm]:
        """Return the norms whose input has the reference, which is dropped before a discriminator's head."""
        head = set(network.head.modules()) if isinstance(network, Discriminator) else set()
        return [module for module in network.modules() if isinstance(module, _BatchNorm) and module not in head]
