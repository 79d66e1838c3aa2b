"""The states of a training that the monitor names, and what is recommended against each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lightning_gans.callbacks.health import remedies
from lightning_gans.callbacks.health.remedies import Remedy
from lightning_gans.gan import GAN


@dataclass(frozen=True)
class State:
    """A state of a training.

    Attributes:
        name: what the field calls it.
        remedies: what is recommended against it, the most likely to help first.
    """

    name: str
    remedies: tuple[Remedy, ...] = ()

    def advice(self, present: Iterable[str] = (), at_most: int = 3) -> list[str]:
        """Return the remedies, in words, that a run with these classes and this precision does not use yet."""
        return [f"{remedy.advice}: {remedy.option}" for remedy in self.left(present)[:at_most]]

    def left(self, present: Iterable[str]) -> list[Remedy]:
        """Return the remedies that a run with these classes and this precision does not use yet."""
        used = set(present)
        return [remedy for remedy in self.remedies if remedy.fits(used)]


HEALTHY = State("healthy")
MODE_COLLAPSE = State("mode collapse (hard)", (remedies.POINTS, remedies.IMAGES, remedies.CODE, remedies.MORE_ROUTES))
PARTIAL_COLLAPSE = State("partial collapse", (remedies.POINTS, remedies.IMAGES, remedies.CODE))
COLLAPSE_IN_CLASSES = State(
    "collapse inside classes", (remedies.IMAGES, remedies.R1, remedies.LOWER_RATES, remedies.MORE_ROUTES)
)
LATENTS_IGNORED = State("latents ignored", (remedies.READ_LATENTS, remedies.PACKING, remedies.STDDEV))
LABELS_IGNORED = State("labels ignored", (remedies.CHECK_LABELS, remedies.TRAIN_LONGER))
SOFT_COLLAPSE = State("soft collapse / oscillation", (remedies.POINTS, remedies.IMAGES))
VANISHING_GRADIENT = State(
    "vanishing generator gradient (D too strong)",
    (remedies.POINTS, remedies.IMAGES, remedies.USUAL_RATES, remedies.NON_SATURATING),
)
WEAK_DISCRIMINATOR = State(
    "D too weak (generator fools it with garbage)",
    (remedies.SWAPPED, remedies.POINTS, remedies.IMAGES, remedies.USUAL_RATES, remedies.LARGER_D),
)
MEMORISING_DISCRIMINATOR = State("D memorises the training set", (remedies.AUGMENTATION, remedies.R1, remedies.DROPOUT))
EXPLODING_GRADIENTS = State("exploding gradients", (remedies.POINTS, remedies.IMAGES))
BLURRED = State(
    "samples blurred or smeared", (remedies.POINTS, remedies.IMAGES, remedies.FALLING_RATES, remedies.USUAL_RATES)
)
NOISY = State("samples noisy", (remedies.AVERAGE, remedies.R1, remedies.LOWER_RATES))
COPIES = State("copies of training samples", (remedies.AUGMENTATION, remedies.MORE_DATA))
STALLED = State("learning has stalled far from the data", (remedies.CHECK_RANGE, remedies.POINTS, remedies.IMAGES))
NON_FINITE = State("NaN or infinity", (remedies.WIDER_FLOATS, remedies.LOWER_RATES, remedies.CLIP, remedies.FIND_NAN))
STATES = (
    HEALTHY,
    MODE_COLLAPSE,
    PARTIAL_COLLAPSE,
    COLLAPSE_IN_CLASSES,
    LATENTS_IGNORED,
    LABELS_IGNORED,
    SOFT_COLLAPSE,
    VANISHING_GRADIENT,
    WEAK_DISCRIMINATOR,
    MEMORISING_DISCRIMINATOR,
    EXPLODING_GRADIENTS,
    BLURRED,
    NOISY,
    COPIES,
    STALLED,
    NON_FINITE,
)


def classes_of(gan: GAN) -> set[str]:
    """Return the names of the classes in use, and whether on points, by which some remedies are pointless."""
    parts = (gan, gan.objective, *gan.active_stabilizers)
    return {kind.__name__ for part in parts for kind in type(part).__mro__} | remedies.kind_of(
        gan.generator.sample_shape
    )
