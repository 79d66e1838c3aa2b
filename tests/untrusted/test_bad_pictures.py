"""A folder with broken and unusual pictures: valid ones are read, others are named, nothing outside is read."""

import os
import time

import bad_pictures
import pytest
import torch
from PIL import Image

from lightning_gans.__main__ import main
from lightning_gans.data import ImageFolder

pytestmark = [pytest.mark.untrusted, pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "pictures"


def make(folder, **kwargs):
    settings = {"size": 8, "batch_size": 4, "num_workers": 0, "val_fraction": 0.0, "test_fraction": 0.0}
    return ImageFolder(str(folder), **settings | kwargs)


def names(data):
    return sorted(path.relative_to(data.root).as_posix() for path in data.load("train").files)


def samples(data):
    dataset = data.load("train")
    return dataset.__getitems__(list(range(len(dataset))))


@pytest.mark.parametrize("skip_corrupt", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_unusual_pictures_are_read(folder, channels, skip_corrupt):
    good = bad_pictures.unusual(folder)
    data = make(folder, channels=channels, skip_corrupt=skip_corrupt)
    assert names(data) == good and len(good) == 23
    x = samples(data)
    assert x.shape == (23, channels, 8, 8) and torch.isfinite(x).all() and x.min() >= -1 and x.max() <= 1


def test_broken_pictures_are_refused_by_name(folder):
    bad_pictures.unusual(folder)
    bad = bad_pictures.broken(folder)
    with pytest.raises(
        ValueError, match=r"of 42 files in .* cannot be read as pictures: .* and \d+ more; remove"
    ) as refused:
        make(folder).load("train")
    assert "\n" not in str(refused.value) and str(refused.value).isprintable() and len(bad) == 19


def test_broken_pictures_are_skipped_and_counted_and_named(folder, recwarn):
    good = bad_pictures.unusual(folder)
    bad = bad_pictures.broken(folder)
    data = make(folder, skip_corrupt=True)
    assert names(data) == good
    (warned,) = [str(one.message) for one in recwarn if "Left out" in str(one.message)]
    assert warned.startswith(f"Left out {len(bad)} of {len(good) + len(bad)} files") and "archive.png (Unid" in warned
    assert warned.isprintable() and warned.endswith(f"and {len(bad) - 5} more")
    assert torch.isfinite(samples(data)).all()


@pytest.mark.parametrize(
    "name", ["empty.png", "postscript.png", "bomb.png", "large.png", "text_bomb.png", "without_data.png"]
)
def test_the_warning_gives_the_reason(folder, name, recwarn):
    Image.new("RGB", (9, 9)).save(folder.parent / "good.png")
    bad_pictures.broken(folder)
    for other in folder.iterdir():
        if other.name != name:
            other.unlink()
    (folder.parent / "good.png").rename(folder / "good.png")
    assert names(make(folder, skip_corrupt=True)) == ["good.png"]
    (warned,) = [str(one.message) for one in recwarn if "Left out" in str(one.message)]
    reason = "DecompressionBombError" if name in ("bomb.png", "large.png") else ""
    assert f"Left out 1 of 2 files in {folder}: {name} ({reason}" in warned


def test_links_and_pipes_are_not_read(folder):
    good = bad_pictures.unusual(folder)
    bad_pictures.not_pictures(folder, folder.parent / "outside")
    start = time.monotonic()
    for skip_corrupt in (False, True):
        data = make(folder, skip_corrupt=skip_corrupt)
        assert names(data) == good
    red = torch.tensor([1.0, -1.0, -1.0]).view(3, 1, 1)
    assert not (samples(data) == red).flatten(1).all(1).any()
    assert time.monotonic() - start < 60, "reading from a pipe would block"


def test_a_thousand_classes(folder):
    folder.mkdir()
    Image.new("RGB", (9, 9)).save(folder.parent / "one.png")
    for number in range(1000):
        (folder / f"{number:04d}").mkdir()
        os.link(folder.parent / "one.png", folder / f"{number:04d}" / "a.png")
    data = make(folder, labels=True)
    assert data.num_classes == 1000 and data.load("train").y.tolist() == list(range(1000))


def test_a_folder_that_cannot_be_opened(folder, monkeypatch, recwarn):
    good = bad_pictures.unusual(folder)
    closed = folder / "folder.png"
    scandir = os.scandir

    def guarded(path):
        if str(path) == str(closed):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(
        ValueError, match=r"folder\.png cannot be opened \(Permission denied\); make it readable, or use"
    ):
        make(folder).load("train")
    assert names(make(folder, skip_corrupt=True)) == [name for name in good if "/" not in name]
    assert "Left out 1 folders" in str(recwarn.pop().message)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_run_trains_on_the_valid_pictures(folder, tmp_path, monkeypatch, capsys):
    bad_pictures.unusual(folder)
    bad_pictures.broken(folder)
    bad_pictures.not_pictures(folder, tmp_path / "outside")
    monkeypatch.chdir(tmp_path)
    args = [
        "fit",
        "--model=DCGAN",
        "--model.width=4",
        "--data=ImageFolder",
        "--data.root=pictures",
        "--data.size=16",
        "--data.batch_size=4",
        "--trainer.max_epochs=1",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
    ]
    with pytest.raises(SystemExit) as stopped:
        main(args)
    assert stopped.value.code == 2 and "; remove them or use --data.skip_corrupt true\n" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    main([*args, "--data.skip_corrupt=true"])
    assert (tmp_path / "runs/dcgan_imagefolder/version_0/checkpoints/last.ckpt").is_file()
