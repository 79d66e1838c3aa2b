"""Random flips in training batches: each image is mirrored or not, by the run's seed; scores read the data itself."""

import pytest
import torch
from helpers import small_image_gan
from lightning.pytorch import Trainer
from PIL import Image
from test_image_data import write_cifar, write_idx

from lightning_gans.callbacks import Evaluation
from lightning_gans.data import CIFAR10, FashionMNIST, GANData, ImageFolder
from lightning_gans.data.flips import flipped
from lightning_gans.metrics import PairwiseDiversity


def test_half_of_the_images_are_mirrored_and_nothing_else_changes():
    x, y = torch.rand(200, 3, 4, 5), torch.arange(200)
    seen, labels = flipped((x, y))
    same, mirrored = ((seen == one).flatten(1).all(1) for one in (x, x.flip(-1)))
    assert (same ^ mirrored).all() and torch.equal(labels, y)
    assert 70 < mirrored.sum() < 130
    again, _ = flipped((x, y))
    assert not torch.equal(seen, again), "anew whenever they are read"
    assert flipped(x).shape == x.shape


def test_samples_that_are_made_one_by_one_are_mirrored_too():
    class OneByOne(GANData):
        sample_shape = (1, 2, 2)

        def __init__(self):
            super().__init__(batch_size=64)
            self.flips = True

        def load(self, split):
            return [torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])] * 64

    data = OneByOne()
    data.setup("fit")
    left = next(iter(data.train_dataloader()))[:, 0, 0, 0]
    assert 10 < left.sum() < 54


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
@pytest.mark.parametrize("flips", [False, True])
def test_training_batches_are_flipped_where_it_is_asked_and_those_of_the_test_are_not(pictures, labels, flips):
    data = ImageFolder(str(pictures), 8, labels=labels, flips=flips, val_fraction=0, batch_size=16, num_workers=0)
    data.setup()
    for loader, mirrored in ((data.train_dataloader(), flips), (data.test_dataloader(), False)):
        batch = next(iter(loader))
        x = batch[0] if labels else batch
        assert (x[:, 0, 0, -1] == 1).any() == mirrored and (x[:, 0, 0, 0] == 1).any()


def test_images_in_memory_are_flipped_in_training_alone(tmp_path, monkeypatch):
    write_cifar(tmp_path / "cifar-10-batches-py")
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    data = CIFAR10(str(tmp_path), val_size=5, batch_size=4, flips=True)
    data.setup("fit")
    assert data.train_dataloader().dataset.augment is flipped
    assert not hasattr(data.val_dataloader().dataset, "augment")


def fashion(tmp_path):
    if not (tmp_path / "FashionMNIST").is_dir():
        write_idx(tmp_path / "FashionMNIST" / "raw")
    return FashionMNIST(str(tmp_path), val_size=10, batch_size=16, flips=True)


def test_the_batches_of_a_run_depend_on_its_seed_alone(tmp_path):
    def first(seed):
        torch.manual_seed(seed)
        data = fashion(tmp_path)
        data.setup("fit")
        return next(iter(data.train_dataloader()))

    assert torch.equal(first(0), first(0)) and not torch.equal(first(0), first(1))


def test_statistics_of_the_training_images_are_those_of_the_data_whatever_the_seed(tmp_path, quiet):
    """Flips of other seeds would make the file on disk one of other data, which is refused."""
    for seed in (0, 1):
        gan, statistics = small_image_gan(size=28), str(tmp_path / "statistics")
        score = Evaluation([PairwiseDiversity()], split="train", num_samples=20, statistics=statistics)
        torch.manual_seed(seed)
        Trainer(**{**quiet, "max_steps": 1, "callbacks": [score]}).fit(gan, datamodule=fashion(tmp_path))
    assert len(list((tmp_path / "statistics").glob("*.safetensors"))) == 1
