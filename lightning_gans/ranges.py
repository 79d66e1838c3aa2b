"""Ranges of image data: which are wrong or suspicious, how to bring them to [−1, 1], and that each is said once."""

from __future__ import annotations

from torch import Tensor

_USUAL = (  # smallest and largest value, and what brings it to [−1, 1]; the first that holds the data is meant
    (0.0, 1.0, "x * 2 - 1"),
    (0.0, 255.0, "x / 127.5 - 1"),
    (-128.0, 127.0, "(x + 128) / 127.5 - 1"),
    (0.0, 65535.0, "x / 32767.5 - 1"),
)
_IMAGENET = (-2.2, 2.7)  # of pixels in [0, 1], less their mean and divided by their standard deviation


def has_images(x: Tensor) -> bool:
    """Return whether samples (N, …) are images (N, C, H, W)."""
    return x.dim() == 4


def in_unit_range(low: float, high: float) -> bool:
    """Return whether images that span this range look like [0, 1]: no pixel is darker than mid-grey in [−1, 1]."""
    return 0 <= low < high <= 1.01


def is_outside(low: float, high: float) -> bool:
    """Return whether images that span this range leave [−1, 1], by more than rounding."""
    return low < -1.01 or high > 1.01


def spans(low: float, high: float) -> str:
    """Return a range in words."""
    return f"[{round(low, 3):.6g}, {round(high, 3):.6g}]"


def remedy_of_range(low: float, high: float) -> str:
    """Return what brings images that span a range to [−1, 1]."""
    if _IMAGENET[0] <= low < -1.01 and high <= _IMAGENET[1]:
        return "Normalize(0.5, 0.5) behind ToTensor(), not the mean and standard deviation of ImageNet"
    for least, most, remedy in _USUAL:
        if least <= low + 0.01 and high <= most + 0.01:
            return f"{remedy} for images in [{least:g}, {most:g}]"
    if low >= 0:
        return "x / (x.max() / 2) - 1, with the largest value that a pixel can have"
    return "(x - x.min()) / (x.max() - x.min()) * 2 - 1, with the smallest and the largest value that a pixel can have"


class RangeWarnings:
    """The warnings of a run, or of one score, about ranges of images: a fault is said once, by who finds it first.

    The faults are "unit", images that look like [0, 1], "outside", images that leave [−1, 1], and others by their
    names. Generated images that have the fault of the real ones follow them, and are no other fault.
    """

    def __init__(self) -> None:
        self._said: set[str] = set()

    def is_new(self, fault: str) -> bool:
        """Return whether a fault is still to be said; the next time it is not."""
        new = fault not in self._said
        self._said.add(fault)
        return new

    def clear(self) -> None:
        """Begin a new run."""
        self._said.clear()
