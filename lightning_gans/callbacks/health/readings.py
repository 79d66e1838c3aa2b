"""One reading of the health of a training: its figures, each with the caption under which it is shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

NAN = math.nan


def _figure(caption: str, panel: str = "", log: bool = False, default: float = NAN, survey: bool = False) -> Any:
    """Declare a figure: its caption, its panel in `health.svg` ("" for none), and whether only a survey has it."""
    return field(default=default, metadata={"caption": caption, "panel": panel, "log": log, "survey": survey})


_surveyed = partial(_figure, survey=True)


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
        distance: energy between features of fakes and of real samples; this and the figures to `agreement` are those of
            a `Survey`, NaN in readings without one.
        variety: mean distance between features of fakes, over that between features of real samples.
        coverage: share of real samples with a fake among their nearest neighbours, over that of real samples.
        density: how many of those neighbourhoods a fake lies in, over how many a real sample does.
        width: median distance of a fake from the nearest real sample, over that of real samples.
        gap: median distance of a fake from the nearest other fake, over that of real samples.
        spread: variety inside a class or mode over that of real samples, median over these.
        least: the same, least of these.
        outside: share of fakes outside of all modes.
        modes: number of modes, classes or clusters of the data.
        missing: number of those with hardly any fake.
        imbalance: KL divergence of the fakes' modes from the data's, in nats, less that of real samples.
        repeats: share of fakes with a near copy among the others.
        copies: share of fakes that are near copies of real images.
        contrast: contrast of fakes over that of real images.
        sharpness: strength of edges of fakes over that of the nearest real images.
        agreement: share of fakes that look like their class, over that of real samples.
        missing_names: names of the missing modes.
        memorised: (D(x) − D(v)) / (D(x) − D(G(z))) of mean logits, of training samples x and validation samples v: 0
            for a D that knows what the data look like, 1 for one that has memorised the training samples.
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
    distance: float = _surveyed(
        "Distance of the distributions in features, which see structure that pixels do not show: 0 is the same.",
        "distance of the samples from the data",
    )
    variety: float = _surveyed(
        "Mean distance between generated samples in features over that between real ones: near 0 all look the same.",
        "variety, relative to the data",
    )
    coverage: float = _surveyed(
        "The share of real samples with a generated one nearby, over what real ones have: low where modes are missing.",
        "neighbours, relative to real samples",
    )
    density: float = _surveyed(
        "How densely real samples surround generated ones, over how densely they surround real ones: the quality.",
        "neighbours, relative to real samples",
    )
    width: float = _surveyed("How far samples are from the nearest real one, over how far real samples are.")
    gap: float = _surveyed("How far samples are from the nearest other one, over how far real samples are.")
    spread: float = _surveyed(
        "Variety inside a class or mode over that of real samples, median: near 0 each has one picture.",
        "variety, relative to the data",
    )
    least: float = _surveyed("Variety inside the class or mode with the least, over that of real samples.")
    outside: float = _surveyed("The share of samples outside of all modes of the data.")
    modes: float = _surveyed("How many modes, classes or clusters the data have.")
    missing: float = _surveyed("How many modes of the data have hardly any generated sample.", "missing modes")
    imbalance: float = _surveyed("How unevenly samples are spread over them: KL divergence from the data, in nats.")
    repeats: float = _surveyed("The share of samples that have a near copy among a few hundred.")
    copies: float = _surveyed("The share of samples that are near copies of a few hundred training images.")
    contrast: float = _surveyed("Contrast of images over that of real ones: about 1 unless samples have another range.")
    sharpness: float = _surveyed(
        "Strength of edges, over that of the nearest real image: below 1 is blurred, above noisy."
    )
    agreement: float = _surveyed("The share of samples that look like their class, over that of real samples.")
    memorised: float = _surveyed(
        "How far D takes validation samples for fakes: 0 as little as training samples, 1 as much as generated ones.",
        "how well D tells real from fake",
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
    missing_names: Sequence[str] = ()

    def figures(self) -> dict[str, float]:
        """Return the figures by name."""
        return {name: getattr(self, name) for name in CAPTIONS}


CAPTIONS: dict[str, str] = {one.name: one.metadata["caption"] for one in fields(Reading) if one.metadata}
"""What each figure of a `Reading` means, for a newcomer."""

SURVEYED = frozenset(one.name for one in fields(Reading) if one.metadata and one.metadata["survey"])
"""The figures that only readings with a survey have."""

PANELS: dict[str, tuple[str, ...]] = {}
"""The figures that are drawn together, by the title of their panel, in the order in which they decide."""
for _one in fields(Reading):
    if _one.metadata and _one.metadata["panel"]:
        PANELS[_one.metadata["panel"]] = (*PANELS.get(_one.metadata["panel"], ()), _one.name)

LOGARITHMIC = frozenset(one.metadata["panel"] for one in fields(Reading) if one.metadata and one.metadata["log"])
"""The titles of panels with a logarithmic axis."""
