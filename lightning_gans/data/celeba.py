"""CelebA: photographs of faces, read from disk as they are needed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.data.base import BatchDataset, GANData, Split, as_index, to_unit_range
from lightning_gans.data.images import read_torchvision
from lightning_gans.step import Batch

_NEEDED = "a network and the package gdown"  # for a download
_FILES = (
    "img_align_celeba",
    "list_attr_celeba.txt",
    "identity_CelebA.txt",
    "list_bbox_celeba.txt",
    "list_landmarks_align_celeba.txt",
    "list_eval_partition.txt",
)


class CelebA(GANData):
    """202,599 aligned faces: the centre 178 × 178 of each, resized, in the three published splits.

    The download needs the package gdown, and Google limits it: copying the files is often quicker.

    Args:
        root: folder of `celeba/img_align_celeba` and of the annotation files beside it; they are downloaded to it
            where they are missing.
        size: side of the square images in pixels, at least 8.
        attribute: which of the forty attributes is the label, such as Smiling, Male or Eyeglasses.
        batch_size: images in a batch, in each process.
        labels: whether batches include the attribute, 0 or 1.
        num_workers: processes that read images beside the main one.
        flips: mirror training images, left to right, with probability ½.

    Raises:
        ValueError: for an argument out of range, an attribute that does not exist, or an image that cannot be read.
        FileNotFoundError: when the files are absent and cannot be downloaded.

    Reference:
        Liu, Luo, Wang and Tang, Deep Learning Face Attributes in the Wild, ICCV 2015, arXiv 1411.7766.
    """

    def __init__(
        self,
        root: str = "data",
        size: int = 64,
        attribute: str = "Smiling",
        batch_size: int = 64,
        labels: bool = False,
        num_workers: int = 2,
        flips: bool = False,
    ):
        super().__init__(batch_size, labels, num_workers)
        arguments.whole(self, 8, size=size)
        self.root = root
        self.size = size
        self.attribute = attribute
        self.flips = flips

    @property
    @override
    def sample_shape(self) -> tuple[int, ...]:
        return (3, self.size, self.size)

    @override
    def count_classes(self) -> int:
        return 2

    def prepare_data(self) -> None:
        """Download the files where they are missing."""
        place = Path(self.root).expanduser() / "celeba"
        if not all((place / name).exists() for name in _FILES):
            read_torchvision("CelebA", self.root, "celeba", True, _NEEDED, split="train")

    @override
    def load(self, split: Split) -> BatchDataset:
        from torchvision.transforms import v2

        published = "valid" if split == "val" else split
        transform = v2.Compose([v2.CenterCrop(178), v2.Resize(self.size, antialias=True), v2.PILToTensor()])
        options: dict[str, Any] = {"split": published, "transform": transform}
        faces = read_torchvision("CelebA", self.root, "celeba", False, _NEEDED, **options)
        if not self.labels:
            return _Faces(faces, None)
        names = [name for name in faces.attr_names if name]
        if self.attribute not in names:
            raise ValueError(f"attribute={self.attribute!r} is not one of CelebA's; use one of {', '.join(names)}")
        return _Faces(faces, faces.attr[:, names.index(self.attribute)].long())


class _Faces(BatchDataset):
    def __init__(self, faces: Any, y: Tensor | None):
        self.faces = faces
        self.y = y

    @override
    def __len__(self) -> int:
        return len(self.faces)

    @override
    def __getitems__(self, indices: Sequence[int]) -> Batch:
        x = to_unit_range(torch.stack([self._face(index) for index in indices]))
        return x if self.y is None else (x, self.y[as_index(indices)])

    def _face(self, index: int) -> Tensor:
        try:
            return self.faces[index][0]
        except Exception as error:
            name = self.faces.filename[index]
            raise ValueError(
                f"CelebA's image {name} cannot be read ({error}); copy it again, or delete img_align_celeba/ to "
                "download all of them again"
            ) from None
