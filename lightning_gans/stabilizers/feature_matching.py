"""Feature matching: a generator that aims at the data's mean features, not at the discriminator's verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_gans.distributed import mean
from lightning_gans.stabilizer import Stabilizer

if TYPE_CHECKING:
    from lightning_gans.gan import GAN
    from lightning_gans.step import Step


class FeatureMatching(Stabilizer):
    """Let the generator match the mean of the discriminator's features on real samples.

        weight · ‖mean f(x) − mean f(G(z))‖²,    f = the discriminator's `features`, the input of its head

    In place of the generator's loss, as in the paper, or in addition to it. The discriminator learns as ever, so that
    f goes on to be what tells real from fake; the generator does not chase its verdict, which is steadier, but
    often less sharp. Means are over the batch of all processes, and want large batches.

    It costs two more forwards of the discriminator in the generator's step, of real samples (without a gradient) and
    of fakes. What stabilizers before it have added to the generator's loss is replaced too: give it first. In an
    `UnrolledGAN` the opponent is a function without features; f is then that of the discriminator as it is, not K
    updates ahead, so that to replace the loss there is to give up the unrolling: use `replace=False`.

    Args:
        weight: of the term, at least 0; above 0 if it stands alone.
        replace: whether it replaces the generator's loss or is added to it.

    Raises:
        ValueError: for a weight out of range; for a discriminator without `features`.

    Reference:
        Salimans et al., Improved Techniques for Training GANs, NeurIPS 2016, arXiv 1606.03498, section 3.1.
    """

    reads_real = True

    def __init__(self, weight: float = 1.0, replace: bool = True):
        if not weight >= 0:
            raise ValueError(f"FeatureMatching(weight={weight}): expected a number of at least 0.")
        if weight == 0 and replace:
            raise ValueError(
                f"FeatureMatching(weight={weight}, replace={replace}) leaves the generator without a loss; expected a "
                "weight above 0, or replace=False."
            )
        self.weight = weight
        self.replace = replace

    def apply_to(self, gan: GAN) -> None:
        """Refuse a discriminator without features."""
        if not callable(getattr(gan.discriminator, "features", None)):
            raise ValueError(
                f"FeatureMatching needs a discriminator with `features`, and {type(gan.discriminator).__name__} has "
                "none; use one of the library's discriminators, or leave it out."
            )

    def on_generator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        """Replace the loss by the distance of the means, or add it."""
        if self.weight == 0:
            return loss
        assert step.real is not None
        owner = step.discriminator if hasattr(step.discriminator, "features") else gan.discriminator

        def features(x: Tensor, labels: Tensor | None = None) -> Tensor:
            return owner.features(x).flatten(1)  # type: ignore[union-attr]

        with torch.no_grad():
            wanted = mean(gan.discriminate(features, step.real, step.labels).mean(0))
        found = mean(gan.discriminate(features, step.fake, step.labels).mean(0))
        distance = self.weight * (found - wanted).square().sum()
        step.terms["feature_matching"] = distance.detach()
        return distance if self.replace else loss + distance
