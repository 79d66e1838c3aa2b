"""Picture files: which names are those of pictures, whether a file can be read, and its pixels."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from typing_extensions import override

from lightning_gans.data.base import BatchDataset, as_index, to_unit_range
from lightning_gans.step import Batch

_NO_PIXELS = {"BUFR", "GRIB", "HDF5", "MPEG"}  # formats that Pillow names but cannot decode
_PROGRAMS = {"EPS", "WMF"}  # formats that Pillow gives to other programs to read


def is_picture_name(name: str) -> bool:
    """Return whether a name ends in the suffix of a format that Pillow reads, in upper or lower case."""
    return Path(name).suffix.lower() in _suffixes()


@cache
def _suffixes() -> frozenset[str]:
    known = Image.registered_extensions()
    return frozenset(suffix for suffix, name in known.items() if name in _formats())


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(sorted(set(Image.OPEN) - _NO_PIXELS - _PROGRAMS))


def _open(path: Path) -> Image.Image:
    """Open a picture by its content, whatever its name; refuse other formats and enormous pictures."""
    picture = Image.open(path, formats=_formats())
    width, height = picture.size
    if Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS:  # Pillow only warns up to twice that
        picture.close()
        raise Image.DecompressionBombError(f"{width} x {height} pixels")
    return picture


def why_unreadable(path: Path, decode: bool) -> str:
    """Return the class name of the error that a picture raises, or an empty string where it can be read.

    Args:
        path: the file.
        decode: decode the whole picture, which finds every fault, instead of its header only.
    """
    try:
        with _open(path) as picture:
            _opaque(_eight_bit(Image.new(picture.mode, (1, 1))))  # raises for an unknown colour mode
            if decode:
                picture.draft("RGB", (64, 64))  # decodes a JPEG faster at a small size, yet reads the whole file
                picture.load()
                picture.getexif()
            else:
                picture.verify()
    except Exception as error:
        return type(error).__name__
    return ""


def read_picture(path: Path, size: tuple[int, int], channels: int, max_value: int | None = None) -> Tensor:
    """Return a picture, uint8 of shape (channels, *size): upright, on white, scaled to cover `size` and cropped.

    Args:
        path: the file.
        size: height and width.
        channels: 3 for colour, 1 for grey.
        max_value: the value of white in pictures of more than 8 bits; None is 65535 or, of floats, 1, and 255 if any
            value is above 1.

    Raises:
        ValueError: where it cannot be decoded, naming the file.
    """
    try:
        with _open(path) as opened:
            if max_value and _is_deep_colour(opened):
                picture = _scaled_colour(path, max_value)
            else:
                picture = _opaque(_eight_bit(ImageOps.exif_transpose(opened), max_value))
            height, width = size
            picture = ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)
            pixels = np.array(picture.convert("L") if channels == 1 else picture)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{path} cannot be decoded ({reason}); remove it or use skip_corrupt=True (--data.skip_corrupt true)"
        ) from None
    return torch.from_numpy(pixels).reshape(height, width, channels).permute(2, 0, 1)


def brightest(path: Path) -> tuple[float, bool]:
    """Return the largest value of a picture of more than 8 bits, and whether it is of floats; 0 for any other file."""
    try:
        with _open(path) as picture:
            if _is_deep_colour(picture):
                high, low = (part[..., :3].astype(np.int64) for part in _bytes_of_colour(path))
                return float((256 * high + low).max()), False
            if picture.mode.startswith("I") or picture.mode == "F":
                return float(_finite(picture).max()), picture.mode == "F"
    except Exception:  # a file that cannot be read is named elsewhere
        pass
    return 0.0, False


def _eight_bit(picture: Image.Image, max_value: int | None = None) -> Image.Image:
    """Convert deep pictures to eight bits: integers count as 16-bit; floats as [0, 1], or 0–255 if any is above 1."""
    if not (picture.mode.startswith("I") or picture.mode == "F"):
        return picture
    values = _finite(picture)
    if max_value:
        values *= 255 / max_value
    elif picture.mode != "F":
        values /= 257
    elif values.max() <= 1:
        values *= 255
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def _finite(picture: Image.Image) -> np.ndarray:
    """Return the values of a grey picture, with 0 for NaN and the largest or smallest other value for infinite ones."""
    values = np.asarray(picture).astype(np.float64)
    others = values[np.isfinite(values)]
    return np.nan_to_num(values, posinf=others.max(initial=0), neginf=others.min(initial=0))


def _is_deep_colour(picture: Image.Image) -> bool:
    """Whether a picture has colours of 16 bits, of which Pillow decodes one byte."""
    return picture.mode in ("RGB", "RGBA") and any(
        _raw_mode(tile) in _LOW_BYTES for tile in getattr(picture, "tile", ())
    )


def _raw_mode(tile: Any) -> str:
    """Return how the values of a tile are stored, such as "RGB;16B"."""
    arguments = tile[3]
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


_LOW_BYTES = {f"{mode};16{order}": f"{mode};16{other}" for mode in ("RGB", "RGBA") for order, other in ("BL", "LB")}


def _bytes_of_colour(path: Path) -> list[np.ndarray]:
    """Return the high and the low bytes of a picture with colours of 16 bits, each (H, W, 3 or 4), upright."""
    parts = []
    for low in (False, True):
        with _open(path) as picture:
            if low:
                picture.tile = [_of_low_bytes(tile) for tile in picture.tile]
            parts.append(np.asarray(ImageOps.exif_transpose(picture)))
    return parts


def _of_low_bytes(tile: Any) -> Any:
    raw = _LOW_BYTES[_raw_mode(tile)]
    arguments = (raw, *tile[3][1:]) if isinstance(tile[3], tuple) else raw
    return type(tile)(*tile[:3], arguments) if hasattr(tile, "_fields") else (*tile[:3], arguments)


def _scaled_colour(path: Path, max_value: int) -> Image.Image:
    """Return a picture with colours of 16 bits as eight bits, on white."""
    high, low = (part.astype(np.float64) for part in _bytes_of_colour(path))
    values = (256 * high + low) * (255 / max_value)
    if values.shape[2] == 4:  # what is opaque has the largest value that 16 bits hold, or the largest of the colours
        values[..., 3] = np.where(high[..., 3] == 255, 255, values[..., 3])
    return _opaque(Image.fromarray(values.round().clip(0, 255).astype(np.uint8)))


def _opaque(picture: Image.Image) -> Image.Image:
    """Convert a picture to RGB, composited on white where it is transparent."""
    if picture.mode in ("RGBA", "RGBa", "LA", "PA") or "transparency" in picture.info:
        colours = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)
    return picture.convert("RGB")


class PictureFiles(BatchDataset):
    """Picture files that are decoded whenever they are read, with the arguments of `read_picture`.

    Args:
        files: their paths.
        y: labels (M,), or None for batches without labels.
        size: height and width.
        channels: 3 for colour, 1 for grey.
        max_value: the value of white in pictures of more than 8 bits.
    """

    def __init__(
        self, files: list[Path], y: Tensor | None, size: tuple[int, int], channels: int, max_value: int | None
    ):
        self.files = files
        self.y = y
        self.size = size
        self.channels = channels
        self.max_value = max_value

    @override
    def __len__(self) -> int:
        return len(self.files)

    @override
    def __getitems__(self, indices: Sequence[int]) -> Batch:
        pictures = [read_picture(self.files[index], self.size, self.channels, self.max_value) for index in indices]
        x = to_unit_range(torch.stack(pictures))
        return x if self.y is None else (x, self.y[as_index(indices)])
