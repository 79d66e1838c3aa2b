"""Random flips of training images: each is mirrored or not, half of them, by the run's seed; other splits never."""

import pytest
import torch
from PIL import Image
from test_image_data import write_cifar, write_idx

from lightning_gans.data import CIFAR10, FashionMNIST, ImageFolder, Samples
from lightning_gans.data.flips import Flipped


def test_half_of_the_images_are_mirrored_and_nothing_else_changes():
    x, y = torch.rand(200, 3, 4, 5), torch.arange(200)
    seen, labels = Flipped(Samples(x, y)).__getitems__(range(200))
    same, mirrored = ((seen == one).flatten(1).all(1) for one in (x, x.flip(-1)))
    assert (same ^ mirrored).all() and torch.equal(labels, y)
    assert 70 < mirrored.sum() < 130
    again, _ = Flipped(Samples(x, y)).__getitems__(range(200))
    assert not torch.equal(seen, again), "anew whenever they are read"
    alone = Flipped(Samples(x)).__getitems__(range(200))
    assert alone.shape == x.shape


@pytest.fixture
def pictures(tmp_path):
    for split in ("train", "test"):
        for name in "ab":
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(8):
                picture = Image.new("RGB", (8, 8))
                picture.putpixel((0, 0), (255, 255, 255))
                picture.save(tmp_path / split / name / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize("labels", [False, True])
def test_pictures_of_training_are_flipped_and_those_of_the_test_are_not(pictures, labels):
    data = ImageFolder(str(pictures), size=8, labels=labels, flips=True, num_workers=0)
    for split, mirrored in (("train", True), ("test", False)):
        found = data.load(split)
        batch = found.__getitems__(range(len(found)))
        x = batch[0] if labels else batch
        assert (x[:, 0, 0, -1] == 1).any() == mirrored and (x[:, 0, 0, 0] == 1).any()


def test_images_in_memory_are_flipped_where_it_is_asked(tmp_path, monkeypatch):
    write_cifar(tmp_path / "cifar-10-batches-py")
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    kinds = {flips: type(CIFAR10(str(tmp_path), val_size=5, flips=flips).load("train")) for flips in (False, True)}
    assert kinds == {False: Samples, True: Flipped}
    assert type(CIFAR10(str(tmp_path), val_size=5, flips=True).load("val")) is Samples


def test_the_batches_of_a_run_depend_on_its_seed_alone(tmp_path):
    write_idx(tmp_path / "FashionMNIST" / "raw")

    def first(seed):
        torch.manual_seed(seed)
        data = FashionMNIST(str(tmp_path), val_size=10, batch_size=16, flips=True)
        data.setup("fit")
        return next(iter(data.train_dataloader()))

    assert torch.equal(first(0), first(0)) and not torch.equal(first(0), first(1))
