"""The pictures in a folder, found by their names, what is left out, and whether its sub-folders are splits."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lightning_gans.data.base import Split
from lightning_gans.data.picture import is_picture_name

_SPLIT_NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "holdout"),
}
_LIKE_A_SPLIT = re.compile(
    rf"(?:.+[_\-. ])?(?P<name>{'|'.join(name for usual in _SPLIT_NAMES.values() for name in usual)})"
    r"(?:[_\-. ]?(?:set|data|images|imgs|split|\d+|[ab]))?",
    re.IGNORECASE,
)
_LOST = " that lead nowhere or back to a folder above them"


class FoundPictures:
    """The pictures under a folder, by name; iterating finds them, and notes what is left out.

    Hidden files and folders are not counted. Links are left out unless they are to be followed, in which case one that
    leads back to a folder above it is left out.

    Args:
        folder: where to look.
        follow_links: whether to follow links to files and folders.
        skip_closed: leave out folders that cannot be opened instead of raising `ValueError`.

    Attributes:
        links: links that were left out.
        closed: folders that cannot be opened, with the reason.
        others: how many files are no pictures by their names, by suffix.
    """

    def __init__(self, folder: Path, follow_links: bool = False, skip_closed: bool = False):
        self.folder = folder
        self.follow_links = follow_links
        self.skip_closed = skip_closed
        self.links: list[str] = []
        self.closed: list[str] = []
        self.others: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Path]:
        for place, folders, names in os.walk(self.folder, onerror=self._cannot_open, followlinks=self.follow_links):
            here = Path(place)
            folders[:] = [name for name in sorted(folders) if not self._is_left_out(here / name, folder=True)]
            for path in (here / name for name in names):
                if self._is_left_out(path, folder=False):
                    continue
                if not is_picture_name(path.name):
                    self.others[path.suffix.lower()] += 1
                elif path.is_file():  # no pipe, where reading would block for ever
                    yield path

    def all_links(self) -> list[str]:
        """Return the links that are left out under the folder."""
        for _ in self:
            pass
        return self.links

    def endings(self) -> str:
        """Return the endings of files that are no pictures by their names, with their numbers."""
        most = sorted(self.others.items(), key=lambda one: (-one[1], one[0]))[:8]
        return ", ".join(f"{shown(suffix) or 'no ending'} ({count})" for suffix, count in most)

    def instead(self) -> str:
        """Return in words what a folder without pictures holds instead."""
        links = f"{len(self.links)} links"
        links += _LOST if self.follow_links else ", which follow_links=True (--data.follow_links true) reads"
        parts = [links] * bool(self.links) + [f"files ending in {self.endings()}"] * bool(self.others)
        return f", but {' and '.join(parts)}" if parts else ""

    def left_out(self) -> list[str]:
        """Return in words what was left out so far, a line for each kind."""
        links = f"{len(self.links)} links in {self.folder}" + (_LOST if self.follow_links else "")
        may_follow = self.links and not self.follow_links
        remedy = "; use follow_links=True (--data.follow_links true) to read them" if may_follow else ""
        others = f"{sum(self.others.values())} files in {self.folder} that are no pictures by their names"
        closed = f"{len(self.closed)} folders in {self.folder} that cannot be opened"
        kinds = (closed, named(self.closed)), (links, named(self.links) + remedy), (others, self.endings())
        return [f"Left out {what}: {names}" for what, names in kinds if names]

    def _is_left_out(self, path: Path, folder: bool) -> bool:
        if path.name.startswith("."):
            return True
        if not path.is_symlink():
            return False
        leads = path.exists() and not (folder and path.parent.resolve().is_relative_to(path.resolve()))
        if self.follow_links and leads:
            return False
        if folder or is_picture_name(path.name):
            self.links.append(path.relative_to(self.folder).as_posix())
        return True

    def _cannot_open(self, error: OSError) -> None:
        name = shown(str(error.filename))
        if not self.skip_closed:
            raise ValueError(
                f"the folder {name} cannot be opened ({error.strerror}); make it readable, or use skip_corrupt=True "
                "(--data.skip_corrupt true)"
            )
        self.closed.append(f"{name} ({error.strerror})")


def folders_with_pictures(folder: Path, follow_links: bool, skip_closed: bool) -> list[str]:
    """Return the names of the immediate sub-folders that hold pictures, at any depth, sorted."""
    names = visible_folders(folder, follow_links)
    return [name for name in names if any(True for _ in FoundPictures(folder / name, follow_links, skip_closed))]


def visible_folders(folder: Path, follow_links: bool) -> list[str]:
    """Return the names of the immediate sub-folders that are not hidden, sorted; linked ones only if followed."""
    try:
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries if entry.is_dir(follow_symlinks=follow_links)]
    except OSError:  # iterating over its pictures says so
        return []
    return sorted(name for name in found if not name.startswith("."))


def split_folders(folder: Path, names: list[str]) -> dict[Split, str]:
    """Return which of a folder's sub-folders hold its splits; none where they are not splits.

    They are where one is named train or training, in any case of letters, and another after validation or test, or
    where there is no other. Names such as training_set, train2017 or seg_train are those of splits where all of the
    sub-folders have such names.

    Raises:
        ValueError: for two folders of one split, and for folders of validation and test pictures alone.
    """
    found: dict[Split, str] = {}
    core = {name: name.lower() for name in names}
    if not any(map(_is_usual, names)):
        matches = {name: _LIKE_A_SPLIT.fullmatch(name) for name in names}
        core = {name: match["name"].lower() for name, match in matches.items() if match}
        core = core if len(core) == len(names) > 1 else {}
    for split, usual in _SPLIT_NAMES.items():
        own = [name for name in core if core[name] in usual]
        if len(own) > 1:
            raise ValueError(f"{folder} holds {named(own)}, all of which name one split ({split}); keep one of them")
        if own:
            found[split] = own[0]
    if "train" not in found and len(found) == len(names) > 1:
        raise ValueError(
            f"{folder} holds {named(names)} and no train/, so that test pictures would be trained on; give a root with "
            "train/ in it, or the folder of the pictures to train on"
        )
    return found if "train" in found and (len(found) > 1 or len(names) == 1) else {}


def is_split_name(name: str) -> bool:
    """Return whether a folder may be named after one of the splits: as train is, or training_set, or train2017."""
    return _LIKE_A_SPLIT.fullmatch(name) is not None


def _is_usual(name: str) -> bool:
    return any(name.lower() in usual for usual in _SPLIT_NAMES.values())


def refuse_splits_below(folder: Path, follow_links: bool) -> None:
    """Refuse a folder whose splits lie one level lower, where test pictures would be trained on unseen.

    Raises:
        ValueError: naming the folder that holds them.
    """
    names = visible_folders(folder, follow_links)
    for name in names:
        usual = [one for one in visible_folders(folder / name, follow_links) if is_split_name(one)]
        if any(one.lower() in _SPLIT_NAMES["train"] for one in usual) and len(usual) > 1:
            refusal = f"{folder} has its splits one level lower, {named([f'{name}/{one}' for one in usual])}"
            if len(names) == 1:
                raise ValueError(f"{refusal}; give root={folder / name}")
            raise ValueError(f"{refusal}; put the splits first: train/<class>/")


def named(names: list[str], most: int = 5) -> str:
    """Return a list of names on one line, cut after a few."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + rest


def shown(name: str) -> str:
    """Return a name on one line, with control characters and undecodable bytes escaped."""
    return name if name.isprintable() else ascii(name)[1:-1]
