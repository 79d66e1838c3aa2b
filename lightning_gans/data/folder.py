"""A folder of pictures in any format that Pillow reads."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.data.base import BatchDataset, GANData, Split, as_index, to_unit_range
from lightning_gans.data.picture import is_picture_name, read_picture, why_unreadable
from lightning_gans.step import Batch


class ImageFolder(GANData):
    """All pictures of a folder and of its sub-folders, of any format and size, as squares or rectangles.

    A picture is turned upright by its EXIF tag, composited on white where it is transparent, converted to eight bits
    and to `channels`, scaled until it just covers `size` (antialiased), and cropped at the centre; an animation gives
    its first frame. With `labels=True` the immediate sub-folders are the classes, in the order of their names. The
    split depends on the files' names alone.

    Hidden files, links, pipes and the like are ignored: nothing outside the folder is read. Formats that Pillow
    gives to other programs (EPS, WMF) are never read, whatever the file's name, nor are pictures of more than
    `PIL.Image.MAX_IMAGE_PIXELS`.

    Args:
        root: the folder.
        size: side of the square images in pixels, or (height, width); at least 8.
        channels: 3 for colour, 1 for grey.
        val_fraction: share of the pictures used for validation, in [0, 1).
        test_fraction: share of the pictures used for testing, in [0, 1).
        skip_corrupt: leave unreadable pictures out, with one warning that names them. Every picture is then decoded
            once at set-up, which takes milliseconds each; otherwise only headers are checked.
        batch_size: images in a batch, in each process.
        labels: whether batches include the class.
        num_workers: processes that read pictures beside the main one.

    Raises:
        ValueError: for an argument out of range, an empty folder, an unreadable picture, or `labels=True` without class
            folders.
        FileNotFoundError: where the folder does not exist.
    """

    def __init__(
        self,
        root: str,
        size: int | tuple[int, int] = 64,
        channels: Literal[1, 3] = 3,
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        skip_corrupt: bool = False,
        batch_size: int = 64,
        labels: bool = False,
        num_workers: int = 2,
    ):
        super().__init__(batch_size, labels, num_workers)
        height, width = (size, size) if isinstance(size, int) else size
        for side in (height, width):
            arguments.whole(self, 8, size=side)
        arguments.one_of(self, (1, 3), channels=channels)
        arguments.fraction(self, include_one=False, val_fraction=val_fraction, test_fraction=test_fraction)
        if not val_fraction + test_fraction < 1:
            raise ValueError(
                f"ImageFolder(val_fraction={val_fraction}, test_fraction={test_fraction}): expected a sum below "
                "1, which leaves pictures for training; use smaller fractions."
            )
        self.root = root
        self.size = (height, width)
        self.channels = channels
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.skip_corrupt = skip_corrupt

    @property
    @override
    def sample_shape(self) -> tuple[int, ...]:
        return (self.channels, *self.size)

    @override
    def count_classes(self) -> int:
        return len(self.classes)

    @cached_property
    def classes(self) -> list[str]:
        """The names of the sub-folders that hold pictures, sorted."""
        folders = [entry for entry in self._folder.iterdir() if entry.is_dir() and not _is_hidden_or_link(entry)]
        names = sorted(folder.name for folder in folders if next(self._pictures(folder), None))
        if not names:
            raise ValueError(
                f"labels=True needs one sub-folder of pictures per class in {self._folder}, and there is "
                "none; make them, or use labels=False"
            )
        return names

    @property
    def _folder(self) -> Path:
        folder = Path(self.root).expanduser()
        if not folder.is_dir():
            raise FileNotFoundError(f"root={self.root} is not a folder; give the folder that holds the pictures")
        return folder

    @override
    def load(self, split: Split) -> BatchDataset:
        files = self._files
        val, test = _share(self.val_fraction, len(files)), _share(self.test_fraction, len(files))
        if val + test >= len(files):
            raise ValueError(
                f"{self._folder} holds too few pictures ({len(files)}) to split in three; add pictures, or "
                "use val_fraction=0 and test_fraction=0"
            )
        order = torch.randperm(len(files), generator=torch.Generator().manual_seed(0)).tolist()
        parts = {"val": order[:val], "test": order[val : val + test], "train": order[val + test :]}
        chosen = [files[index] for index in sorted(parts[split])]
        y = None
        if self.labels:
            number = {name: index for index, name in enumerate(self.classes)}
            y = torch.tensor([number[name.split("/")[0]] for name in chosen], dtype=torch.int64)
        return _PictureFiles([self._folder / name for name in chosen], y, self.size, self.channels)

    @cached_property
    def _files(self) -> list[str]:
        """The readable pictures, as sorted paths relative to the folder, with forward slashes."""
        folder = self._folder
        unopened: list[OSError] = []
        files = sorted(path.relative_to(folder).as_posix() for path in self._pictures(folder, unopened))
        loose = [name for name in files if "/" not in name] if self.labels else []
        if loose and self.classes:  # `classes` raises an error of its own where there are no class folders at all
            raise ValueError(
                f"{_named(loose)} in {folder} has no class; move it into a class folder or use labels=False"
            )
        check = partial(why_unreadable, decode=self.skip_corrupt)
        with ThreadPoolExecutor(8) as pool:
            reasons = list(pool.map(check, [folder / name for name in files]))
        bad = [f"{name} ({reason})" for name, reason in zip(files, reasons, strict=True) if reason]
        if bad and not self.skip_corrupt:
            raise ValueError(
                f"{len(bad)} of {len(files)} files in {folder} cannot be read as pictures: {_named(bad)}; "
                "remove them or use skip_corrupt=True (--data.skip_corrupt true)"
            )
        if bad:
            rank_zero_warn(f"Left out {len(bad)} of {len(files)} files in {folder}: {_named(bad)}")
        if unopened:
            names = [f"{error.filename} ({error.strerror})" for error in unopened]
            rank_zero_warn(f"Left out {len(unopened)} folders in {folder} that cannot be opened: {_named(names)}")
        if len(bad) == len(files):
            raise ValueError(
                f"{folder} holds no readable picture (hidden files and links are ignored); add pictures in a format "
                "that Pillow reads, such as PNG or JPEG"
            )
        return [name for name, reason in zip(files, reasons, strict=True) if not reason]

    def _pictures(self, folder: Path, unopened: list[OSError] | None = None) -> Iterator[Path]:
        """The pictures under a folder; links are not followed, since they may lead out of it or make duplicates."""

        def cannot_open(error: OSError) -> None:
            if not self.skip_corrupt:
                raise ValueError(
                    f"the folder {_shown(str(error.filename))} cannot be opened ({error.strerror}); make it readable, "
                    "or use skip_corrupt=True (--data.skip_corrupt true)"
                )
            if unopened is not None:
                unopened.append(error)

        for place, folders, names in os.walk(folder, onerror=cannot_open, followlinks=False):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for path in (Path(place, name) for name in names):
                if is_picture_name(path.name) and not _is_hidden_or_link(path) and path.is_file():
                    yield path  # is_file() leaves out pipes, where reading would block for ever


def _share(fraction: float, count: int) -> int:
    return max(1, round(fraction * count)) if fraction > 0 else 0


def _named(names: list[str], most: int = 5) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(_shown, names[:most])) + rest


def _shown(name: str) -> str:
    """Return a name on one line, with control characters and undecodable bytes escaped."""
    return name if name.isprintable() else ascii(name)[1:-1]


def _is_hidden_or_link(path: Path) -> bool:
    return path.name.startswith(".") or path.is_symlink()


class _PictureFiles(BatchDataset):
    def __init__(self, files: list[Path], y: Tensor | None, size: tuple[int, int], channels: int):
        self.files = files
        self.y = y
        self.size = size
        self.channels = channels

    @override
    def __len__(self) -> int:
        return len(self.files)

    @override
    def __getitems__(self, indices: Sequence[int]) -> Batch:
        pictures = [read_picture(self.files[index], self.size, self.channels) for index in indices]
        x = to_unit_range(torch.stack(pictures))
        return x if self.y is None else (x, self.y[as_index(indices)])
