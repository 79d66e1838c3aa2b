"""Label flipping: some of the discriminator's targets are swapped at random."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.schedules import Schedule, value
from lightning_gans.stabilizer import Stabilizer


class LabelFlipping(Stabilizer):
    """Flip each of the discriminator's targets, real or fake, with a small probability.

        t' = 1 − t with probability p, else t

    It keeps a strong discriminator from being certain: under the cross-entropy the logits of an optimal one lie within
    ±log((1 − p)/p), about ±2.9 with p = 0.05. `LabelSmoothing` bounds them without randomness. It costs nothing. It
    does not give the generator a gradient if real and fake samples do not overlap: the best discriminator is still
    constant around each of them, at another value. `InstanceNoise` makes them overlap.

    Under `Wasserstein` it scales the critic's expected loss by 1 − 2p, which makes no difference. With p = 0.5 the
    discriminator learns nothing, with a larger p the opposite. Give it before `LabelSmoothing`.

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
        arguments.fraction(self, probability=probability)
        self.probability = probability

    @override
    def on_targets(self, gan: GAN, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        probability = value(self.probability, gan.generator_updates)
        if probability == 0:
            return real, fake
        return _flipped(real, probability), _flipped(fake, probability)


def _flipped(targets: Tensor, probability: float) -> Tensor:
    return torch.where(torch.rand_like(targets) < probability, 1 - targets, targets)
