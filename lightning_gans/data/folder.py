"""A folder of pictures in any format that Pillow reads."""

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.data.base import BatchDataset, GANData, Split
from lightning_gans.data.folder_words import say_depth, say_odd_classes, say_splits, say_untrained_classes
from lightning_gans.data.found_pictures import (
    FoundPictures,
    folders_with_pictures,
    is_split_name,
    named,
    refuse_splits_below,
    shown,
    split_folders,
    visible_folders,
)
from lightning_gans.data.picture import PictureFiles, why_unreadable


class ImageFolder(GANData):
    """All pictures of a folder and of its sub-folders, of any format and size, as squares or rectangles.

    A picture is turned upright by its EXIF tag, composited on white where it is transparent, converted to eight bits
    and to `channels`, scaled until it just covers `size` (antialiased), and cropped at the centre; an animation gives
    its first frame. With `labels=True` the immediate sub-folders are the classes, in the order of their names. The
    split depends on the files' names alone.

    Where the sub-folders are splits (train or training; val, valid, validation or dev; test or testing; in upper or
    lower case), each is the split of its name and holds the class folders. A split without one is a share of train.

    Hidden files, pipes and the like are ignored, and so are links unless `follow_links` is set: nothing outside the
    folder is read. What else is left out is said: links, files of other formats, empty class folders, classes without a
    training picture. Formats that Pillow gives to other programs (EPS, WMF) are never read, whatever the file's name,
    nor are pictures of more than `PIL.Image.MAX_IMAGE_PIXELS`.

    Args:
        root: the folder.
        size: side of the square images in pixels, or (height, width); at least 8.
        channels: 3 for colour, 1 for grey.
        val_fraction: share of the pictures used for validation, in [0, 1), where there is no folder of them.
        test_fraction: share of the pictures used for testing, in [0, 1), where there is no folder of them.
        skip_corrupt: leave unreadable pictures out, with one warning that names them. Every picture is then decoded
            once at set-up, which takes milliseconds each; otherwise only headers are checked.
        follow_links: read linked files and folders too, which may lie outside the folder.
        max_value: the value of white in pictures of more than 8 bits, such as 4095 for 12 bits in files of 16; None is
            65535 or, of floats, 1, and 255 in pictures with a value above 1.
        batch_size: images in a batch, in each process.
        labels: whether batches include the class.
        num_workers: processes that read pictures beside the main one.
        flips: mirror training images, left to right, with probability ½; not for digits or letters.

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
        follow_links: bool = False,
        max_value: int | None = None,
        batch_size: int = 64,
        labels: bool = False,
        num_workers: int = 2,
        flips: bool = False,
    ):
        super().__init__(batch_size, labels, num_workers)
        height, width = (size, size) if isinstance(size, int) else size
        for side in (height, width):
            arguments.whole(self, 8, size=side)
        arguments.one_of(self, (1, 3), channels=channels)
        arguments.whole(self, 1, max_value=max_value)
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
        self.follow_links = follow_links
        self.max_value = max_value
        self.flips = flips

    @property
    @override
    def sample_shape(self) -> tuple[int, ...]:
        return (self.channels, *self.size)

    @override
    def count_classes(self) -> int:
        return len(self.classes)

    @cached_property
    def classes(self) -> list[str]:
        """The names of the class folders that hold pictures, of all splits, sorted."""
        names = sorted({name for home in self._homes for name in self._folders_with_pictures(home)})
        if not names:
            links = 0 if self.follow_links else len(FoundPictures(self._folder, skip_closed=True).all_links())
            remedy = "use follow_links=True, --data.follow_links true, to read them"
            linked = f" ({links} links are left out; {remedy})" if links else ""
            raise ValueError(
                f"labels=True needs one sub-folder of pictures per class in {shown(str(self._homes[0]))}, and there is "
                f"none{linked}; make them, or use labels=False"
            )
        return names

    @property
    def _folder(self) -> Path:
        folder = Path(self.root).expanduser()
        if not folder.is_dir():
            raise FileNotFoundError(f"root={self.root} is not a folder; give the folder that holds the pictures")
        return folder

    @property
    def _homes(self) -> list[Path]:
        """The folders that hold class folders."""
        return [self._folder / name for name in self._splits.values()] or [self._folder]

    def _folders_with_pictures(self, folder: Path) -> list[str]:
        return folders_with_pictures(folder, self.follow_links, self.skip_corrupt)

    @cached_property
    def _splits(self) -> dict[Split, str]:
        """The names of the sub-folders that are splits; empty where they are not."""
        folder = self._folder
        usual = [name for name in visible_folders(folder, self.follow_links) if is_split_name(name)]
        names = self._folders_with_pictures(folder) if usual else []
        splits = split_folders(folder, names)
        if not splits:
            refuse_splits_below(folder, self.follow_links)
        return splits

    @override
    def load(self, split: Split) -> BatchDataset:
        files = self._files_of(split)
        y = None
        if self.labels:
            number = {name: index for index, name in enumerate(self.classes)}
            depth = 1 if self._splits else 0
            y = torch.tensor([number[name.split("/")[depth]] for name in files], dtype=torch.int64)
            if split == "train":
                say_untrained_classes(self._folder, self.classes, set(y.tolist()))
        return PictureFiles([self._folder / name for name in files], y, self.size, self.channels, self.max_value)

    def _files_of(self, split: Split) -> list[str]:
        """The files of a split: those of its folder, or its share of the files that no other split has."""
        if split in self._splits and split != "train":
            return [name for name in self._files if name.startswith(f"{self._splits[split]}/")]
        prefix = f"{self._splits['train']}/" if self._splits else ""
        files = [name for name in self._files if name.startswith(prefix)]
        val = 0 if "val" in self._splits else _share(self.val_fraction, len(files))
        test = 0 if "test" in self._splits else _share(self.test_fraction, len(files))
        if val + test >= len(files):
            raise ValueError(
                f"{self._folder / prefix} holds too few pictures ({len(files)}) to split in three; add pictures, or "
                "use val_fraction=0 and test_fraction=0"
            )
        order = torch.randperm(len(files), generator=torch.Generator().manual_seed(0)).tolist()
        parts = {"val": order[:val], "test": order[val : val + test], "train": order[val + test :]}
        return [files[index] for index in sorted(parts[split])]

    @cached_property
    def _files(self) -> list[str]:
        """The readable pictures, as sorted paths relative to the folder, with forward slashes."""
        folder, splits = self._folder, self._splits
        pictures = FoundPictures(folder, self.follow_links, self.skip_corrupt)
        files = sorted(path.relative_to(folder).as_posix() for path in pictures)
        loose = [name for name in files if name.count("/") < (2 if splits else 1)] if self.labels else []
        if splits:
            beside = [name for name in files if name.split("/")[0] not in splits.values()]
            files = [name for name in files if name.split("/")[0] in splits.values()]
            known = set(files)
            loose = [name for name in loose if name in known]
            if beside:
                rank_zero_warn(f"Left out {len(beside)} pictures beside the folders of the splits: {named(beside)}")
        if loose and self.classes:  # `classes` raises an error of its own where there are no class folders at all
            raise ValueError(
                f"{named(loose)} in {folder} has no class; move it into a class folder or use labels=False"
            )
        check = partial(why_unreadable, decode=self.skip_corrupt)
        with ThreadPoolExecutor(8) as pool:
            reasons = list(pool.map(check, [folder / name for name in files]))
        bad = [f"{name} ({reason})" for name, reason in zip(files, reasons, strict=True) if reason]
        if bad and not self.skip_corrupt:
            raise ValueError(
                f"{len(bad)} of {len(files)} files in {folder} cannot be read as pictures: {named(bad)}; "
                "remove them or use skip_corrupt=True (--data.skip_corrupt true)"
            )
        if bad:
            rank_zero_warn(f"Left out {len(bad)} of {len(files)} files in {folder}: {named(bad)}")
        if len(bad) == len(files):
            raise ValueError(
                f"{folder} holds no readable picture (hidden files are ignored){pictures.instead()}; add "
                "pictures in a format that Pillow reads, such as PNG or JPEG"
            )
        for words in pictures.left_out():
            rank_zero_warn(words)
        good = [name for name, reason in zip(files, reasons, strict=True) if not reason]
        say_splits(folder, splits.values(), good)
        if self.labels:
            say_odd_classes(folder, self._homes, self.classes, self.follow_links)
        if self.max_value is None:
            say_depth(folder, good)
        return good


def _share(fraction: float, count: int) -> int:
    return max(1, round(fraction * count)) if fraction > 0 else 0
