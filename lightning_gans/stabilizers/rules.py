"""The rules of balanced updates: which player is updated on a batch, by figures of the players' steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.objectives import Hinge, Minimax, Objective, Relativistic, Wasserstein, ZeroSum
from lightning_gans.step import Step


@dataclass(frozen=True)
class UpdateRule(ABC):
    """The numbers of updates on a batch, by figures of the players' steps; a subclass defines `updates_per_batch`."""

    @abstractmethod
    def updates_per_batch(self, figures: dict[str, float], discriminator: int, generator: int) -> tuple[int, int]:
        """Return the updates of discriminator and generator, one of them above 0.

        Args:
            figures: the smoothed figures by name; empty before the first batch.
            discriminator: the discriminator's updates without the rule.
            generator: the generator's updates without the rule.
        """

    def check(self, gan: GAN) -> None:  # noqa: B027 - most rules fit every GAN
        """Raise `ValueError` for a GAN whose steps do not have the rule's figures."""

    def discriminator_figures(self, objective: Objective, step: Step) -> dict[str, Tensor]:
        """Return figures of a discriminator's step by name, each a scalar."""
        return {}

    def generator_figures(self, objective: Objective, step: Step) -> dict[str, Tensor]:
        """Return figures of a generator's step; those of the discriminator's step on the same batch take precedence."""
        return {}


@dataclass(frozen=True)
class Fixed(UpdateRule):
    """The same number of steps of each player on every batch, in place of `n_critic`.

    The first step of both players shares its fakes; each further step generates its own.

    Args:
        discriminator: steps of the discriminator, at least 1.
        generator: steps of the generator, at least 1.

    Raises:
        ValueError: for a number out of range, or a GAN with an `n_critic` other than 1.
    """

    discriminator: int = 1
    generator: int = 1

    def __post_init__(self) -> None:
        arguments.whole(self, 1, discriminator=self.discriminator, generator=self.generator)

    @override
    def check(self, gan: GAN) -> None:
        if gan.n_critic != 1:
            raise ValueError(
                f"BalancedUpdates(rule={self}) beside n_critic={gan.n_critic}: expected one of the two; leave n_critic "
                "at 1."
            )

    @override
    def updates_per_batch(self, figures: dict[str, float], discriminator: int, generator: int) -> tuple[int, int]:
        return self.discriminator, self.generator


@dataclass(frozen=True)
class ByAccuracy(UpdateRule):
    """Skip the discriminator while it is right too often, and the generator while D is wrong too often.

        accuracy = ½ · share of real samples classified as real + ½ · share of fakes classified as fake

    A sample is classified as real where the objective's cost of its logit as real is below that as fake: above 0 for
    cross-entropy and hinge, above ½ for least squares. A relativistic discriminator is right about a sample whose logit
    is on the right side of the other kind's mean logit. While D is skipped, the generator's steps give the figures.

    Args:
        low: the generator is skipped while the accuracy is below it, in [0, 1]; never with 0.
        high: the discriminator is skipped while the accuracy is above it, in [0, 1]; never with 1.

    Raises:
        ValueError: for numbers out of range or order, or a `Wasserstein` objective, whose logits have no threshold.
    """

    low: float = 0.55
    high: float = 0.85

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise ValueError(f"{self}: expected 0 <= low <= high <= 1, such as 0.55 and 0.85.")

    @override
    def check(self, gan: GAN) -> None:
        objective = gan.objective.base if isinstance(gan.objective, ZeroSum) else gan.objective
        if isinstance(objective, Wasserstein):
            raise ValueError(
                f"BalancedUpdates(rule={self}): expected logits with a threshold between real and fake, but those of "
                "Wasserstein have none; use n_critic or Fixed."
            )

    @override
    def discriminator_figures(self, objective: Objective, step: Step) -> dict[str, Tensor]:
        real, fake = step.real_logits, step.fake_logits
        assert real is not None
        if isinstance(objective, Relativistic):
            real, fake = real > fake.mean(), fake < real.mean()
        else:
            real, fake = objective.real(real) < objective.fake(real), objective.fake(fake) < objective.real(fake)
        return {"real": real.float().mean(), "fake": fake.float().mean()}

    @override
    def generator_figures(self, objective: Objective, step: Step) -> dict[str, Tensor]:
        if step.real_logits is not None:
            return self.discriminator_figures(objective, step)
        return {"fake": (objective.fake(step.fake_logits) < objective.real(step.fake_logits)).float().mean()}

    @override
    def updates_per_batch(self, figures: dict[str, float], discriminator: int, generator: int) -> tuple[int, int]:
        if not {"real", "fake"} <= figures.keys():
            return discriminator, generator
        accuracy = (figures["real"] + figures["fake"]) / 2
        return _skip(accuracy > self.high, accuracy < self.low, discriminator, generator)


@dataclass(frozen=True)
class ByLossRatio(UpdateRule):
    """Skip the player whose loss is too far below the other's.

        D is skipped while L_D < least · L_G,    G is skipped while L_D > most · L_G

    Losses are the objective's own, without the changes of stabilizers. Where the discriminator cannot tell samples
    apart, L_D = 2 L_G under cross-entropy and least squares, and L_D = L_G under relativistic objectives.

    Args:
        least: ratio below which the discriminator is skipped, at least 0; never with 0.
        most: ratio above which the generator is skipped, at least `least`; never with infinity.

    Raises:
        ValueError: for numbers out of range or order, or an objective whose losses may be below 0 (`Wasserstein`,
            `Minimax`, `ZeroSum`, `Hinge`).
    """

    least: float = 0.5  # with ByAccuracy's names the command line would keep its values when the rule changes
    most: float = 8.0

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most:
            raise ValueError(f"{self}: expected 0 <= least <= most, such as 0.5 and 8.0.")

    @override
    def check(self, gan: GAN) -> None:
        objective = gan.objective
        if isinstance(objective, Relativistic):  # both players have the same cost, with the roles swapped
            signed = isinstance(objective.base, Wasserstein)
        else:
            signed = isinstance(objective, Wasserstein | Minimax | ZeroSum | Hinge)
        if signed:
            raise ValueError(
                f"BalancedUpdates(rule={self}): expected losses of at least 0, but those of {gan.objective} may be "
                "below; use NonSaturating, LeastSquares or a relativistic objective of these."
            )

    @override
    def discriminator_figures(self, objective: Objective, step: Step) -> dict[str, Tensor]:
        assert step.real_logits is not None
        return {"discriminator": objective.discriminator_loss(step.real_logits, step.fake_logits)}

    @override
    def generator_figures(self, objective: Objective, step: Step) -> dict[str, Tensor]:
        return {"generator": objective.generator_loss(step.fake_logits, step.real_logits)}

    @override
    def updates_per_batch(self, figures: dict[str, float], discriminator: int, generator: int) -> tuple[int, int]:
        if not {"discriminator", "generator"} <= figures.keys():
            return discriminator, generator
        loss, other = figures["discriminator"], figures["generator"]
        return _skip(loss < self.least * other, loss > self.most * other, discriminator, generator)


def _skip(skip_discriminator: bool, skip_generator: bool, discriminator: int, generator: int) -> tuple[int, int]:
    if skip_discriminator:
        return 0, max(generator, 1)
    return (max(discriminator, 1), 0) if skip_generator else (discriminator, generator)
