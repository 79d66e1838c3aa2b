"""Samples as pictures, and their files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

_CELL = 48  # small images are enlarged to at least this side, in pixels
_PLOT = 480  # side of a map of points, in pixels
_TEXT = 13  # height of a line of text, in pixels

Colour = tuple[int, int, int]
GREY, ORANGE = (190, 190, 190), (214, 69, 30)
COLOURS = (ORANGE, (31, 95, 175), (40, 140, 80), (140, 70, 160), (200, 150, 20), (20, 150, 160), (90, 90, 90))


def picture(samples: Tensor, real: Tensor | None = None, columns: int = 8) -> Tensor:
    """Return samples as one picture, uint8 (H, W, 3): a grid of images, or a map of points.

    Args:
        samples: images (N, C, H, W) in [−1, 1], enlarged where they are small and averaged over channels unless they
            have 1 or 3; or points (N, D), whose first two coordinates are drawn.
        real: real points to draw underneath, in grey; they also define the extent of the map.
        columns: images per row.
    """
    if samples.dim() != 4:
        return point_map([(samples if real is None else real, GREY), (samples, ORANGE)])
    return _grid(_as_bytes(samples), columns)


def columns_of(classes: int, columns: int = 8) -> int:
    """Return the images of a row, about `columns`, with which every column of labels 0, 1, …, 0, 1, … is one class.

    With more than 16 classes, or fewer than two, it is `columns`.
    """
    return classes * max(1, columns // classes) if 2 <= classes <= 16 else columns


def captioned(samples: Tensor, captions: Sequence[str], columns: int = 8) -> Tensor:
    """Return a grid of images with a line of text below each, uint8 (H, W, 3).

    Args:
        samples: images (N, C, H, W) as for `picture`.
        captions: N short texts.
        columns: images per row.
    """
    images = _as_bytes(samples).expand(-1, 3, -1, -1)
    cells = []
    for image, caption in zip(images, captions, strict=True):
        strip = torch.full((_TEXT, image.shape[2], 3), 255, dtype=torch.uint8)
        strip = with_text(strip, [(image.shape[2] // 2, _TEXT // 2, caption)])
        cells.append(torch.cat([image, strip.permute(2, 0, 1)], dim=1))
    return _grid(torch.stack(cells), columns)


def point_map(layers: Sequence[tuple[Tensor, Colour]], marks: Sequence[tuple[Tensor, str]] = ()) -> Tensor:
    """Return a map of points in the plane, uint8 (480, 480, 3), with the second coordinate upwards.

    Args:
        layers: points (N, D), whose first two coordinates are drawn, and their colour. The first layer is at the bottom
            and defines the extent of the map; points outside it are not drawn.
        marks: points (D,) and a text to write beside each.
    """
    planar = [_planar(points) for points, _ in layers]
    low, high = planar[0].min(0).values, planar[0].max(0).values
    centre, half = (low + high) / 2, max(float((high - low).max()) * 0.65, 1e-3)
    image = torch.full((_PLOT, _PLOT, 3), 255, dtype=torch.uint8)
    for points, (_, colour) in zip(planar, layers, strict=True):
        at = ((points - centre) / half + 1) / 2 * _PLOT
        at = at[torch.isfinite(at).all(1)].long()
        at = at[((at >= 1) & (at < _PLOT - 1)).all(1)]
        for dx in (-1, 0, 1):
            for dy in (-1, 0, 1):
                image[_PLOT - 1 - at[:, 1] + dy, at[:, 0] + dx] = torch.tensor(colour, dtype=torch.uint8)
    texts = []
    for point, text in marks:
        x, y = (((_planar(point[None])[0] - centre) / half + 1) / 2 * _PLOT).nan_to_num(-_PLOT).tolist()
        texts.append((int(x) + 5 + 3 * len(text), _PLOT - 1 - int(y) - 8, text))
    return with_text(image, texts)


def _planar(points: Tensor) -> Tensor:
    points = points.detach().flatten(1).float().cpu()
    return nn.functional.pad(points, (0, max(0, 2 - points.shape[1])))[:, :2]


def with_text(image: Tensor, texts: Sequence[tuple[int, int, str]]) -> Tensor:
    """Return a picture (H, W, 3) with texts, each centred on a position (x, y) in pixels."""
    if not any(text for *_, text in texts):
        return image
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.fromarray(image.numpy())
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(_TEXT - 2)
    for x, y, text in texts:
        draw.text((x, y), text, fill=(0, 0, 0), font=font, anchor="mm")
    return torch.from_numpy(np.array(canvas))


def _as_bytes(samples: Tensor) -> Tensor:
    images = _unscaled(samples)
    zoom = max(1, math.ceil(_CELL / max(images.shape[-2:])))
    return images.repeat_interleave(zoom, dim=-2).repeat_interleave(zoom, dim=-1)


def _unscaled(samples: Tensor) -> Tensor:
    """Return images in [−1, 1] as bytes in their own size, averaged over channels unless they have 1 or 3."""
    images = ((samples.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return images if images.shape[1] in (1, 3) else images.float().mean(1, keepdim=True).to(torch.uint8)


def _grid(images: Tensor, columns: int) -> Tensor:
    from torchvision.utils import make_grid

    grid = make_grid(images, nrow=columns, padding=2, pad_value=255)
    grid = nn.functional.pad(grid, (2, 2, 2, 2), value=255) if len(images) == 1 else grid  # no border by itself
    return grid.permute(1, 2, 0).contiguous()


def save_picture(image: Tensor, path: str | Path) -> None:
    """Write a picture (H, W, 3) to a file; the ending of the name chooses the format."""
    from PIL import Image

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    try:
        Image.fromarray(image.numpy()).save(path)
    except ValueError as error:
        raise ValueError(f"'{path}' does not end in a picture format; end it in .png.") from error


def save_each(samples: Tensor, paths: Sequence[Path]) -> None:
    """Write images (N, C, H, W) in [−1, 1] to a file each, in their own size, grey where they have one channel."""
    from PIL import Image

    for folder in {path.parent for path in paths}:
        folder.mkdir(parents=True, exist_ok=True)
    for image, path in zip(_unscaled(samples), paths, strict=True):
        Image.fromarray((image[0] if len(image) == 1 else image.permute(1, 2, 0)).numpy()).save(path)


def save_animation(frames: Sequence[Tensor], path: str | Path, milliseconds: int = 60) -> None:
    """Write pictures (H, W, 3) as a GIF that repeats for ever.

    Args:
        frames: at least one, all of one size.
        path: the file; an existing one is replaced.
        milliseconds: duration of a frame.
    """
    from PIL import Image

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    images = [Image.fromarray(frame.numpy()).quantize(64, dither=Image.Dither.NONE) for frame in frames]
    images[0].save(path, format="GIF", save_all=True, append_images=images[1:], duration=milliseconds, loop=0)
