"""What is said of a folder of pictures: its splits, its classes, and pictures that would come out black."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn

from lightning_gans.data.found_pictures import folders_with_pictures, named, shown, visible_folders
from lightning_gans.data.picture import brightest

_MOST_DECODED = 32


def say_splits(folder: Path, splits: Iterable[str], files: list[str]) -> None:
    """Say how many pictures each folder of a split has."""
    counts = [f"{name}/ {sum(one.startswith(f'{name}/') for one in files)}" for name in splits]
    if counts:
        rank_zero_info(f"The splits of {folder} are its folders: {', '.join(counts)} pictures.")


def say_odd_classes(folder: Path, homes: list[Path], classes: list[str], follow_links: bool) -> None:
    """Warn of class folders without a picture, and of a single class that seems to hold the classes itself."""
    empty = []
    for home in homes:
        held = set(folders_with_pictures(home, follow_links, skip_closed=True))
        names = [name for name in visible_folders(home, follow_links) if name not in held]
        empty += [(home / name).relative_to(folder).as_posix() for name in names]
    if empty:
        rank_zero_warn(f"Left out {len(empty)} class folders without a picture in {folder}: {named(empty)}")
    if len(classes) == 1 and (homes[0] / classes[0]).is_dir():
        inner = folders_with_pictures(homes[0] / classes[0], follow_links, skip_closed=True)
        if len(inner) > 1:
            rank_zero_warn(
                f"{folder} has one class, {shown(classes[0])}; if the classes are its folders ({named(inner)}), give "
                f"root={homes[0] / classes[0]}"
            )


def say_untrained_classes(folder: Path, classes: list[str], trained: set[int]) -> None:
    """Warn of classes without a picture among those to train on."""
    absent = [name for number, name in enumerate(classes) if number not in trained]
    if absent:
        rank_zero_warn(
            f"{len(absent)} of {len(classes)} classes in {folder} have no training picture, so that the generator "
            f"cannot learn them: {named(absent)}"
        )


def say_depth(folder: Path, files: list[str]) -> None:
    """Warn where the deep pictures among a few come out nearly black, or white, as their white is another value."""
    found = [brightest(folder / name) for name in files[:: max(1, len(files) // _MOST_DECODED)]]
    largest = max((value for value, floats in found if not floats), default=0.0)
    of_floats = max((value for value, floats in found if floats), default=0.0)
    if 0 < largest < 2**14:
        white = next(2**bits - 1 for bits in (8, 10, 12, 14) if largest < 2**bits)
        words = "of 65535, and come out nearly black"
    elif largest > 65535:
        white, words = math.ceil(largest), "and come out white above 65535"
    elif of_floats > 255:
        largest, white, words = of_floats, math.ceil(of_floats), "and come out white above 255"
    else:
        return
    rank_zero_warn(
        f"The pictures of more than 8 bits in {folder} have values up to {largest:.6g} {words}; if {white} is white, "
        f"use max_value={white} (--data.max_value {white})"
    )
