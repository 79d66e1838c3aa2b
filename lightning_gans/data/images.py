"""Image data sets held in memory: scikit-learn's digits, MNIST, Fashion-MNIST and CIFAR-10."""

import contextlib
import io
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.data.base import BatchDataset, GANData, Samples, Split


class Digits(GANData):
    """The 1,797 grey 8 × 8 handwritten digits that come with scikit-learn; nothing is downloaded.

    The split is fixed and stratified: a tenth of each class for validation, a tenth for testing.

    Args:
        size: side of the square images in pixels, at least 8; beyond 8 they are enlarged (bicubic).
        batch_size: images in a batch, in each process.
        labels: whether batches include the digit, 0–9.
        num_workers: processes that make batches beside the main one; 0 is fastest here.

    Raises:
        ValueError: for an argument out of range.

    Reference:
        Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository,
        1998 (its test set, as scikit-learn ships it).
    """

    def __init__(self, size: int = 8, batch_size: int = 64, labels: bool = False, num_workers: int = 0):
        super().__init__(batch_size, labels, num_workers)
        arguments.whole(self, 8, size=size)
        self.size = size

    @property
    @override
    def sample_shape(self) -> tuple[int, ...]:
        return (1, self.size, self.size)

    @override
    def count_classes(self) -> int:
        return 10

    @override
    def load(self, split: Split) -> BatchDataset:
        from sklearn.datasets import load_digits

        digits = load_digits()
        x = torch.from_numpy(digits.images).float().div(8).sub(1).unsqueeze(1)
        y = torch.from_numpy(digits.target).long()
        chosen = _stratified(y, split)
        x = x[chosen]
        if self.size != 8:
            x = F.interpolate(x, size=(self.size, self.size), mode="bicubic", antialias=True).clamp(-1, 1)
        return Samples(x, y[chosen] if self.labels else None)


def _stratified(y: Tensor, split: Split) -> Tensor:
    """Return the indices of a split: of each class a tenth validates, a tenth tests, and the rest trains."""
    generator = torch.Generator().manual_seed(0)
    chosen = []
    for label in y.unique():
        members = (y == label).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        tenth = len(members) // 10
        parts: dict[Split, Tensor] = {
            "val": members[:tenth],
            "test": members[tenth : 2 * tenth],
            "train": members[2 * tenth :],
        }
        chosen.append(parts[split])
    return torch.cat(chosen).sort().values


class TorchvisionData(GANData):
    """An image data set that torchvision downloads, held in memory; some training images are used for validation.

    Subclasses name torchvision's class in `source`, its folder below `root` in `folder`, and the native shape of an
    image in `native_shape`. Testing uses the published test set.

    Args:
        root: folder of the data set's own folder; the files are downloaded to it where they are missing.
        size: side of the square images in pixels, at least 8; None keeps the native size.
        val_size: training images used for validation, at least 0; always the same ones.
        batch_size: images in a batch, in each process.
        labels: whether batches include the class.
        num_workers: processes that make batches beside the main one; 0 is fastest here.
        flips: mirror training images, left to right, with probability ½; not for digits or letters.

    Raises:
        ValueError: for an argument out of range.
        FileNotFoundError: where the files are missing and cannot be downloaded.
    """

    source: str
    folder: str
    native_shape: tuple[int, int, int]

    def __init__(
        self,
        root: str = "data",
        size: int | None = None,
        val_size: int = 5_000,
        batch_size: int = 64,
        labels: bool = False,
        num_workers: int = 0,
        flips: bool = False,
    ):
        super().__init__(batch_size, labels, num_workers)
        arguments.whole(self, 8, size=size)
        arguments.whole(self, 0, val_size=val_size)
        self.root = root
        self.size = size
        self.val_size = val_size
        self.flips = flips

    @property
    @override
    def sample_shape(self) -> tuple[int, ...]:
        channels, height, width = self.native_shape
        return (channels, self.size or height, self.size or width)

    @override
    def count_classes(self) -> int:
        return 10

    def prepare_data(self) -> None:
        """Download the files where they are missing."""
        try:
            read_torchvision(self.source, self.root, self.folder, download=False, train=True)
        except FileNotFoundError:
            read_torchvision(self.source, self.root, self.folder, download=True, train=True)

    @override
    def load(self, split: Split) -> BatchDataset:
        x, y = self.images(split)
        return Samples(x, y if self.labels else None)

    def images(self, split: Split) -> tuple[Tensor, Tensor]:
        """Return the images of a split as bytes (M, C, H, W), resized, and their classes (M,)."""
        train = split != "test"
        source = read_torchvision(self.source, self.root, self.folder, download=False, train=train)
        x = torch.as_tensor(source.data)
        x = x.unsqueeze(1) if x.ndim == 3 else x.permute(0, 3, 1, 2)
        y = torch.as_tensor(source.targets).long()
        if train:
            if self.val_size >= len(x):
                raise ValueError(
                    f"val_size={self.val_size} leaves nothing of the {len(x)} training images of {self.source}; "
                    f"use val_size < {len(x)}"
                )
            order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
            chosen = order[: self.val_size] if split == "val" else order[self.val_size :]
            x, y = x[chosen.sort().values], y[chosen.sort().values]
        return _resized(x, self.sample_shape[1:]).contiguous(), y


def _resized(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize bytes (M, C, H, W), bicubic and antialiased, in parts to save memory."""
    if x.shape[2:] == size or len(x) == 0:
        return x.reshape(-1, x.shape[1], *size)
    parts = [F.interpolate(part.float(), size=size, mode="bicubic", antialias=True) for part in x.split(1024)]
    return torch.cat([part.round().clamp(0, 255).byte() for part in parts])


def read_torchvision(
    source: str, root: str, folder: str, download: bool, needed: str = "a network", **options: Any
) -> Any:
    """Return a data set of torchvision, or raise an error of one line: what is missing, where, and the remedy.

    `needed` says what a download takes, and `options` go to torchvision.

    Raises:
        FileNotFoundError: where files are missing and `download` is False, or the download fails.
        ValueError: where files are damaged.
    """
    from torchvision import datasets

    place = Path(root).expanduser() / folder
    if download:
        rank_zero_info(f"Downloading {source} to {place}")
    quiet = io.StringIO()
    try:
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            return getattr(datasets, source)(root=Path(root).expanduser(), download=download, **options)
    except (RuntimeError, OSError, ImportError) as error:
        tried = " and could not be downloaded" if download else ""
        raise FileNotFoundError(
            f"{source} is missing or incomplete in {place}{tried} ({type(error).__name__}); copy its files "
            f"to that folder, or run once with {needed}"
        ) from None
    except Exception as error:
        raise ValueError(
            f"{source} has damaged files in {place} ({type(error).__name__}); delete that folder and copy or "
            f"download it again"
        ) from None


class MNIST(TorchvisionData):
    """Handwritten digits: 60,000 for training and validation, 10,000 for testing; grey 28 × 28.

    The files are in `MNIST/raw` below `root`; labels are the digits 0–9. Arguments are those of `TorchvisionData`.

    Reference:
        LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning Applied to Document Recognition,
        Proceedings of the IEEE, 1998.
    """

    source = "MNIST"
    folder = "MNIST/raw"
    native_shape = (1, 28, 28)


class FashionMNIST(MNIST):
    """Articles of clothing in the format of MNIST: 60,000 and 10,000, grey 28 × 28, ten classes.

    The files are in `FashionMNIST/raw` below `root`. Arguments are those of `TorchvisionData`.

    Reference:
        Xiao, Rasul and Vollgraf, Fashion-MNIST, 2017, arXiv 1708.07747.
    """

    source = "FashionMNIST"
    folder = "FashionMNIST/raw"


class CIFAR10(TorchvisionData):
    """Small colour photographs of ten classes: 50,000 and 10,000, RGB 32 × 32.

    The files are in `cifar-10-batches-py` below `root`. Arguments are those of `TorchvisionData`.

    Reference:
        Krizhevsky, Learning Multiple Layers of Features from Tiny Images, University of Toronto, 2009.
    """

    source = "CIFAR10"
    folder = "cifar-10-batches-py"
    native_shape = (3, 32, 32)
