"""Every remedy of a folder of pictures works when it is done."""

import os
import shutil
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from PIL import Image
from remedied import command, each_row, fit
from test_remedies_of_data import train

from lightning_gans import DCGAN
from lightning_gans.data import ImageFolder

pytestmark = [pytest.mark.untrusted]


def picture(path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 9), (50, 100, 150)).save(path, **options)


def pictures(*folders, count=5):
    for folder in folders:
        for number in range(count):
            picture(folder / f"{number}.png")


def load(root, **options):
    train(ImageFolder(str(root), **{"size": 8, "batch_size": 2, "num_workers": 0, **options}))


def provoked(make, place="pictures", **options):
    """Return a function that makes a folder of pictures and loads them."""

    def provoke(folder):
        make(folder / place)
        load(folder / place, **options)

    return provoke


def loaded(place="pictures", **options):
    """Return a function that loads the folder as it is, with other options."""
    return lambda folder: load(folder / place, **options)


@cache
def checkpoint():
    with TemporaryDirectory() as place:
        trainer = fit(DCGAN((3, 8, 8), latent_dim=3, width=2), [torch.zeros(4, 3, 8, 8)])
        trainer.save_checkpoint(Path(place, "last.ckpt"))
        return Path(place, "last.ckpt").read_bytes()


def typed(*options):
    """Return a function that reads the folder in a command, with further options."""

    def typed(folder):
        (folder / "last.ckpt").write_bytes(checkpoint())
        few = ("--num=1", "--k=1", "--compared=20")
        data = ("--data=ImageFolder", "--data.root=pictures", "--data.size=8", "--data.num_workers=0")
        command("neighbours", "--checkpoint=last.ckpt", *few, *data, *options)

    return typed


# ---------------------------------------------------------------- files


def with_a_broken_file(root):
    pictures(root)
    (root / "broken.png").write_text("no picture")


def with_half_a_file(root):
    pictures(root)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(root / "half.jpg")
    (root / "half.jpg").write_bytes((root / "half.jpg").read_bytes()[:3000])


def removed(name):
    def act(folder):
        (folder / "pictures" / name).unlink()
        load(folder / "pictures", val_fraction=0, test_fraction=0, batch_size=5)

    return act


def with_another_format(root):
    root.mkdir()
    (root / "a.heic").write_bytes(b"x")


def saved_as(*formats, folder):
    for name in formats:
        (folder / "pictures" / f"a.{name.lower()}").unlink(missing_ok=True)
        picture(folder / "pictures" / f"a.{name.lower()}", format=name)
        load(folder / "pictures", batch_size=1, val_fraction=0, test_fraction=0)
        (folder / "pictures" / f"a.{name.lower()}").unlink()


def of_twelve_bits(root):
    root.mkdir()
    for number in range(5):
        Image.fromarray(np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)).save(root / f"{number}.png")


def with_a_maximum(value, folder):
    load(folder / "pictures", max_value=int(value))
    data = ImageFolder(str(folder / "pictures"), size=8, max_value=int(value))
    assert data.load("train").__getitems__([0]).max() == 1


# ---------------------------------------------------------------- links


def with_links(root):
    pictures(root.parent / "real" / "cat", root.parent / "real" / "dog")
    root.mkdir()
    for name in ("cat", "dog"):
        (root / name).symlink_to(root.parent / "real" / name)


def with_a_link(root):
    pictures(root)
    (root / "more.png").symlink_to(root / "0.png")


# ---------------------------------------------------------------- folders that cannot be opened


@contextmanager
def permissions():
    """Refuse folders without permission to read, as the system does, but for its administrator."""
    scandir = os.scandir

    def guarded(path):
        if not os.stat(path).st_mode & 0o400:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", guarded)
        yield


def with_permissions(act):
    def guarded(folder):
        with permissions():
            act(folder)

    return guarded


def with_a_closed_folder(root):
    pictures(root, root / "closed")
    (root / "closed").chmod(0o300)


def made_readable(path, folder):
    Path(path).chmod(0o700)
    with permissions():
        load(folder / "pictures")
        assert sum(len(ImageFolder(str(folder / "pictures")).load(split)) for split in ("train", "val", "test")) == 10


# ---------------------------------------------------------------- classes and splits


def in_folders(*names):
    """Return a function that makes pictures in these folders."""
    return lambda root: pictures(*(root / name for name in names))


def with_class_folders(folder):
    for number, path in enumerate(sorted((folder / "pictures").iterdir())):
        target = folder / "pictures" / "ab"[number % 2] / path.name
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    load(folder / "pictures", labels=True)


def with_a_loose_picture(root):
    pictures(root / "cat", root / "dog")
    picture(root / "loose.png")


def moved_into_a_class(folder):
    (folder / "pictures" / "loose.png").rename(folder / "pictures" / "cat" / "loose.png")
    load(folder / "pictures", labels=True)


def with_more(folder):
    pictures(folder / "pictures", count=5)
    load(folder / "pictures")


def with_one_folder_of_a_split(folder):
    shutil.rmtree(folder / "pictures" / "valid")
    load(folder / "pictures")


def with_train_in_it(folder):
    pictures(folder / "pictures" / "train")
    load(folder / "pictures")


def with_splits_first(folder):
    root = folder / "pictures"
    for kind in ("cat", "dog"):
        for split in ("train", "test"):
            (root / split).mkdir(exist_ok=True)
            (root / kind / split).rename(root / split / kind)
        (root / kind).rmdir()
    data = ImageFolder(str(root), labels=True)
    assert data.classes == ["cat", "dog"] and len(data.load("test")) == 10
    load(root, labels=True)


def as_root(path):
    load(path, labels=True)
    assert ImageFolder(path, labels=True).classes == ["cat", "dog"]


# ---------------------------------------------------------------- every message

SKIP = {
    "use skip_corrupt=True": loaded(skip_corrupt=True),
    "(--data.skip_corrupt true)": typed("--data.skip_corrupt=true"),
}
FOLLOW = typed("--data.follow_links=true")
ONE = loaded(val_fraction=0, test_fraction=0, batch_size=1)

REMEDIES = {
    "expected a sum below": (
        provoked(pictures, val_fraction=0.6, test_fraction=0.6),
        {"use smaller fractions": loaded(val_fraction=0.2, test_fraction=0.2)},
    ),
    "labels=True needs one sub-folder of pictures per class": (
        provoked(pictures, labels=True),
        {"use labels=False": loaded(labels=False), "make them": with_class_folders},
    ),
    "one sub-folder of pictures per class in …; make them": (
        provoked(with_links, labels=True),
        {"use follow_links=True": loaded(labels=True, follow_links=True)}
        | {"--data.follow_links true": typed("--data.labels=true", "--data.follow_links=true")},
    ),
    "is not a folder; give the folder that holds": (
        lambda folder: load(folder / "nowhere"),
        {"give the folder that holds the pictures": provoked(pictures)},
    ),
    "holds too few pictures": (
        provoked(lambda root: pictures(root, count=1)),
        {"use val_fraction=0 and test_fraction=0": ONE, "add pictures": with_more},
    ),
    "has no class; move it into a class folder": (
        provoked(with_a_loose_picture, labels=True),
        {"use labels=False": loaded(labels=False), "move it into a class folder": moved_into_a_class},
    ),
    "cannot be read as pictures": (provoked(with_a_broken_file), SKIP | {"remove them": removed("broken.png")}),
    "holds no readable picture (": (
        provoked(with_another_format),
        {"add pictures in a format that Pillow reads, such as {} or {}": saved_as},
    ),
    "no readable picture (hidden files are ignored)…; add": (
        provoked(with_links),
        {"links, which follow_links=True": loaded(follow_links=True), "(--data.follow_links true) reads": FOLLOW},
    ),
    "has one class, …; if the classes are its folders": (
        provoked(in_folders("all/cat", "all/dog"), labels=True),
        {"give root={}": as_root},
    ),
    "The pictures of more than 8 bits in": (
        provoked(of_twelve_bits),
        {"use max_value={} (": with_a_maximum}
        | {"(--data.max_value {})": lambda value, folder: typed("--data.max_value", value)(folder)},
    ),
    "; use follow_links=True (--data.follow_links true) to read them": (
        provoked(with_a_link),
        {"use follow_links=True": loaded(follow_links=True), "(--data.follow_links true)": FOLLOW},
    ),
    "cannot be opened (…); make it readable": (
        with_permissions(provoked(with_a_closed_folder)),
        {words: with_permissions(act) for words, act in SKIP.items()}
        | {"the folder {} cannot be opened (Permission denied); make it readable": made_readable},
    ),
    "all of which name one split": (
        provoked(in_folders("train", "val", "valid")),
        {"keep one of them": with_one_folder_of_a_split},
    ),
    "and no train/, so that test pictures would be trained on": (
        provoked(in_folders("val", "test")),
        {"or the folder of the pictures to train on": loaded("pictures/val")}
        | {"give a root with train/ in it": with_train_in_it},
    ),
    "; give root=": (
        provoked(in_folders("all/train/cat", "all/train/dog", "all/test/cat", "all/test/dog"), labels=True),
        {"one level lower, all/test, all/train; give root={}": as_root},
    ),
    "; put the splits first": (
        provoked(in_folders("cat/train", "cat/test", "dog/train", "dog/test"), labels=True),
        {"put the splits first: train/<class>/": with_splits_first},
    ),
    "cannot be decoded": (
        provoked(with_half_a_file, val_fraction=0, test_fraction=0, batch_size=6),
        SKIP | {"remove it": removed("half.jpg")},
    ),
}


test_a_remedy_works = each_row(REMEDIES)
