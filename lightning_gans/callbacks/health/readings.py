"""One reading of the health of a training: its figures, each with the caption under which it is shown."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

NAN = math.nan


def _figure(caption: str, panel: str = "", log: bool = False, default: float = NAN) -> Any:
    """Declare a figure: its caption, and the panel of `health.svg` that shows it ("" for none)."""
    return field(default=default, metadata={"caption": caption, "panel": panel, "log": log})


_SCORE = "The probability of being real that the discriminator gives to samples, on average: D(x) and D(G(z))."
_GRADIENT = "Norm of each player's gradient before clipping. Near 0 a player no longer learns."
_SLOPE = "How steep the discriminator is: mean norm of its derivative by the samples, real and generated."
_LOSS = "Mean loss since the last reading."
_CHANGE = "Mean of the later half of the losses since the last reading, less that of the earlier half."
_STD = "Standard deviation of the losses since the last reading."


@dataclass
class Reading:
    """The health of a training at one batch. A figure that does not exist, such as the loss of a fixed D, is NaN.

    To add a figure, add a field with its caption here, and compute it in `HealthProbe`; logs, pages and the W&B
    workspace then show it.

    Attributes:
        batch: number of batches so far.
        energy: (2E|x − y| − E|x − x'| − E|y − y'|) / 2E|x − y| of real samples x and fakes y: 0 for the same
            distribution, 1 for points far apart (Székely and Rizzo, Energy Statistics, 2013).
        diversity: mean distance between fakes, over that between real samples.
        sensitivity: the same over pairs that differ in z alone, of one class and along one route.
        coverage: the share of real samples with a fake among their nearest neighbours (Naeem et al., 2020,
            arXiv 2002.09797).
        density: how many of those neighbourhoods a fake lies in, over how many a real sample would.
        shift: the energy between the fakes of this reading and those of the last: how far the distribution has moved.
        movement: mean distance that the sample of one latent has moved since the last reading, over the mean
            distance between real samples.
        separation: the share of pairs of a real and a fake sample of the last batches in which D gives the real one
            the higher logit: 0.5 where it cannot tell, 1 where it always can, below 0.5 where it is fooled. It means
            the same for every objective.
        advantage: 1 − L_D / (L_D of the best constant logit), with hard targets and without penalties: 0 for a
            discriminator that cannot tell, 1 for one that is always right, below 0 for one that is fooled. NaN for
            objectives without a scale, such as Wasserstein's.
        margin: mean logit of real samples less that of fakes, in their pooled standard deviations.
        real_score: mean σ(logit) of real samples, D(x).
        fake_score: mean σ(logit) of fakes, D(G(z)).
        pull: mean |N ∂L_G/∂l| over logits l of fakes: how strongly the generator's loss depends on them, 0 where it
            has saturated.
        generator_gradient: norm of the generator's whole gradient, before clipping; the median since the last reading.
        discriminator_gradient: the same of the discriminator.
        real_slope: mean norm of ∂D/∂x at real samples, with `Packing` of a pack; D is the mean over patches.
        fake_slope: the same at fakes.
        generator_loss: mean of the generator's losses since the last reading.
        discriminator_loss: the same of the discriminator.
        generator_loss_std: standard deviation of the generator's losses since the last reading.
        discriminator_loss_std: the same of the discriminator.
        generator_loss_change: mean of the later half of the generator's losses, less that of the earlier half.
        finite: 1 while the last losses and logits and the samples of fixed latents are finite, else 0.
    """

    batch: int
    energy: float = _figure(
        "Distance between the distributions of generated and real samples: 0 is the same, 1 is far apart.",
        "distance of the samples from the data",
    )
    diversity: float = _figure(
        "Mean distance between generated samples over that between real ones: near 0 all samples are the same.",
        "variety, relative to the data",
    )
    sensitivity: float = _figure(
        "How much a sample depends on its latent: near 0 the generator ignores it.", "variety, relative to the data"
    )
    coverage: float = _figure(
        "The share of real samples with a generated one nearby. Low where modes are missing.",
        "neighbours of real samples",
    )
    density: float = _figure(
        "How densely real samples surround generated ones: about 1 for real samples, low for poor ones.",
        "neighbours of real samples",
    )
    shift: float = _figure(
        "How far the distribution of samples has moved since the last reading, 0 to 1. High in an oscillation.",
        "change between readings",
    )
    movement: float = _figure(
        "How far the sample of one latent has moved since the last reading: 0 is a generator that does not change.",
        "change between readings",
    )
    separation: float = _figure(
        "How often the discriminator gives a real sample a higher logit than a generated one: 0.5 if it cannot tell, "
        "1 if it always can, below 0.5 if it is fooled.",
        "how well D tells real from fake",
    )
    advantage: float = _figure(
        "How much lower the discriminator's loss is than that of a guess: 0 is no lower, 1 is a loss of zero.",
        "how well D tells real from fake",
    )
    margin: float = _figure(
        "Mean logit of real samples less that of generated ones, in standard deviations. The larger, the surer the "
        "discriminator."
    )
    real_score: float = _figure(_SCORE)
    fake_score: float = _figure(_SCORE)
    pull: float = _figure("How strongly the generator's loss depends on the discriminator's logits: 0 is saturated.")
    generator_gradient: float = _figure(_GRADIENT, "gradient norms", log=True)
    discriminator_gradient: float = _figure(_GRADIENT, "gradient norms", log=True)
    real_slope: float = _figure(_SLOPE, "slope of D", log=True)
    fake_slope: float = _figure(_SLOPE, "slope of D", log=True)
    generator_loss: float = _figure(_LOSS, "losses")
    discriminator_loss: float = _figure(_LOSS, "losses")
    generator_loss_std: float = _figure(_STD)
    discriminator_loss_std: float = _figure(_STD)
    generator_loss_change: float = _figure(_CHANGE)
    finite: float = _figure("1 while losses, logits and samples are finite, 0 with NaN or infinity.", default=1.0)

    def figures(self) -> dict[str, float]:
        """Return everything but the batch, by name."""
        return {name: value for name, value in asdict(self).items() if name != "batch"}


CAPTIONS: dict[str, str] = {one.name: one.metadata["caption"] for one in fields(Reading) if one.name != "batch"}
"""What each figure of a `Reading` means, for a newcomer."""
