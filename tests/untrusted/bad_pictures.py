"""A folder of unusual pictures that can be read, broken pictures, and files that must not be read."""

import os
import pickle
import struct
import zlib

import numpy as np
from PIL import Image, ImageDraw

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n(touched) print\nshowpage\n"


def noise(size=(40, 40), channels=3):
    values = np.random.default_rng(0).integers(0, 256, (*size, channels), dtype=np.uint8)
    return Image.fromarray(values.squeeze())


def png(width, height, *chunks):
    """Return a PNG whose header has this size, with any chunks."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in [(b"IHDR", header), *chunks, (b"IEND", b"")])


def unusual(root):
    """Write unusual but valid pictures; return their names."""
    root.mkdir(parents=True, exist_ok=True)
    image = noise()
    image.convert("CMYK").save(root / "cmyk.jpg")
    image.convert("P").save(root / "palette.png")
    image.convert("L").save(root / "grey.png")
    image.convert("1").save(root / "one_bit.png")
    image.convert("RGBA").save(root / "alpha.png")
    image.convert("LA").save(root / "grey_alpha.png")
    image.convert("YCbCr").save(root / "ycbcr.tif", compression="jpeg")  # without it Pillow writes a broken file
    image.convert("L").convert("P").save(root / "transparent.gif", transparency=0)
    deep = np.random.default_rng(0).integers(0, 65536, (40, 40), dtype=np.uint16)
    Image.fromarray(deep).save(root / "deep.png")
    Image.fromarray(deep.astype(np.int32)).save(root / "deep.tif")
    floats = np.linspace(0, 1, 1600, dtype=np.float32).reshape(40, 40)
    floats[3, 4], floats[5, 6] = np.nan, np.inf
    Image.fromarray(floats).save(root / "float.tif")
    image.save(root / "animated.gif", save_all=True, append_images=[image.rotate(90)] * 3)
    image.save(root / "animated.webp", save_all=True, append_images=[image.rotate(90)] * 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    noise((20, 40)).save(root / "rotated.jpg", exif=exif)
    exif[0x0112] = 77
    image.save(root / "invalid_rotation.jpg", exif=exif)
    image.save(root / "jpeg_named.png", format="JPEG")
    image.save(root / "UPPER.JPG")
    noise((1, 1)).save(root / "one_pixel.png")
    noise((3000, 1)).save(root / "thin.png")
    image.save(root / "progressive.jpg", progressive=True)
    image.save(root / "Übung ☃.png")
    image.save(root / "two\nlines.png")
    (root / "folder.png").mkdir()
    image.save(root / "folder.png" / "inside.png")
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def broken(root):
    """Write files that are named like pictures and cannot be read; return their names."""
    root.mkdir(parents=True, exist_ok=True)
    before = set(root.iterdir())
    whole, jpeg = root / "cut.png", root / "cut.jpg"
    noise((100, 100)).save(whole)
    whole.write_bytes(whole.read_bytes()[:9000])
    noise((100, 100)).save(jpeg)
    jpeg.write_bytes(jpeg.read_bytes()[:3000])
    for name, content in {
        "empty.png": b"",
        "one_byte.jpg": b"\xff",
        "text.png": b"this is no picture\n",
        "page.jpg": b"<!doctype html><title>404</title>",
        "drawing.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "archive.png": b"PK\x03\x04" + bytes(100),
        "pickle.png": pickle.dumps({"a": 1}),
        "postscript.png": EPS,
        "noise.jpg": np.random.default_rng(0).bytes(5000),
        "bomb.png": png(60_000, 60_000, (b"IDAT", zlib.compress(bytes(1000)))),
        "large.png": png(12_000, 12_000, (b"IDAT", zlib.compress(bytes(1000)))),
        "no_pixels.png": png(0, 0, (b"IDAT", zlib.compress(b""))),
        "header_alone.png": png(20, 20)[:33],
        "without_data.png": png(20, 20),
        "text_bomb.png": png(20, 20, (b"zTXt", b"a\0\0" + zlib.compress(bytes(5_000_000), 9))),
        "bad\nname.png": b"",
        "\udcff.png": b"",
    }.items():
        with open(os.path.join(os.fsencode(root), os.fsencode(name)), "wb") as file:
            file.write(content)
    return sorted(path.name for path in set(root.iterdir()) - before)


def not_pictures(root, outside):
    """Write what must not be read, though most is named like a picture: links, pipes, hidden and other files."""
    outside.mkdir(parents=True, exist_ok=True)
    ImageDraw.Draw(secret := noise()).rectangle((0, 0, 40, 40), "red")
    secret.save(outside / "secret.png")
    secret.save(root / ".hidden.png")
    (root / ".thumbnails").mkdir()
    secret.save(root / ".thumbnails" / "small.png")
    (root / "link.png").symlink_to(outside / "secret.png")
    (root / "linked").symlink_to(outside)
    (root / "dead.png").symlink_to(outside / "nowhere.png")
    (root / "itself.png").symlink_to(root / "itself.png")
    (root / "round").symlink_to(root)
    os.mkfifo(root / "pipe.png")
    (root / "notes.txt").write_text("no picture")
    (root / "drawing.eps").write_bytes(EPS)
