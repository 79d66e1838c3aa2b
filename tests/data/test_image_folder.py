import math
import re

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gans.data import ImageFolder
from lightning_gans.data.picture import read_picture

RED = torch.tensor([255.0, 0.0, 0.0])


def picture(path, colour=(255, 0, 0), size=(20, 20), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    """Twenty red pictures in two class folders, whose numbers are in their green channel."""
    root = tmp_path / "pictures"
    for number in range(20):
        picture(root / ("cats" if number < 12 else "dogs") / f"{number:02d}.png", (255, 10 * number, 0))
    return root


def make(root, **options):
    return ImageFolder(str(root), **{"size": 8, "num_workers": 0, "batch_size": 4, **options})


def whole(data, split="train"):
    samples = data.load(split)
    return samples.__getitems__(range(len(samples)))


def greens(x):
    return ((x[:, 1, 0, 0] + 1) * 127.5 / 10).round().int().tolist()


def test_split(folder):
    data = make(folder)
    parts = {split: greens(whole(data, split)) for split in ("train", "val", "test")}
    assert [len(part) for part in parts.values()] == [16, 2, 2]
    assert sorted(number for part in parts.values() for number in part) == list(range(20)), "disjoint, nothing lost"
    torch.manual_seed(7)
    assert greens(whole(make(folder), "val")) == parts["val"], "the same each time"
    assert parts["val"] + parts["test"] not in ([0, 1, 2, 3], [16, 17, 18, 19])
    assert len(make(folder, val_fraction=0.5).load("val")) == 10
    assert len(make(folder, test_fraction=0.25).load("test")) == 5
    assert len(make(folder, val_fraction=0.0, test_fraction=0.0).load("train")) == 20


def test_batches_through_workers(folder):
    batches = list(make(folder, num_workers=2).train_dataloader())
    assert len(batches) == 4
    assert all(x.shape == (4, 3, 8, 8) and x.dtype == torch.float32 for x in batches)
    assert all((x[:, 0] == 1).all() and (x[:, 2] == -1).all() for x in batches)


def test_labels_are_the_sorted_folders(folder):
    picture(folder / "ants" / "deep" / "er" / "a.png", (255, 200, 0))
    (folder / "without pictures").mkdir()
    (folder / "without pictures" / "notes.txt").write_text("no picture")
    data = make(folder, labels=True, val_fraction=0.0, test_fraction=0.0)
    assert data.classes == ["ants", "cats", "dogs"] and data.num_classes == 3
    x, y = whole(data)
    number = torch.tensor(greens(x))
    assert torch.equal(y, torch.where(number == 20, 0, torch.where(number < 12, 1, 2)))
    assert y.dtype == torch.int64 and make(folder).num_classes == 0


ODD = {
    "palette.gif": lambda p: picture(p, mode="P"),
    "UPPER.PNG": picture,
    "photo.JPG": lambda p: picture(p, quality=100, subsampling=0),
    "cmyk.jpg": lambda p: picture(p, mode="CMYK", quality=100, subsampling=0),
    "a.webp": lambda p: picture(p, lossless=True),
    "b.bmp": picture,
    "c.tiff": picture,
    "animated.gif": lambda p: Image.new("RGB", (20, 20), "red").save(
        p, save_all=True, append_images=[Image.new("RGB", (20, 20), "blue")]
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_formats_stay_red(name, tmp_path):
    ODD[name](tmp_path / name)
    picture(tmp_path / "nested" / "folder" / "x.png")
    data = make(tmp_path, val_fraction=0.0, test_fraction=0.0)
    x = whole(data)
    assert len(x) == 2
    assert ((x + 1) * 127.5 - RED.view(3, 1, 1)).abs().max() < 4


def test_deep_grey_pictures(tmp_path):
    values = np.full((20, 20), 257 * 100)
    Image.fromarray(values.astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(values.astype(np.int32)).save(tmp_path / "deep.tiff")
    Image.fromarray(np.full((20, 20), 100 / 255, dtype=np.float32)).save(tmp_path / "unit.tiff")
    Image.fromarray(np.full((20, 20), 100, dtype=np.float32)).save(tmp_path / "wide.tiff")
    for path in sorted(tmp_path.iterdir()):
        for channels in (1, 3):
            x = read_picture(path, (8, 8), channels)
            assert x.shape == (channels, 8, 8) and x.dtype == torch.uint8 and (x == 100).all(), path.name


def test_transparent_pictures_are_composited_on_white(tmp_path):
    Image.new("RGBA", (20, 20), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("RGBA", (20, 20), (255, 0, 0, 255)).save(tmp_path / "opaque.png")
    Image.new("LA", (20, 20), (0, 0)).save(tmp_path / "grey.png")
    Image.new("P", (20, 20), 0).save(tmp_path / "palette.gif", transparency=0)
    Image.new("RGB", (20, 20), (1, 2, 3)).save(tmp_path / "key.png", transparency=(1, 2, 3))
    for name in ("clear.png", "grey.png", "palette.gif", "key.png"):
        assert (read_picture(tmp_path / name, (8, 8), 3) == 255).all(), name
    assert read_picture(tmp_path / "opaque.png", (8, 8), 3)[:, 0, 0].tolist() == [255, 0, 0]


def test_grey_channel_and_rectangle(tmp_path):
    picture(tmp_path / "a.png", (255, 255, 255))
    data = make(tmp_path, size=(8, 12), channels=1, val_fraction=0.0, test_fraction=0.0)
    assert data.sample_shape == (1, 8, 12)
    x = whole(data)
    assert x.shape == (1, 1, 8, 12) and (x == 1).all()


def test_covers_then_crops_the_centre(tmp_path):
    image = Image.new("RGB", (60, 20), "red")
    image.paste("blue", (20, 0, 40, 20))
    image.save(tmp_path / "wide.png")
    assert (read_picture(tmp_path / "wide.png", (20, 20), 3) == torch.tensor([0, 0, 255]).view(3, 1, 1)).all()
    assert read_picture(tmp_path / "wide.png", (10, 30), 3)[0, 5].tolist()[::29] == [255, 255]


def test_resizing_is_antialiased(tmp_path):
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    x = read_picture(tmp_path / "stripes.png", (8, 8), 1).float()
    assert (x - 127.5).abs().max() < 30


def test_exif_turns_upright(tmp_path):
    image = Image.new("RGB", (40, 20), "red")
    image.paste("blue", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise by a right angle: blue on top
    image.save(tmp_path / "turned.png", exif=exif)
    x = read_picture(tmp_path / "turned.png", (40, 20), 3)
    assert x[2, 0, 10] == 255 and x[0, -1, 10] == 255


def test_hidden_files_links_and_other_files_are_ignored(folder, tmp_path):
    outside = picture(tmp_path / "outside" / "secret.png")
    (folder / "link.png").symlink_to(outside)
    (folder / "linked").symlink_to(outside.parent)
    picture(folder / ".hidden.png")
    picture(folder / ".thumbnails" / "a.png")
    (folder / "notes.txt").write_text("no picture")
    (folder / "features.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    data = make(folder, labels=True, val_fraction=0.0, test_fraction=0.0)
    assert len(data.load("train")) == 20 and data.classes == ["cats", "dogs"]


def damage(root):
    (root / "empty.png").write_bytes(b"")
    (root / "text.png").write_text("this is no picture")
    whole_file = picture(root / "cut.png", size=(200, 200)).read_bytes()
    (root / "cut.png").write_bytes(whole_file[: len(whole_file) // 2])


def test_corrupt_files_are_named(folder):
    damage(folder)
    with pytest.raises(ValueError, match=r"3 of 23 files in .* cannot be read as pictures") as caught:
        make(folder).setup("fit")
    line = str(caught.value)
    assert all(name in line for name in ("empty.png", "text.png", "cut.png", "remove them or use skip_corrupt=True"))
    assert "\n" not in line


def test_a_long_list_is_cut(folder):
    for number in range(7):
        (folder / f"bad{number}.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"7 of 27 .*bad4.png .* and 2 more; remove") as caught:
        make(folder).setup("fit")
    assert "bad5" not in str(caught.value)


def test_skip_corrupt_leaves_them_out_with_one_warning(folder, recwarn):
    damage(folder)
    cut = noisy_jpeg(folder / "cut.jpg")
    cut.write_bytes(cut.read_bytes()[:3000])
    data = make(folder, skip_corrupt=True)
    data.setup()
    said = [str(w.message) for w in recwarn if "Left out" in str(w.message)]
    assert len(said) == 1 and said[0].startswith("Left out 4 of 24 files in")
    assert all(name in said[0] for name in ("empty.png", "text.png", "cut.png", "cut.jpg"))
    assert sum(len(data.load(split)) for split in ("train", "val", "test")) == 20
    assert sum(len(whole(data, split)) for split in ("train", "val", "test")) == 20


def noisy_jpeg(path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def test_a_file_that_fails_only_when_decoded_names_itself(tmp_path):
    path = noisy_jpeg(tmp_path / "cut.jpg")
    path.write_bytes(path.read_bytes()[:3000])
    data = make(tmp_path, val_fraction=0.0, test_fraction=0.0)
    data.setup("fit")
    with pytest.raises(
        ValueError, match=r"cut\.jpg cannot be decoded \(.*truncated.*\); remove it or use skip"
    ) as caught:
        whole(data)
    assert "\n" not in str(caught.value) and caught.value.__suppress_context__


def test_a_decompression_bomb_is_named(folder, monkeypatch):
    picture(folder / "bomb.png", size=(50, 50))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"1 of 21 .*bomb\.png \(DecompressionBombError\)"):
        make(folder).setup("fit")


def test_missing_folder(tmp_path):
    data = make(tmp_path / "nowhere", labels=True)
    for ask in (data.setup, lambda: data.num_classes):
        with pytest.raises(FileNotFoundError, match=r"root=.*nowhere is not a folder; give the folder"):
            ask()


def test_empty_folder(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(ValueError, match=r"holds no readable picture .*; add pictures in a format"):
        make(tmp_path).setup("fit")


def test_labels_without_class_folders(tmp_path):
    picture(tmp_path / "a.png")
    for ask in (make(tmp_path, labels=True).setup, lambda: make(tmp_path, labels=True).num_classes):
        with pytest.raises(
            ValueError, match=r"labels=True needs one sub-folder of pictures per class in .*use labels=F"
        ):
            ask()


def test_loose_pictures_have_no_class(folder):
    picture(folder / "loose.png")
    with pytest.raises(ValueError, match=r"loose\.png in .* has no class; move it into a class folder or use"):
        make(folder, labels=True).setup("fit")
    make(folder).setup("fit")


def test_too_few_to_split(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(
        ValueError, match=r"holds too few pictures \(1\) to split in three; add pictures, or use val_fraction=0"
    ):
        make(tmp_path).setup("fit")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 7}, r"(size=7): expected a whole number of at least 8, such as 64."),
        ({"size": (64, 4)}, r"(size=4): expected a whole number of at least 8, such as 64."),
        ({"size": (64, 8.5)}, r"(size=8.5): expected a whole number of at least 8, such as 64."),
        ({"channels": 2}, r"(channels=2): expected one of 1, 3."),
        ({"val_fraction": -0.1}, r"(val_fraction=-0.1): expected a number in [0, 1), such as 0.1."),
        ({"test_fraction": math.nan}, r"(test_fraction=nan): expected a number in [0, 1), such as 0.1."),
        ({"test_fraction": 0.95}, r"(val_fraction=0.1, test_fraction=0.95): expected a sum below 1"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=f"^ImageFolder{re.escape(message)}") as caught:
        ImageFolder("anywhere", **options)
    assert "\n" not in str(caught.value)
