"""Instance noise: makes the distributions of real and fake samples overlap."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.schedules import Linear, Schedule, value
from lightning_gans.stabilizer import Stabilizer


class InstanceNoise(Stabilizer):
    """Add Gaussian noise to the discriminator's input, real and fake; its scale falls during training.

        x' = x + σ(t) ε,    ε ~ N(0, I), drawn for every sample and use

    Real and fake samples lie on low-dimensional sets that hardly meet; a discriminator then separates them perfectly,
    and the generator gets no useful gradient. Noise gives both distributions a density everywhere, so that their
    divergence is finite and its gradient points from one to the other. With noise on the fakes alone the generator
    would match noisy data. It acts in the steps of both players; a step costs the random numbers.

    While σ is above 0 the solution matches the distributions of noisy samples, which determines those of clean ones;
    the smaller σ, the finer the details that the discriminator sees. Anneal it to 0 over much of the run, not only over
    its start.

    Args:
        sigma: σ, at least 0, in units of the samples, which span [−1, 1] for images; or a schedule.

    Raises:
        ValueError: for a negative σ.

    Reference:
        Sønderby et al., Amortised MAP Inference for Image Super-resolution, ICLR 2017, arXiv 1610.04490; Arjovsky and
        Bottou, Towards Principled Methods for Training Generative Adversarial Networks, ICLR 2017, arXiv 1701.04862.
    """

    def __init__(self, sigma: float | Schedule = Linear(0.1, 0.0, 10_000)):  # noqa: B008 - it is frozen
        arguments.at_least(self, 0, sigma=sigma)
        self.sigma = sigma

    @override
    def on_discriminator_input(self, gan: GAN, x: Tensor) -> Tensor:
        sigma = value(self.sigma, gan.generator_updates)
        return x if sigma == 0 else x + sigma * torch.randn_like(x)
