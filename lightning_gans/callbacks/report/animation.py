"""An animation made small enough to be part of a page."""

from __future__ import annotations

import io
from pathlib import Path

_FRAMES = 40  # at most, of an animation that is too large
_SIDE = 100  # pixels, below which it is not made smaller


def embedded_animation(path: Path, limit: int) -> bytes:
    """Return the bytes of a GIF, at most `limit` where that is possible: with fewer frames, then with smaller ones.

    Args:
        path: the file.
        limit: bytes.
    """
    data = path.read_bytes()
    if len(data) <= limit:
        return data
    from PIL import Image, ImageSequence

    with Image.open(path) as opened:
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(opened)]
    count = min(len(frames), _FRAMES)
    chosen = [frames[round(place * (len(frames) - 1) / max(1, count - 1))] for place in range(count)]
    scale = 1.0
    while len(data) > limit and scale * max(chosen[0].size) >= _SIDE:
        width, height = (max(1, round(scale * side)) for side in chosen[0].size)
        small = [frame.resize((width, height)).quantize(64, dither=Image.Dither.NONE) for frame in chosen]
        durations = [max(40, 8000 // count)] * (count - 1) + [2000]
        written = io.BytesIO()
        small[0].save(written, "GIF", save_all=True, append_images=small[1:], duration=durations, loop=0)
        data, scale = written.getvalue(), 0.7 * scale
    return data
