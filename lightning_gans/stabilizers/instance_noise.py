"""Instance noise: real and fake samples that overlap, so that telling them apart leads somewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_gans.schedules import Linear, Schedule, bounds, value
from lightning_gans.stabilizer import Stabilizer

if TYPE_CHECKING:
    from lightning_gans.gan import GAN


class InstanceNoise(Stabilizer):
    """Add Gaussian noise to whatever the discriminator is shown, real and fake alike, less and less of it.

        x' = x + σ(t) ε,    ε ~ N(0, I), drawn anew for every sample

    Samples of both kinds lie on thin sets which hardly meet; a discriminator then tells them apart perfectly, and
    nothing pulls the generator's over. Noise gives both distributions a density everywhere, so that their
    divergence is finite and its gradient points from one to the other. Noise on the fakes alone would have the
    generator match noisy data. It acts in the steps of both players; a step costs one more draw of numbers.

    While σ is above 0 the game's solution has noisy samples equal, which determines the clean ones; the smaller σ,
    the sharper the discriminator sees. Anneal it to 0 over much of the run, not only over its start.

    Args:
        sigma: σ, at least 0, in units of the samples, which span [−1, 1] for images; or a schedule.

    Raises:
        ValueError: for a negative σ.

    Reference:
        Sønderby et al., Amortised MAP Inference for Image Super-resolution, ICLR 2017, arXiv 1610.04490; Arjovsky and
        Bottou, Towards Principled Methods for Training Generative Adversarial Networks, ICLR 2017, arXiv 1701.04862.
    """

    def __init__(self, sigma: float | Schedule = Linear(0.1, 0.0, 10_000)):  # noqa: B008 - it is frozen
        if not 0 <= bounds(sigma)[0] < float("inf"):
            raise ValueError(f"InstanceNoise(sigma={sigma}): expected a number of at least 0, or a schedule of such.")
        self.sigma = sigma

    def on_discriminator_input(self, gan: GAN, x: Tensor) -> Tensor:
        """Add the noise."""
        sigma = value(self.sigma, gan.generator_updates)
        return x if sigma == 0 else x + sigma * torch.randn_like(x)
