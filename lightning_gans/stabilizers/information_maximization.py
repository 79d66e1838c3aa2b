"""Information maximization: samples have to show the code that they were made from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments, hooks
from lightning_gans.gan import GAN
from lightning_gans.networks import GaussianWithCode
from lightning_gans.schedules import Schedule, bounds, value
from lightning_gans.stabilizers.feature_head import FeatureHead
from lightning_gans.step import Step


class InformationMaximization(FeatureHead):
    """Let a layer of the discriminator tell the code of a fake, and train both players to make this possible.

        weight · (Σ over codes of −log Q(c | G(z)) + Σ over coordinates of ½ (ĉ(G(z)) − z)²),    Q = softmax(W f(x) + b)

    is added to the losses of both players, with f the discriminator's `features`. The first sum is H(c) minus a lower
    bound of the mutual information of code and sample: 0 where Q is right, and at chance ln K for each code of K
    categories. Without it a generator may ignore the code, or several categories may make the same samples. What a
    category comes to mean is left to the data; of digits it is often the digit. `continuous` coordinates of the latents
    are told too, by a Gaussian of variance 1 around ĉ, and come to mean what varies most, such as slant.

    A step does not keep its latents, so the term draws its own: it costs one more forward of the generator and of the
    discriminator in either step, with their backward. In the lookahead of an `UnrolledGAN` the term is part of D's
    loss, but G is not differentiated through it.

    Args:
        weight: weight of the term, at least 0; the paper has 1.
        continuous: number of the first coordinates of the latents that are told too, at least 0.

    Raises:
        ValueError: for an argument out of range; for latents without a code, or with fewer continuous coordinates; for
            a discriminator without `features`, or one of packs.

    Reference:
        Chen et al., InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial
        Nets, NeurIPS 2016, arXiv 1606.03657; both losses and the fixed variance as in the authors' code.
    """

    layer_arguments = ("continuous",)

    def __init__(self, weight: float | Schedule = 1.0, continuous: int = 0):
        arguments.at_least(self, 0, weight=weight)
        arguments.whole(self, 0, continuous=continuous)
        self.weight = weight
        self.continuous = continuous

    @property
    @override
    def loss_terms(self) -> list[str]:
        return ["information"] if bounds(self.weight)[1] > 0 else []

    @override
    def num_outputs(self, gan: GAN) -> int:
        latents = gan.generator.latents
        if not isinstance(latents, GaussianWithCode) and not self.continuous:
            raise ValueError(
                f"InformationMaximization has no code to tell in {latents!r}; give the generator GaussianWithCode(2, "
                "10), or say how many coordinates of its latents are a code: continuous=2."
            )
        if self.continuous > latents.continuous_dim:
            raise ValueError(
                f"InformationMaximization(continuous={self.continuous}): {latents!r} has {latents.continuous_dim} "
                f"continuous coordinates; give at most {latents.continuous_dim}."
            )
        return self.continuous + sum(_categories(gan))

    @override
    def on_discriminator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        if not self.loss_terms:
            return loss
        with torch.no_grad():
            z = gan.sample_latents(len(step.fake))
            fake = gan(z, step.labels)
        return self._with_term(gan, step, loss, z, fake)

    @override
    def on_generator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        if not self.loss_terms:
            return loss
        z = gan.sample_latents(len(step.fake))
        return self._with_term(gan, step, loss, z, gan(z, step.labels))

    def _with_term(self, gan: GAN, step: Step, loss: Tensor, z: Tensor, fake: Tensor) -> Tensor:
        for stabilizer in gan.active_stabilizers:
            fake = hooks.discriminator_input(stabilizer, gan, fake)
        outputs = self.predict(gan, step.discriminator, fake)
        told, *codes = outputs.split([self.continuous, *_categories(gan)], dim=1)
        error = 0.5 * (told - z[:, : self.continuous]).square().sum(1).mean()
        start = gan.generator.latents.continuous_dim
        for logits in codes:
            error = error + F.cross_entropy(logits, z[:, start : start + logits.shape[1]].argmax(1))
            start += logits.shape[1]
        term = value(self.weight, gan.generator_updates) * error
        step.terms["information"] = term.detach()
        return loss + term


def _categories(gan: GAN) -> list[int]:
    """Return the number of categories of each code in the latents."""
    latents = gan.generator.latents
    return [latents.categories] * latents.codes if isinstance(latents, GaussianWithCode) else []
