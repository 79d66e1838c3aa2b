"""Latent consistency: near latents have different samples, which the discriminator finds equally real."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.networks import StochasticGenerator
from lightning_gans.schedules import Schedule, bounds, value
from lightning_gans.stabilizer import Stabilizer
from lightning_gans.step import Step, per_sample


class LatentConsistency(Stabilizer):
    """Move latents a little, pull the discriminator's logits of both samples together, and push the samples apart.

        loss of D:  + discriminator · mean (D(G(z)) − D(G(z + ε)))²
        loss of G:  − generator · mean (G(z) − G(z + ε))²,    ε ~ N(0, σ²)

    D is to find all that G makes around one sample equally real, and G is not to answer by making them the same, which
    works against a generator that ignores its latents. The paper calls it zCR. The mean over samples is in G's loss one
    over their values too, so that the weight means the same for images of any size; a reimplementation of the paper has
    the same, while the paper writes the squared norm.

    z is drawn anew, with the labels of the batch. ε is added to the latents' continuous part alone, not to a code. D
    sees the samples without the noise and the augmentation of other stabilizers. In a generator with Dropout both
    samples have noise of their own, which the terms then see too. It costs a forward of G for two batches in the steps
    of both players, with its backward in that of G, and two forwards and backwards of D.

    Args:
        discriminator: weight of D's term, at least 0, or a schedule.
        generator: weight of G's term, at least 0, or a schedule.
        sigma: σ, at least 0, or a schedule, in units of the latents, whose standard deviation is 1 where they are
            Gaussian.

    Raises:
        ValueError: for a number out of range, latents without a continuous part, or a generator with routes.

    Reference:
        Zhao, Singh, Lee, Zhang, Odena, Zhang, Improved Consistency Regularization for GANs, AAAI 2021,
        arXiv 2002.04724, zCR.
    """

    def __init__(
        self, discriminator: float | Schedule = 5.0, generator: float | Schedule = 0.5, sigma: float | Schedule = 0.03
    ):
        arguments.at_least(self, 0, discriminator=discriminator, generator=generator, sigma=sigma)
        self.discriminator = discriminator
        self.generator = generator
        self.sigma = sigma

    @override
    def apply_to(self, gan: GAN) -> None:
        """Refuse latents without a continuous part."""
        latents = gan.generator.latents
        if isinstance(gan.generator, StochasticGenerator):
            raise ValueError(
                "LatentConsistency compares samples of near latents, which routes of their own would set apart; give a "
                "generator without routes, or leave it out."
            )
        if latents.continuous_dim == 0:
            raise ValueError(
                f"LatentConsistency moves latents, but {latents} have no continuous part; use others, such as "
                "Gaussian(100), or leave it out."
            )

    @property
    def loss_terms(self) -> list[str]:
        """The names of what it adds to losses, which are logged as `loss/<name>`."""
        weights = {"latent_consistency": self.discriminator, "latent_sensitivity": self.generator}
        return [name for name, weight in weights.items() if bounds(weight)[1] > 0]

    @override
    def on_discriminator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        weight = value(self.discriminator, gan.generator_updates)
        if weight == 0:
            return loss
        assert step.discriminator is not None
        with torch.no_grad():
            pair = self._neighbours(gan, step)
        here, there = (per_sample(gan.discriminate(step.discriminator, x, step.labels)) for x in pair)
        term = weight * (here - there).square().mean()
        step.terms["latent_consistency"] = term.detach()
        return loss + term

    @override
    def on_generator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        weight = value(self.generator, gan.generator_updates)
        if weight == 0:
            return loss
        here, there = self._neighbours(gan, step)
        term = -weight * (here - there).square().mean()
        step.terms["latent_sensitivity"] = term.detach()
        return loss + term

    def _neighbours(self, gan: GAN, step: Step) -> tuple[Tensor, Tensor]:
        """Return the samples of new latents, and those of latents near them, from one batch for the generator."""
        z = gan.sample_latents(len(step.fake))
        near, dim = z.clone(), gan.generator.latents.continuous_dim
        near[:, :dim] += value(self.sigma, gan.generator_updates) * torch.randn_like(z[:, :dim])
        labels = None if step.labels is None else step.labels.repeat(2)
        here, there = gan(torch.cat([z, near]), labels).to(z.dtype).chunk(2)
        return here, there
