"""Every remedy of a data set works when it is done."""

import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch
from lightning.pytorch import Trainer
from remedied import each_row, fit

from lightning_gans import GAN
from lightning_gans.data import MNIST, Blank, CelebA, GANData, GaussianRing, ParallelLines
from lightning_gans.data.base import Samples
from lightning_gans.networks import MLPDiscriminator, MLPGenerator

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from test_celeba import write_celeba
from test_image_data import write_idx

pytestmark = [pytest.mark.untrusted]


def train(data):
    """Train a small GAN, conditional where the data has labels, on a batch of the data."""
    shape, classes = data.sample_shape, data.num_classes
    gan = GAN(MLPGenerator(shape, 3, 4, num_classes=classes), MLPDiscriminator(shape, 4, num_classes=classes))
    trainer = fit(gan, data, limit_train_batches=1, limit_val_batches=0)
    assert trainer.global_step > 0


class Points(GANData):
    """Eight points without labels."""

    sample_shape = (2,)

    def load(self, split):
        return Samples(torch.zeros(8, 2))


def train_in_two_processes(**options):
    """Train in one process that takes itself for the first of two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "world_size", 2)
        train(GaussianRing(**options))


# ---------------------------------------------------------------- MNIST


def mnist(folder, **options):
    train(MNIST(str(folder), **{"val_size": 10, "batch_size": 4, **options}))


@contextmanager
def network(works):
    """Deliver MNIST's files when they are downloaded, or fail as without a network."""

    def download(url, download_root, filename, md5):
        if not works:
            raise URLError("no route to host")
        if not any(Path(download_root).iterdir()):
            Path(download_root).rmdir()
            write_idx(Path(download_root))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torchvision.datasets.mnist.download_and_extract_archive", download)
        yield


def without_files(folder):
    with network(works=False):
        mnist(folder)


def copied(place, *_, folder):
    assert not Path(place).exists() or not any(Path(place).iterdir())
    shutil.rmtree(place, ignore_errors=True)
    write_idx(Path(place))
    without_files(folder)


def downloaded(folder):
    shutil.rmtree(folder / "MNIST")
    with network(works=True):
        mnist(folder)


def with_damaged_files(folder):
    write_idx(folder / "MNIST" / "raw")
    (folder / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"\x00\x00\x08\x03rubbish")
    mnist(folder)


def deleted_and_copied(place, error, folder):
    shutil.rmtree(place)
    copied(place, folder=folder)


def deleted_and_downloaded(place, error, folder):
    Path(place, "train-images-idx3-ubyte").write_bytes(b"rubbish")
    shutil.rmtree(place)
    with network(works=True):
        mnist(folder)


def with_val_size(value, folder):
    write_idx(folder / "MNIST" / "raw")
    mnist(folder, val_size=value, batch_size=1)


# ---------------------------------------------------------------- CelebA


@contextmanager
def faces(folder, gdown=True):
    """Let twelve faces be those that gdown downloads, if it is installed."""
    store = folder / "store"
    if not store.exists():
        write_celeba(store)
        shutil.make_archive(store / "celeba" / "img_align_celeba", "zip", store / "celeba", "img_align_celeba")

    def download(id, output, quiet, user_agent):
        shutil.copy(store / "celeba" / Path(output).name, output)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "gdown", SimpleNamespace(download=download) if gdown else None)
        for module in ("celeba", "utils"):
            patch.setattr(f"torchvision.datasets.{module}.check_integrity", lambda path, md5: Path(path).exists())
        yield store


def train_on_faces(folder, gdown=True, **options):
    with faces(folder, gdown):
        train(CelebA(str(folder), **{"size": 8, "batch_size": 6, "num_workers": 0, **options}))


def copied_faces(folder):
    with faces(folder) as store:
        shutil.copytree(store / "celeba", folder / "celeba")
    train_on_faces(folder, gdown=False)


def downloaded_faces(folder):
    shutil.rmtree(folder / "celeba", ignore_errors=True)
    train_on_faces(folder)


DAMAGED = Path("celeba", "img_align_celeba", "000002.jpg")


def with_a_damaged_face(folder):
    train_on_faces(folder)
    (folder / DAMAGED).write_bytes(b"rubbish")
    train_on_faces(folder)


def with_the_face_copied(folder):
    shutil.copy(folder / "store" / DAMAGED, folder / DAMAGED)
    train_on_faces(folder)


def with_the_faces_deleted(folder):
    (folder / DAMAGED).write_bytes(b"rubbish")
    shutil.rmtree((folder / DAMAGED).parent)
    train_on_faces(folder)


def with_attributes(*values, folder):
    for value in values:
        train_on_faces(folder, labels=True, attribute=value)


# ---------------------------------------------------------------- every message

REMEDIES = {
    "has no labels; use labels=False": (
        lambda: train(Points(4, labels=True)),
        {"use labels=False": lambda: train(Points(4, labels=False))},
    ),
    "is more than the training set of": (
        lambda: train(GaussianRing(num_samples=10, batch_size=20)),
        {
            "use batch_size <= {}": lambda value: train(GaussianRing(num_samples=10, batch_size=int(value))),
            "or more data": lambda: train(GaussianRing(num_samples=20, batch_size=20)),
        },
    ),
    "is more than the training set of … holds (…); use …more data": (
        lambda: train_in_two_processes(num_samples=1, batch_size=1),
        {"processes); use more data": lambda: train_in_two_processes(num_samples=2, batch_size=1)},
    ),
    "Blank(image_shape=…): expected channels, height and width": (
        lambda: train(Blank((3, 64), batch_size=2)),
        {"such as ({}, {}, {})": lambda *sizes: train(Blank([int(size) for size in sizes], batch_size=2))},
    ),
    "is not one of CelebA's": (
        lambda folder: train_on_faces(folder, labels=True, attribute="Smile"),
        {"use one of {}, {}, {}": with_attributes},
    ),
    "CelebA's image": (
        with_a_damaged_face,
        {"copy it again": with_the_face_copied, "delete img_align_celeba/": with_the_faces_deleted},
    ),
    "leaves nothing of the": (
        lambda folder: with_val_size(60, folder),
        {"use val_size < {}": lambda value, folder: mnist(folder, val_size=int(value) - 1, batch_size=1)},
    ),
    "is missing or incomplete in": (
        without_files,
        {"in {} and could not be downloaded ({}); copy its files to that folder": copied}
        | {"run once with a network": downloaded},
    ),
    "copy its files to that folder, or run once with": (
        lambda folder: train_on_faces(folder, gdown=False),
        {"copy its files": copied_faces, "run once with a network and the package gdown": downloaded_faces},
    ),
    "has damaged files in": (
        with_damaged_files,
        {
            "in {} ({}); delete that folder and copy": deleted_and_copied,
            "in {} ({}); delete that folder and copy or download it again": deleted_and_downloaded,
        },
    ),
    "ParallelLines(offset=": (
        lambda: train(ParallelLines(float("inf"))),
        {"such as {}": lambda value: train(ParallelLines(float(value)))},
    ),
}


test_a_remedy_works = each_row(REMEDIES)
