"""Folders as people have them: splits, links, other files, empty classes, and pictures of more than eight bits."""

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gans.data import ImageFolder
from lightning_gans.data.picture import brightest, read_picture


def pictures(folder, count=20, shade=100, suffix="png"):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (9, 9), (shade, number, 0)).save(folder / f"{number:03d}.{suffix}")


def make(root, **options):
    return ImageFolder(str(root), **{"size": 8, "num_workers": 0, "batch_size": 4, **options})


def whole(data, split="train"):
    samples = data.load(split)
    return samples.__getitems__(range(len(samples)))


def shades(x):
    return ((x[:, 0, 0, 0] + 1) * 127.5).round().int().unique().tolist()


def said(recwarn):
    return [str(one.message) for one in recwarn]


# ---------------------------------------------------------------- splits


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val", "test"),
        ("Train", "VALID", "Test"),
        ("training", "validation", "testing"),
        ("train", "eval", "holdout"),
        ("training_set", "validation_set", "test_set"),
        ("train2017", "val2017", "test2017"),
        ("seg_train", "seg_dev", "seg_test"),
    ],
)
@pytest.mark.parametrize("labels", [True, False])
def test_folders_of_splits(tmp_path, names, labels, caplog):
    for shade, name in zip((50, 100, 150), names, strict=True):
        for kind, count in (("cat", 5), ("dog", 3)):
            pictures(tmp_path / name / kind, count, shade)
    data = make(tmp_path, labels=labels)
    data.setup()
    for split, shade in (("train", 50), ("val", 100), ("test", 150)):
        x = whole(data, split)
        x = x[0] if labels else x
        assert len(x) == 8 and shades(x) == [shade], split
    if labels:
        assert data.classes == ["cat", "dog"] and whole(data)[1].tolist() == [0] * 5 + [1] * 3


def test_a_split_without_a_folder_is_a_share_of_train(tmp_path):
    pictures(tmp_path / "train", 20, 50)
    pictures(tmp_path / "test", 4, 150)
    data = make(tmp_path)
    sizes = [len(data.load(split)) for split in ("train", "val", "test")]
    assert sizes == [18, 2, 4]
    assert shades(whole(data)) == shades(whole(data, "val")) == [50] and shades(whole(data, "test")) == [150]
    alone = make(tmp_path / "train")
    assert [len(alone.load(split)) for split in ("train", "val", "test")] == [16, 2, 2]


def test_classes_may_be_called_train(tmp_path):
    for name in ("train", "car", "bus"):
        pictures(tmp_path / name)
    assert make(tmp_path, labels=True).classes == ["bus", "car", "train"]


def test_classes_whose_names_hold_those_of_splits_stay_classes(tmp_path):
    for name in ("freight_train", "passenger_train", "bus"):
        pictures(tmp_path / name)
    assert make(tmp_path, labels=True).classes == ["bus", "freight_train", "passenger_train"]


def test_train_alone_is_a_split(tmp_path):
    pictures(tmp_path / "train" / "cat")
    pictures(tmp_path / "train" / "dog")
    assert make(tmp_path, labels=True).classes == ["cat", "dog"]


def test_pictures_beside_splits_are_left_out_and_said(tmp_path, recwarn):
    for name in ("train", "val", "unsorted"):
        pictures(tmp_path / name, 5)
    pictures(tmp_path, 1)
    data = make(tmp_path, test_fraction=0.0)
    assert len(data.load("train")) == 5
    assert any(
        "Left out 6 pictures beside the folders of the splits: 000.png, unsorted/" in one for one in said(recwarn)
    )


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["val/a", "test/a"], r"holds test, val and no train/, so that test pictures would be trained on"),
        (["train/a", "val/a", "valid/a"], r"holds val, valid, all of which name one split \(val\)"),
        (["faces/train/a", "faces/test/a"], r"splits one level lower, faces/test, faces/train; give root=.*/faces$"),
        (
            ["cat/train", "cat/test", "dog/train", "dog/test"],
            r"one level lower, cat/test, cat/train; put the splits first",
        ),
    ],
)
@pytest.mark.parametrize("labels", [True, False])
def test_splits_that_cannot_be_told_are_refused(tmp_path, folders, message, labels):
    for folder in folders:
        pictures(tmp_path / folder, 3)
    with pytest.raises(ValueError, match=message) as refused:
        make(tmp_path, labels=labels).setup("fit")
    assert "\n" not in str(refused.value)


def test_one_class_that_holds_the_classes_is_said(tmp_path, recwarn):
    pictures(tmp_path / "faces" / "cat")
    pictures(tmp_path / "faces" / "dog")
    make(tmp_path, labels=True).setup("fit")
    assert any(f"one class, faces; if the classes are its folders (cat, dog), give root={tmp_path / 'faces'}" in one
               for one in said(recwarn))  # fmt: skip


# ---------------------------------------------------------------- links


@pytest.fixture
def linked(tmp_path):
    pictures(tmp_path / "real" / "a", 10, 50)
    root = tmp_path / "links"
    root.mkdir()
    (root / "a").symlink_to(tmp_path / "real" / "a")
    (root / "b").symlink_to(tmp_path / "real" / "a")
    (root / "nowhere.png").symlink_to(tmp_path / "absent.png")
    return root


def test_linked_class_folders_are_said_in_the_refusal(linked):
    remedy = r"none \(3 links are left out; use follow_links=True, --data.follow_links true, to read them\); make"
    with pytest.raises(ValueError, match=remedy):
        make(linked, labels=True).count_classes()
    with pytest.raises(ValueError, match=r"no readable picture .*, but 3 links, which follow_links=True"):
        make(linked).setup("fit")


def test_links_are_followed_on_request(linked, recwarn):
    data = make(linked, labels=True, follow_links=True, val_fraction=0.0, test_fraction=0.0)
    assert data.classes == ["a", "b"] and whole(data)[1].tolist() == [0] * 10 + [1] * 10
    (words,) = [one for one in said(recwarn) if "links" in one]
    assert words == f"Left out 1 links in {linked} that lead nowhere or back to a folder above them: nowhere.png"


def test_a_link_that_leads_back_is_followed_once(tmp_path, recwarn):
    pictures(tmp_path / "a", 5)
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    data = make(tmp_path, follow_links=True, val_fraction=0.0, test_fraction=0.0)
    assert len(data.load("train")) == 5
    assert any("Left out 1 links" in one and "a/again" in one for one in said(recwarn))


def test_links_among_pictures_are_counted(tmp_path, recwarn):
    pictures(tmp_path / "all", 5)
    (tmp_path / "all" / "more.png").symlink_to(tmp_path / "all" / "000.png")
    assert len(make(tmp_path / "all", val_fraction=0.0, test_fraction=0.0).load("train")) == 5
    assert any("Left out 1 links in" in one and "more.png" in one for one in said(recwarn))


# ---------------------------------------------------------------- what is left out


def test_files_of_other_formats_are_counted(tmp_path, recwarn):
    pictures(tmp_path, 5)
    for name in ("a.heic", "b.HEIC", "c.npy", "without"):
        (tmp_path / name).write_bytes(b"x")
    make(tmp_path).setup("fit")
    words = f"Left out 4 files in {tmp_path} that are no pictures by their names: .heic (2), no ending (1), .npy (1)"
    assert words in said(recwarn)


def test_a_folder_of_another_format_says_which(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"no readable picture .*, but files ending in .heic \(1\); add pictures"):
        make(tmp_path).setup("fit")


def test_empty_classes_and_those_without_a_training_picture_are_said(tmp_path, recwarn):
    pictures(tmp_path / "train" / "cat", 5)
    pictures(tmp_path / "train" / "dog", 5)
    pictures(tmp_path / "val" / "cow", 5)
    (tmp_path / "train" / "emu").mkdir()
    data = make(tmp_path, labels=True)
    data.setup("fit")
    assert data.classes == ["cat", "cow", "dog"]
    words = said(recwarn)
    assert any("Left out 1 class folders without a picture" in one and one.endswith("train/emu") for one in words)
    assert any("1 of 3 classes in" in one and one.endswith("cannot learn them: cow") for one in words)


def test_a_class_of_one_picture_may_have_none_to_train_on(tmp_path, recwarn):
    pictures(tmp_path / "cat", 30)
    for name in "abcdefgh":
        pictures(tmp_path / name, 1)
    make(tmp_path, labels=True, val_fraction=0.4, test_fraction=0.4).setup("fit")
    assert any("have no training picture" in one for one in said(recwarn))


def test_names_with_odd_characters(tmp_path):
    names = ["a b", "ü", "new\nline", "100%", "[0-9]", "'quoted\"", "-dash", "tab\t", "日本", "a.png"]
    for name in names:
        pictures(tmp_path / name, 3)
    Image.new("RGB", (9, 9)).save(tmp_path / "ü" / "#?*[x]\n.png")
    data = make(tmp_path, labels=True, val_fraction=0.0, test_fraction=0.0)
    assert data.classes == sorted(names) and len(whole(data)[0]) == 31


# ---------------------------------------------------------------- more than eight bits


def grey16(path, white, mode="L"):
    """A ramp from black to white, as 16 bits."""
    values = np.linspace(0, white, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(values).save(path)
    return values


def test_pictures_of_twelve_bits_are_said_and_scaled_on_request(tmp_path, recwarn):
    for number in range(4):
        values = grey16(tmp_path / f"{number}.png", 4095)
    options = {"channels": 1, "val_fraction": 0.0, "test_fraction": 0.0}
    black = make(tmp_path, **options)
    assert whole(black).max() < -0.8
    (words,) = [one for one in said(recwarn) if "8 bits" in one]
    assert "values up to 4095 of 65535, and come out nearly black; if 4095 is white, use max_value=4095" in words
    scaled = whole(make(tmp_path, max_value=4095, **options))[0, 0]
    expected = torch.from_numpy((values / 4095.0).round(8)) * 2 - 1
    assert (scaled - expected).abs().max() <= 1 / 255 + 1e-6
    assert len([one for one in said(recwarn) if "8 bits" in one]) == 1


def test_pictures_of_sixteen_bits_are_not_warned_of(tmp_path, recwarn):
    grey16(tmp_path / "a.png", 65535)
    data = make(tmp_path, channels=1, val_fraction=0.0, test_fraction=0.0)
    assert whole(data).max() == 1 and not said(recwarn)


def png_of_colour(path, values):
    """Write RGB of 16 bits, which Pillow cannot write."""
    import struct
    import zlib

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def test_colours_of_twelve_bits_are_said_and_scaled_on_request(tmp_path, recwarn):
    values = np.random.default_rng(0).integers(0, 4096, (8, 8, 3))
    values[0, 0] = 4095
    png_of_colour(tmp_path / "a.png", values)
    assert brightest(tmp_path / "a.png") == (4095, False)
    x = read_picture(tmp_path / "a.png", (8, 8), 3, max_value=4095)
    assert (x.permute(1, 2, 0) - torch.from_numpy(values / 4095 * 255)).abs().max() <= 0.5
    make(tmp_path, val_fraction=0.0, test_fraction=0.0).load("train")
    assert any("values up to 4095 of 65535" in one for one in said(recwarn))


def test_floats_are_scaled_on_request(tmp_path):
    Image.fromarray(np.linspace(0, 4095, 64, dtype=np.float32).reshape(8, 8)).save(tmp_path / "a.tiff")
    x = read_picture(tmp_path / "a.tiff", (8, 8), 1, max_value=4095)
    assert x.min() == 0 and x.max() == 255 and x.float().mean() == pytest.approx(127.5, abs=1)


def test_deep_pictures_that_come_out_white_are_said(tmp_path, recwarn):
    for name, kind in (("floats", np.float32), ("whole", np.int32)):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((9, 9), 90_000, dtype=kind)).save(tmp_path / name / "a.tiff")
        make(tmp_path / name, channels=1, val_fraction=0.0, test_fraction=0.0).load("train")
        words = said(recwarn)[-1]
        assert f"up to 90000 and come out white above {255 if name == 'floats' else 65535}; if 90000 is white" in words


def test_an_infinite_value_is_the_largest_other_one(tmp_path, recwarn):
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    values[0, 0], values[0, 1], values[7, 7] = -np.inf, np.nan, np.inf
    Image.fromarray(values).save(tmp_path / "a.tiff")
    x = whole(make(tmp_path, channels=1, val_fraction=0.0, test_fraction=0.0))
    assert x.max() > 0.96 and x.min() == -1 and abs(x.mean()) < 0.05 and not said(recwarn)


def test_max_value_is_checked():
    with pytest.raises(ValueError, match=r"ImageFolder\(max_value=0\): expected a whole number of at least 1"):
        ImageFolder("anywhere", max_value=0)
