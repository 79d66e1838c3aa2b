"""The rules of balanced updates: who moves on a batch, by what was read off the players' steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from lightning_gans.objectives import Hinge, Minimax, Objective, Relativistic, Wasserstein, ZeroSum

if TYPE_CHECKING:
    from lightning_gans.gan import GAN
    from lightning_gans.step import Step


@dataclass(frozen=True)
class Rule(ABC):
    """Who moves on a batch, by figures that are read off the players' steps; a subclass defines `updates_per_batch`."""

    @abstractmethod
    def updates_per_batch(self, figures: dict[str, float], discriminator: int, generator: int) -> tuple[int, int]:
        """The two numbers of steps, of which one is above 0; `figures` are smoothed, and empty at first."""

    def check(self, gan: GAN) -> None:  # noqa: B027 - most rules fit every game
        """Raise `ValueError` for a game in which the figures mean nothing."""

    def of_discriminator(self, objective: Objective, step: Step) -> dict[str, Tensor]:
        """Figures of a discriminator's step, each a scalar."""
        return {}

    def of_generator(self, objective: Objective, step: Step) -> dict[str, Tensor]:
        """Figures of a generator's step; one that this batch has of the discriminator's step already is left out."""
        return {}


@dataclass(frozen=True)
class Fixed(Rule):
    """As many steps of each player on every batch, in place of `n_critic`; further steps draw fakes of their own.

    Args:
        discriminator: steps of the discriminator, at least 1.
        generator: steps of the generator, at least 1.

    Raises:
        ValueError: for a number out of range, or a game with an `n_critic` other than 1.
    """

    discriminator: int = 1
    generator: int = 1

    def __post_init__(self) -> None:
        for name in ("discriminator", "generator"):
            value = getattr(self, name)
            if not isinstance(value, int) or not value >= 1:
                raise ValueError(f"Fixed({name}={value}): expected a whole number of at least 1.")

    def check(self, gan: GAN) -> None:
        """Two rules for one thing are one too many."""
        if gan.n_critic != 1:
            raise ValueError(
                f"BalancedUpdates(rule={self}) beside n_critic={gan.n_critic}: expected one of the two; leave n_critic "
                "at 1."
            )

    def updates_per_batch(self, figures: dict[str, float], discriminator: int, generator: int) -> tuple[int, int]:
        """Always the same."""
        return self.discriminator, self.generator


@dataclass(frozen=True)
class ByAccuracy(Rule):
    """The discriminator waits while it is right too often, the generator while it is wrong too often.

        accuracy = ½ · share of real samples that D takes for real + ½ · share of fakes that it takes for fake

    A sample is taken for real where the objective charges its logit less as real than as fake: above 0 for
    cross-entropy and hinge, above ½ for least squares. A relativistic discriminator is right about a sample that lies
    on the right side of the other kind's mean logit. While D waits, its fakes are those of the generator's steps.

    Args:
        low: the generator waits while the accuracy is below it, in [0, 1]; 0 never.
        high: the discriminator waits while the accuracy is above it, in [0, 1]; 1 never.

    Raises:
        ValueError: for numbers out of range or order, or a `Wasserstein` objective, whose logits have no threshold.
    """

    low: float = 0.55
    high: float = 0.85

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise ValueError(f"{self}: expected 0 <= low <= high <= 1, such as 0.55 and 0.85.")

    def check(self, gan: GAN) -> None:
        """The logits of a Wasserstein critic have no threshold."""
        objective = gan.objective.base if isinstance(gan.objective, ZeroSum) else gan.objective
        if isinstance(objective, Wasserstein):
            raise ValueError(
                f"BalancedUpdates(rule={self}): expected logits with a threshold between real and fake, but those of "
                "Wasserstein have none; use n_critic or Fixed."
            )

    def of_discriminator(self, objective: Objective, step: Step) -> dict[str, Tensor]:
        """The shares of right answers."""
        real, fake = step.real_logits, step.fake_logits
        assert real is not None
        if isinstance(objective, Relativistic):
            real, fake = real > fake.mean(), fake < real.mean()
        else:
            real, fake = objective.real(real) < objective.fake(real), objective.fake(fake) < objective.real(fake)
        return {"real": real.float().mean(), "fake": fake.float().mean()}

    def of_generator(self, objective: Objective, step: Step) -> dict[str, Tensor]:
        """The share of fakes, and that of real samples where they were judged too."""
        if step.real_logits is not None:
            return self.of_discriminator(objective, step)
        return {"fake": (objective.fake(step.fake_logits) < objective.real(step.fake_logits)).float().mean()}

    def updates_per_batch(self, figures: dict[str, float], discriminator: int, generator: int) -> tuple[int, int]:
        """Who waits lets the other one move."""
        if not {"real", "fake"} <= figures.keys():
            return discriminator, generator
        accuracy = (figures["real"] + figures["fake"]) / 2
        return _waiting(accuracy > self.high, accuracy < self.low, discriminator, generator)


@dataclass(frozen=True)
class ByLossRatio(Rule):
    """Whoever's loss is too far below the other's waits.

        D waits while L_D < least · L_G,    G waits while L_D > most · L_G

    Losses are the objective's own, without what stabilizers make of them. Undecided players have L_D = 2 L_G under
    cross-entropy and least squares, and L_D = L_G under relativistic objectives.

    Args:
        least: below which ratio the discriminator waits, at least 0; 0 never.
        most: above which ratio the generator waits, at least `least`; infinity never.

    Raises:
        ValueError: for numbers out of range or order, or an objective whose losses may be below 0 (`Wasserstein`,
            `Minimax`, `ZeroSum`, `Hinge`).
    """

    least: float = 0.5  # other names than ByAccuracy's, whose values the command line would carry over
    most: float = 8.0

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most:
            raise ValueError(f"{self}: expected 0 <= least <= most, such as 0.5 and 8.0.")

    def check(self, gan: GAN) -> None:
        """Ratios are of losses that are above 0."""
        objective = gan.objective
        if isinstance(objective, Relativistic):  # whose players pay the same, each for itself
            signed = isinstance(objective.base, Wasserstein)
        else:
            signed = isinstance(objective, Wasserstein | Minimax | ZeroSum | Hinge)
        if signed:
            raise ValueError(
                f"BalancedUpdates(rule={self}): expected losses of at least 0, but those of {gan.objective} may be "
                "below; use NonSaturating, LeastSquares or a relativistic objective of these."
            )

    def of_discriminator(self, objective: Objective, step: Step) -> dict[str, Tensor]:
        """L_D."""
        assert step.real_logits is not None
        return {"discriminator": objective.discriminator_loss(step.real_logits, step.fake_logits)}

    def of_generator(self, objective: Objective, step: Step) -> dict[str, Tensor]:
        """L_G."""
        return {"generator": objective.generator_loss(step.fake_logits, step.real_logits)}

    def updates_per_batch(self, figures: dict[str, float], discriminator: int, generator: int) -> tuple[int, int]:
        """Who waits lets the other one move."""
        if not {"discriminator", "generator"} <= figures.keys():
            return discriminator, generator
        ours, theirs = figures["discriminator"], figures["generator"]
        return _waiting(ours < self.least * theirs, ours > self.most * theirs, discriminator, generator)


def _waiting(discriminator_waits: bool, generator_waits: bool, discriminator: int, generator: int) -> tuple[int, int]:
    if discriminator_waits:
        return 0, max(generator, 1)
    return (max(discriminator, 1), 0) if generator_waits else (discriminator, generator)
