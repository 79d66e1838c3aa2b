"""Packing: a discriminator that judges several samples at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_gans.networks import PackedDiscriminator, ReferencedDiscriminator
from lightning_gans.stabilizer import NetworkStabilizer

if TYPE_CHECKING:
    from lightning_gans.gan import GAN


class Packing(NetworkStabilizer):
    """Let the discriminator judge packs of m samples, all real or all fake, side by side in its channels.

        D(x₁, …, x_m):    (N, C, H, W) → (N/m, m · C, H, W) → N/m logits

    A generator that drops modes makes packs with too little variety, which are easier to tell apart than single
    samples. The layers of the discriminator that read the input are widened m-fold at the start, all else stays, so
    it costs next to nothing; but a batch has m times fewer logits, for which a larger one makes up. Labels of a
    conditional game count as the mean of the pack's embeddings. Let it come before what parametrises weights or
    wraps the discriminator (`SpectralNorm`, `WeightNorm`, `VirtualBatchNorm`). A penalty on gradients takes the norm
    of each sample's part of the pack's. With several processes a pack is of samples of one of them.

    Args:
        samples: m, at least 1, which changes nothing. The batch size must be a multiple of it; 2 to 4 in the paper.

    Raises:
        ValueError: for a number below 1, or a discriminator that cannot be widened; in training, for a batch (or a part
            of it, with accumulation) that is no multiple of m.

    Reference:
        Lin, Khetan, Fanti and Oh, PacGAN: The power of two samples in generative adversarial networks, NeurIPS 2018,
        arXiv 1712.04086.
    """

    def __init__(self, samples: int = 2):
        if not (isinstance(samples, int) and samples >= 1):
            raise ValueError(f"Packing(samples={samples}): expected a whole number of at least 1, such as 2.")
        self.samples = samples

    def change(self, gan: GAN) -> None:
        """Widen the discriminator, and wrap it."""
        if self.samples == 1:
            return
        inner = gan.discriminator
        for module in inner.modules():
            if isinstance(module, PackedDiscriminator | ReferencedDiscriminator):
                raise ValueError(
                    f"{self}: the discriminator is a {type(module).__name__} already; pack once, and before "
                    "VirtualBatchNorm."
                )
        try:
            gan.discriminator = PackedDiscriminator(inner, self.samples)
        except ValueError as error:
            raise ValueError(str(error) if "Packing" in str(error) else f"{self}: {error}.") from error
