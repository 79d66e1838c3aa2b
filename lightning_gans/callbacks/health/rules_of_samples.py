"""The rules that name a failure by the samples alone: what a survey found, over what real samples would have."""

from __future__ import annotations

from lightning_gans.callbacks.health.signs import MEMORY, WINDOW, Finding, Signs
from lightning_gans.callbacks.health.states import (
    BLURRED,
    COLLAPSE_IN_CLASSES,
    COPIES,
    LABELS_IGNORED,
    LATENTS_IGNORED,
    MODE_COLLAPSE,
    NOISY,
    PARTIAL_COLLAPSE,
    STALLED,
)
from lightning_gans.callbacks.health.thresholds import Thresholds

_NAMED = 5  # missing modes named in one line


def repeated_samples(s: Signs, t: Thresholds) -> Finding | None:
    """Detect a generator that makes a few samples again and again."""
    if not s.now.repeats > t.repeats:
        return None
    if s.now.spread < t.spread and s.now.missing < s.now.modes / 2:
        return COLLAPSE_IN_CLASSES, _inside(s)
    return MODE_COLLAPSE, f"{min(s.now.repeats, 1):.0%} of a few hundred samples have a near copy among the others"


def one_sample(s: Signs, t: Thresholds) -> Finding | None:
    """Detect a generator that makes one sample only, whatever else is wrong."""
    if s.now.diversity < t.constant:
        return MODE_COLLAPSE, f"all fakes are the same: they vary {s.now.diversity:.2g} times as much as the data"
    return None


def little_variety(s: Signs, t: Thresholds) -> Finding | None:
    """Detect samples that vary much less than the data."""
    if s.now.diversity < t.little_diversity:
        return MODE_COLLAPSE, f"fakes vary {s.now.diversity:.2f} times as much as the data"
    return None


def same_in_features(s: Signs, t: Thresholds) -> Finding | None:
    """Detect samples that differ in pixels, and not in what is seen in them."""
    if s.now.variety < t.little_variety:
        return MODE_COLLAPSE, f"fakes vary {s.now.variety:.2f} times as much as the data in features: all look the same"
    return None


def ignored_latents(s: Signs, t: Thresholds) -> Finding | None:
    """Detect samples that depend on something, such as a route, but not on the latents; unless they cover the data."""
    varied = s.now.diversity > t.ignored and not s.now.spread < t.spread
    if s.now.sensitivity < t.ignored and varied and not s.now.coverage > t.ignored_coverage:
        return LATENTS_IGNORED, f"samples of one class and route vary {s.now.sensitivity:.2f} times as much as the data"
    return None


def unlike_the_data(s: Signs, t: Thresholds) -> Finding | None:
    """Detect samples none of which lies among real ones."""
    if not s.are_unlike(t):
        return None
    if s.now.sharpness < t.blurred or s.now.gap > t.smeared_gap:
        return BLURRED, _smeared(s)
    return STALLED, f"hardly any sample lies among real ones (coverage {s.now.coverage:.2f} of real samples')"


def smeared_points(s: Signs, t: Thresholds) -> Finding | None:
    """Detect points that are scattered around the modes."""
    if s.now.width > t.smeared_width and s.now.gap > t.smeared_gap:
        return BLURRED, _smeared(s)
    return None


def blurred_images(s: Signs, t: Thresholds) -> Finding | None:
    """Detect images whose edges are weaker than those of the real images nearest to them."""
    return (BLURRED, _smeared(s)) if s.now.sharpness < t.blurred else None


def other_contrast(s: Signs, t: Thresholds) -> Finding | None:
    """Detect images that are paler or harsher than the data, as those of another range are."""
    if not (s.now.contrast < 1 / t.contrast or s.now.contrast > t.contrast):
        return None
    if s.now.sharpness < t.blurred:
        return BLURRED, _smeared(s)
    return (
        STALLED,
        f"images have {s.now.contrast:.2f} times the contrast of the data: samples in [0, 1], data in [-1, 1]?",
    )


def noisy_images(s: Signs, t: Thresholds) -> Finding | None:
    """Detect images with stronger edges everywhere than real ones, among which they do not lie."""
    if s.now.sharpness > t.noisy and s.now.coverage < t.noisy_coverage:
        return NOISY, f"edges are {s.now.sharpness:.2g} times as strong as those of the nearest real images"
    return None


def missing_modes(s: Signs, t: Thresholds) -> Finding | None:
    """Detect modes or classes of the data without samples, unless most images are of no certain class."""
    if not s.now.missing >= 1 or (s.unread > t.outside and s.now.missing < s.now.modes / 2):
        return None
    names = list(s.now.missing_names)
    shown = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    evidence = f"about {s.now.missing:.0f} of the data's {s.now.modes:.0f} modes have hardly any sample: {shown}"
    only_one = s.now.modes > 2 and s.now.missing >= s.now.modes - 1 and not s.now.outside > t.outside
    return (MODE_COLLAPSE if only_one else PARTIAL_COLLAPSE), evidence


def unequal_modes(s: Signs, t: Thresholds) -> Finding | None:
    """Detect modes that have far more or fewer samples than in the data, unless most images are of no certain class."""
    if s.now.imbalance > t.imbalance and not s.unread > t.outside:
        return PARTIAL_COLLAPSE, f"samples are spread unevenly over the data's modes (KL {s.now.imbalance:.2f} nats)"
    return None


def narrow_classes(s: Signs, t: Thresholds) -> Finding | None:
    """Detect little variety inside of classes or modes."""
    if s.now.spread < t.spread or s.now.least < t.least_spread:
        return COLLAPSE_IN_CLASSES, _inside(s)
    return None


def ignored_labels(s: Signs, t: Thresholds) -> Finding | None:
    """Detect samples that do not look like the class that they were made for."""
    if s.now.agreement < t.agreement:
        return LABELS_IGNORED, f"samples look like their class {s.now.agreement:.2f} times as often as real ones"
    return None


def copied_images(s: Signs, t: Thresholds) -> Finding | None:
    """Detect copies of training images."""
    if s.now.copies > t.copies:
        return COPIES, f"{s.now.copies:.0%} of the samples are near copies of one of a few hundred training images"
    return None


def stalled(s: Signs, t: Thresholds) -> Finding | None:
    """Detect samples that have stayed far from the data in any other way for long."""
    if len(s.readings) < MEMORY + WINDOW:
        return None
    scattered = s.now.coverage < t.stalled_coverage and s.now.density < t.stalled_density
    if s.now.distance > t.stalled_distance or scattered:
        return STALLED, (
            f"samples are {s.now.distance:.2g} from the data in features, 1 being far apart, and near "
            f"{s.now.coverage:.0%} of what real samples are near"
        )
    return None


RULES = (
    ignored_latents,
    unlike_the_data,
    smeared_points,
    blurred_images,
    noisy_images,
    missing_modes,
    unequal_modes,
    narrow_classes,
    ignored_labels,
    copied_images,
    stalled,
)
"""Those that are tried last, in order; the first two are tried before the rules of a collapse."""


def _inside(s: Signs) -> str:
    return (
        f"samples of one class or mode vary {s.now.spread:.2f} times as much as real ones (the median of them, and "
        f"{s.now.least:.2f} in the least)"
    )


def _smeared(s: Signs) -> str:
    if s.now.sharpness < 1:
        return f"edges are {s.now.sharpness:.2f} times as strong as those of the nearest real images"
    return f"samples are {s.now.width:.2g} times as far from the nearest real one as real samples are"
