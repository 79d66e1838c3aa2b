"""CelebA: photographs of faces, read from the disk as they are needed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_gans.data.base import Batch, BatchDataset, GANData, Split, as_index, at_least, to_unit_range
from lightning_gans.data.images import read_torchvision

_FILES = (
    "img_align_celeba",
    "list_attr_celeba.txt",
    "identity_CelebA.txt",
    "list_bbox_celeba.txt",
    "list_landmarks_align_celeba.txt",
    "list_eval_partition.txt",
)


class CelebA(GANData):
    """202,599 aligned faces: the centre 178 × 178 of each, resized; the published split in three.

    The download needs the package gdown, and Google limits it: copying the files is often quicker.

    Args:
        root: folder that holds `celeba/img_align_celeba` and the annotation files beside it; downloaded
            to when absent.
        size: side of the square images in pixels, at least 8.
        attribute: the one of the forty attributes that labels give, such as Smiling, Male or Eyeglasses.
        batch_size: images in a batch, in each process.
        labels: whether batches carry the attribute, 0 or 1.
        num_workers: processes that read images beside the main one.

    Raises:
        ValueError: for an argument out of range, an attribute that does not exist, or an image that
            cannot be read.
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
    ):
        super().__init__(batch_size, labels, num_workers)
        at_least(8, size=size)
        self.root = root
        self.size = size
        self.attribute = attribute

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """(3, size, size)."""
        return (3, self.size, self.size)

    def count_classes(self) -> int:
        """Without the attribute and with it."""
        return 2

    def prepare_data(self) -> None:
        """Download the files when they are absent."""
        place = Path(self.root).expanduser() / "celeba"
        if not all((place / name).exists() for name in _FILES):
            read_torchvision("CelebA", self.root, "celeba", download=True, split="train")

    def load(self, split: Split) -> BatchDataset:
        """The faces of a split."""
        from torchvision.transforms import v2

        published = "valid" if split == "val" else split
        transform = v2.Compose([v2.CenterCrop(178), v2.Resize(self.size, antialias=True), v2.PILToTensor()])
        faces = read_torchvision("CelebA", self.root, "celeba", download=False, split=published, transform=transform)
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

    def __len__(self) -> int:
        return len(self.faces)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        x = to_unit_range(torch.stack([self._face(index) for index in indices]))
        return x if self.y is None else (x, self.y[as_index(indices)])

    def _face(self, index: int) -> Tensor:
        try:
            return self.faces[index][0]
        except Exception as error:
            name = self.faces.filename[index]
            raise ValueError(f"CelebA's image {name} cannot be read ({error}); copy or download it again") from None
