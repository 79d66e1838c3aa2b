"""Packing: the discriminator gives one logit to several samples at once."""

from __future__ import annotations

from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.networks import NormalizedDiscriminator, PackedDiscriminator, ReferencedDiscriminator
from lightning_gans.stabilizer import NetworkStabilizer


class Packing(NetworkStabilizer):
    """Give the discriminator packs of m samples, all real or all fake, side by side in its channels.

        D(x₁, …, x_m):    (N, C, H, W) → (N/m, m · C, H, W) → N/m logits

    A generator that drops modes makes packs with too little variety, which are easier to tell from real ones than
    single samples. The discriminator's layers that read the input are widened m-fold at the start and the others stay,
    so it costs almost nothing; but a batch has m times fewer logits, which a larger batch compensates. In a conditional
    discriminator each place in a pack has its own part of the features for its label. Give it before stabilizers that
    parametrise weights or wrap the discriminator (`SpectralNorm`, `WeightNorm`, `VirtualBatchNorm`,
    `GradientNormalization`). A gradient penalty takes the norm of the gradient with respect to the whole pack, D's
    input. A pack has samples of one process.

    Args:
        samples: m, at least 1; 1 changes nothing. The batch size must be a multiple of it; 2 to 4 in the paper.

    Raises:
        ValueError: for a number below 1, or a discriminator that cannot be widened; in training, for a batch (or a part
            of it, with accumulation) that is not a multiple of m.

    Reference:
        Lin, Khetan, Fanti and Oh, PacGAN: The power of two samples in generative adversarial networks, NeurIPS 2018,
        arXiv 1712.04086.
    """

    def __init__(self, samples: int = 2):
        arguments.whole(self, 1, samples=samples)
        self.samples = samples

    @override
    def change(self, gan: GAN) -> None:
        if self.samples == 1:
            return
        inner = gan.discriminator
        for module in inner.modules():
            if isinstance(module, NormalizedDiscriminator | PackedDiscriminator | ReferencedDiscriminator):
                raise ValueError(
                    f"{self}: the discriminator is a {type(module).__name__} already; pack once, and before "
                    "VirtualBatchNorm and GradientNormalization."
                )
        try:
            gan.discriminator = PackedDiscriminator(inner, self.samples)
        except ValueError as error:
            raise ValueError(str(error) if "Packing" in str(error) else f"{self}: {error}") from error
