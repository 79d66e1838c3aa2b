"""The pulling-away term: samples of a batch are pushed apart in the features of the discriminator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.networks import FrozenClassifier
from lightning_gans.schedules import Schedule, bounds, value
from lightning_gans.stabilizer import Stabilizer
from lightning_gans.step import Step


class PullingAway(Stabilizer):
    """Push the fakes of a batch apart in the discriminator's features, those of one class where there are labels.

        weight · mean over pairs i ≠ j of  (f_i · f_j / (‖f_i‖ ‖f_j‖))²,    f = the discriminator's `features` of G(z)

    The term is added to the generator's loss. It is 1 for fakes whose features have one direction and 0 where they are
    orthogonal. In the paper pairs are of all samples, of a GAN without labels; with labels they are of one class here,
    and a batch without such a pair adds nothing; behind `Packing` they are of all packs. Pairs are those within one
    process, and the term needs the whole batch (`generator_accumulation`). In `SEPGAN` f is what the classifier's last
    Linear layer takes, and the term keeps the routes of an ensemble apart. It costs one more forward of D.

    Args:
        weight: weight of the term, at least 0.

    Raises:
        ValueError: for a weight out of range; for a discriminator without `features`, or a classifier without a
            Linear layer.

    Reference:
        Zhao, Mathieu, LeCun, Energy-based Generative Adversarial Network, ICLR 2017, arXiv 1609.03126, section 2.4,
        which has weight 0.1.
    """

    def __init__(self, weight: float | Schedule = 0.1):
        arguments.at_least(self, 0, weight=weight)
        self.weight = weight
        self.needs_whole_batch = ("generator",) if bounds(weight)[1] > 0 else ()

    @override
    def apply_to(self, gan: GAN) -> None:
        """Refuse a discriminator without features."""
        if not callable(getattr(gan.discriminator, "features", None)):
            raise ValueError(
                f"PullingAway needs a discriminator with `features`, and {type(gan.discriminator).__name__} has none; "
                "use one of the library's discriminators, or leave it out."
            )
        if isinstance(gan.discriminator, FrozenClassifier):
            with torch.no_grad():
                gan.discriminator.features(torch.zeros(1, *gan.generator.sample_shape, device=gan.device))

    @property
    def loss_terms(self) -> list[str]:
        """The names of what it adds to losses, which are logged as `loss/<name>`."""
        return ["pulling_away"] if bounds(self.weight)[1] > 0 else []

    @override
    def on_generator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        if not self.loss_terms:
            return loss
        map_to_features = getattr(step.discriminator, "features", gan.discriminator.features)
        features = F.normalize(map_to_features(step.fake).flatten(1).float(), dim=1)
        apart = ~torch.eye(len(features), dtype=torch.bool, device=features.device)
        labels = step.labels if step.labels is not None and len(step.labels) == len(features) else None  # else packs
        pairs = apart if labels is None else apart & (labels[:, None] == labels)
        cosines = torch.where(pairs, features @ features.T, 0)
        term = value(self.weight, gan.generator_updates) * cosines.square().sum() / pairs.sum().clamp_min(1)
        step.terms["pulling_away"] = term.detach()
        return loss + term
