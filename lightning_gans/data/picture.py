"""Picture files: which names are those of pictures, whether a file can be read, and its pixels."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

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


def read_picture(path: Path, size: tuple[int, int], channels: int) -> Tensor:
    """Return a picture, uint8 of shape (channels, *size): upright, on white, scaled to cover `size` and cropped.

    Raises:
        ValueError: where it cannot be decoded, naming the file.
    """
    try:
        with _open(path) as opened:
            picture = _opaque(_eight_bit(ImageOps.exif_transpose(opened)))
            height, width = size
            picture = ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)
            pixels = np.array(picture.convert("L") if channels == 1 else picture)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{path} cannot be decoded ({reason}); remove it or use skip_corrupt=True (--data.skip_corrupt true)"
        ) from None
    return torch.from_numpy(pixels).reshape(height, width, channels).permute(2, 0, 1)


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Convert deep pictures to eight bits: integers count as 16-bit; floats as [0, 1], or 0–255 if any is above 1."""
    if not (picture.mode.startswith("I") or picture.mode == "F"):
        return picture
    values = np.nan_to_num(np.asarray(picture).astype(np.float64))
    if picture.mode != "F":
        values /= 257
    elif values.max() <= 1:
        values *= 255
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def _opaque(picture: Image.Image) -> Image.Image:
    """Convert a picture to RGB, composited on white where it is transparent."""
    if picture.mode in ("RGBA", "RGBa", "LA", "PA") or "transparency" in picture.info:
        colours = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)
    return picture.convert("RGB")
