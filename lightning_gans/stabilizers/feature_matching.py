"""Feature matching: the generator is trained to match the mean features of the data."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.distributed import mean
from lightning_gans.gan import GAN
from lightning_gans.stabilizer import Stabilizer
from lightning_gans.step import Step


class FeatureMatching(Stabilizer):
    """Let the generator match the mean of the discriminator's features on real samples.

        weight · ‖mean f(x) − mean f(G(z))‖²,    f = the discriminator's `features`, the input of its head

    It replaces the generator's loss, as in the paper, or is added to it. The discriminator's training does not change,
    so f remains what separates real from fake samples; the generator does not follow the logit itself, which is more
    stable, but often less sharp. Means are over the batch of all processes, and need large batches, which cannot be
    taken in parts (`generator_accumulation`). Maps of features, (N, K, H, W), are matched at each position.

    It costs two more forwards of the discriminator in the generator's step, of real samples (without grad) and of
    fakes. Terms that earlier stabilizers added to the generator's loss are replaced too, so give it first. In an
    `UnrolledGAN` the opponent is a function without features, and f is that of the current discriminator, not of the
    one K updates ahead; replacing the loss there would remove the unrolling, so use `replace=False`.

    Args:
        weight: weight of the term, at least 0; above 0 with `replace`.
        replace: whether to replace the generator's loss; else the term is added to it.

    Raises:
        ValueError: for a weight out of range; for a discriminator without `features`.

    Reference:
        Salimans et al., Improved Techniques for Training GANs, NeurIPS 2016, arXiv 1606.03498, section 3.1.
    """

    reads_real = True

    def __init__(self, weight: float = 1.0, replace: bool = True):
        arguments.at_least(self, 0, weight=weight)
        if weight == 0 and replace:
            raise ValueError(
                f"FeatureMatching(weight={weight}, replace={replace}) leaves the generator without a loss; expected a "
                "weight above 0, or replace=False."
            )
        self.weight = weight
        self.replace = replace
        self.needs_whole_batch = ("generator",) if weight else ()

    @override
    def apply_to(self, gan: GAN) -> None:
        """Refuse a discriminator without features."""
        if not callable(getattr(gan.discriminator, "features", None)):
            raise ValueError(
                f"FeatureMatching needs a discriminator with `features`, and {type(gan.discriminator).__name__} has "
                "none; use one of the library's discriminators, or leave it out."
            )

    @property
    def loss_terms(self) -> list[str]:
        """The names of what it adds to losses, which are logged as `loss/<name>`."""
        return ["feature_matching"] if self.weight else []

    @override
    def on_generator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        if self.weight == 0:
            return loss
        assert step.real is not None
        map_to_features = getattr(step.discriminator, "features", gan.discriminator.features)

        def features(x: Tensor, labels: Tensor | None = None) -> Tensor:
            return map_to_features(x).flatten(1)

        with torch.no_grad():
            wanted = mean(gan.discriminate(features, step.real, step.labels).mean(0))
        found = mean(gan.discriminate(features, step.fake, step.labels).mean(0))
        distance = self.weight * (found - wanted).square().sum()
        step.terms["feature_matching"] = distance.detach()
        return distance if self.replace else loss + distance
