"""Label flipping: a discriminator that is now and then told the opposite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_gans.schedules import Schedule, bounds, value
from lightning_gans.stabilizer import Stabilizer

if TYPE_CHECKING:
    from lightning_gans.gan import GAN


class LabelFlipping(Stabilizer):
    """Turn each of the discriminator's targets, real or fake, into its opposite with a small probability.

        t' = 1 − t with the probability p, else t

    It keeps a strong discriminator from certainty: under the cross-entropy the logits of an optimal one lie within
    ±log((1 − p)/p), about ±2.9 with p = 0.05. `LabelSmoothing` bounds them without the noise. It costs nothing. What
    it does not do is give the generator a gradient where real and fake samples do not overlap: the best discriminator
    is still constant around each of them, only at another value. `InstanceNoise` makes them overlap.

    Under `Wasserstein` it scales the critic's expected loss by 1 − 2p, which does no harm and no good. With
    p = 0.5 the discriminator learns nothing, with more it learns the reverse. Give it before `LabelSmoothing`.

    Args:
        probability: p of each target, in [0, 1], or a schedule in that range.

    Raises:
        ValueError: for a probability out of range.

    Reference:
        Chintala et al., How to Train a GAN? Tips and tricks to make GANs work, 2016, github.com/soumith/ganhacks; why
        label noise leaves the gradient as it is: Sønderby et al., Amortised MAP Inference for Image Super-resolution,
        ICLR 2017, arXiv 1610.04490.
    """

    def __init__(self, probability: float | Schedule = 0.05):
        low, high = bounds(probability)
        if not 0 <= low <= high <= 1:
            raise ValueError(
                f"LabelFlipping(probability={probability}): expected a number in [0, 1], such as 0.05, or a schedule "
                "in that range."
            )
        self.probability = probability

    def on_targets(self, gan: GAN, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Turn some of both."""
        probability = value(self.probability, gan.generator_updates)
        if probability == 0:
            return real, fake
        return _flipped(real, probability), _flipped(fake, probability)


def _flipped(targets: Tensor, probability: float) -> Tensor:
    return torch.where(torch.rand_like(targets) < probability, 1 - targets, targets)
