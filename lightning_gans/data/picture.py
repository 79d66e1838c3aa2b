"""Reading one picture file: which files are pictures, whether they can be read, and their pixels."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

_NO_PIXELS = {"BUFR", "GRIB", "HDF5", "MPEG"}  # formats that Pillow names but cannot decode
_PROGRAMS = {"EPS", "WMF"}  # which other programs would have to run


def is_picture_name(name: str) -> bool:
    """Whether a file's suffix, in either case, is that of a format that Pillow reads."""
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
    """A picture whose content, whatever its name, is of a format that is read, and that is not enormous."""
    picture = Image.open(path, formats=_formats())
    width, height = picture.size
    if Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS:  # Pillow only warns up to twice that
        picture.close()
        raise Image.DecompressionBombError(f"{width} x {height} pixels")
    return picture


def why_unreadable(path: Path, decode: bool) -> str:
    """The kind of error that opening a picture gives, or nothing where it opens.

    Args:
        path: the file.
        decode: decode all of it, which finds every fault, in place of its header only.
    """
    try:
        with _open(path) as picture:
            _opaque(_eight_bit(Image.new(picture.mode, (1, 1))))  # whether its colours are known
            if decode:
                picture.draft("RGB", (64, 64))  # a JPEG decodes faster small, and is read to its end
                picture.load()
                picture.getexif()
            else:
                picture.verify()
    except Exception as error:
        return type(error).__name__
    return ""


def read_picture(path: Path, size: tuple[int, int], channels: int) -> Tensor:
    """The pixels of a picture, uint8 of shape (channels, *size): upright, opaque, covering, cropped.

    Raises:
        ValueError: when it cannot be decoded, naming the file.
    """
    try:
        with _open(path) as opened:
            picture = _opaque(_eight_bit(ImageOps.exif_transpose(opened)))
            height, width = size
            picture = ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)
            pixels = np.array(picture.convert("L") if channels == 1 else picture)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} cannot be decoded ({reason}); remove it or use skip_corrupt=True") from None
    return torch.from_numpy(pixels).reshape(height, width, channels).permute(2, 0, 1)


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Deep pictures at eight bits: integers are taken as 16-bit; floats as [0, 1], or as 0–255 beyond 1."""
    if not (picture.mode.startswith("I") or picture.mode == "F"):
        return picture
    values = np.nan_to_num(np.asarray(picture).astype(np.float64))
    if picture.mode != "F":
        values /= 257
    elif values.max() <= 1:
        values *= 255
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def _opaque(picture: Image.Image) -> Image.Image:
    """RGB, with whatever is transparent laid on white."""
    if picture.mode in ("RGBA", "RGBa", "LA", "PA") or "transparency" in picture.info:
        colours = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)
    return picture.convert("RGB")
