"""Closest training samples, and the command `neighbours`."""

import re

import numpy as np
import pytest
import torch
import yaml
from helpers import linear_gan
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

from lightning_gans import GAN, generation
from lightning_gans.data import Blank, Digits, GANData, GaussianRing
from lightning_gans.data.base import Samples
from lightning_gans.generation import find_neighbours
from lightning_gans.generation.nearest import verdict
from lightning_gans.networks import DCGANDiscriminator, Generator


class Fixed(GANData):
    """Random images, drawn once."""

    def __init__(self, sizes=(40, 30, 30), shape=(1, 8, 8)):
        super().__init__()
        source = torch.Generator().manual_seed(0)
        self.x = [torch.rand(size, *shape, generator=source) * 2 - 1 for size in sizes]
        self.shape = shape

    @property
    def sample_shape(self):
        return self.shape

    def load(self, split):
        return Samples(self.x[("train", "val", "test").index(split)])


class Single(Fixed):
    """The same images as a plain data set with labels, which gives single samples."""

    def load(self, split):
        class Pairs(Dataset):
            def __init__(self, x):
                self.x = x

            def __len__(self):
                return len(self.x)

            def __getitem__(self, index):
                return self.x[index], index

        return Pairs(super().load(split).x)


class Copying(Generator):
    """A generator that returns training samples, one for each latent."""

    def __init__(self, x, blur=0.0):
        super().__init__(x.shape[1:], 2)
        self.x, self.blur = nn.Parameter(x), blur

    def forward(self, z, labels=None):
        x = self.x[(z[:, 0] * 1e4).long() % len(self.x)]
        return x + self.blur * z[:, 1].view(-1, 1, 1, 1)


def gan_of(generator):
    return GAN(generator, DCGANDiscriminator(generator.sample_shape, width=2))


# ---------------------------------------------------------------- the search


@pytest.mark.parametrize("k", [1, 3, 40])
@pytest.mark.parametrize("kind", [Fixed, Single])
def test_neighbours_are_those_of_the_full_distance_matrix(kind, k, monkeypatch):
    monkeypatch.setattr("lightning_gans.generation.nearest.BLOCK", 7)
    monkeypatch.setattr("lightning_gans.metrics.distances.BLOCK", 20)
    data = kind()
    samples = torch.rand(11, 1, 8, 8) * 2 - 1
    found = find_neighbours(samples, data, k)
    distances = (samples[:, None] - data.x[0][None]).flatten(2).norm(dim=2)
    expected, order = distances.sort(1)
    torch.testing.assert_close(found.distances, expected[:, :k])
    assert torch.equal(found.samples, data.x[0][order[:, :k]]) and found.searched == 40


def test_a_copy_is_at_distance_zero():
    data = Fixed()
    found = find_neighbours(data.x[0][5:8], data, 2)
    assert torch.equal(found.distances[:, 0], torch.zeros(3)) and (found.distances[:, 1] > 1).all()
    assert torch.equal(found.samples[:, 0], data.x[0][5:8])


def test_features_can_be_compared_in_place_of_samples():
    class Brightness(nn.Module):
        num_features = 1

        def forward(self, x):
            assert not self.training
            return x.mean((1, 2, 3))[:, None]

    data, samples = Fixed(), torch.rand(4, 1, 8, 8) * 2 - 1
    found = find_neighbours(samples, data, 2, Brightness())
    means = data.x[0].mean((1, 2, 3))
    order = (samples.mean((1, 2, 3))[:, None] - means).abs().argsort(1)[:, :2]
    assert torch.equal(found.samples, data.x[0][order])
    assert not torch.equal(found.samples, find_neighbours(samples, data, 2).samples)


@pytest.mark.parametrize("k", [0, 41])
def test_a_number_of_neighbours_out_of_range_is_refused(k):
    with pytest.raises(ValueError, match=f"k={k}: expected 1 to 40, the number of training samples"):
        find_neighbours(torch.zeros(1, 1, 8, 8), Fixed(), k)


# ---------------------------------------------------------------- the verdict


def test_the_verdict_follows_from_the_distances():
    new = torch.linspace(1, 2, 100)
    for samples, says, share in (
        (torch.zeros(100), "the samples are copies of training samples", 100),
        (new - 0.3, "closer than new data: memorised, or simpler than the data; compare the rows", 75),
        (new, "as far as new data: no sign of memorisation", 50),
        (new + 0.02, "as far as new data", 48),
        (new + 0.4, "farther than new data: no sign of memorisation, but the samples miss the data", 18),
        (torch.full((100,), 5.0), "farther than new data", 0),
    ):
        line = verdict(samples, new)
        assert says in line and "\n" not in line
        pairs = 100 * float(((samples[:, None] < new).double() + (samples[:, None] == new).double() / 2).mean())
        assert f"{pairs:.0f} % of pairs" in line and abs(pairs - share) < 2
    assert "1.5 of 100 samples, 1.5 of 100 held-out ones" in verdict(new, new)


# ---------------------------------------------------------------- the command


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """Return a function that runs the command on a GAN in memory and returns the picture and the printed lines."""

    def command(gan, data, checkpoint="run.ckpt", **arguments):
        monkeypatch.setattr("lightning_gans.generation.nearest.load", lambda path, trust: gan)
        generation.neighbours(str(checkpoint), data, str(tmp_path / "out.png"), **{"compared": 30, **arguments})
        return np.array(Image.open(tmp_path / "out.png")), capsys.readouterr().out

    return command


def test_a_generator_that_copies_is_detected(command):
    data = Fixed()
    image, said = command(gan_of(Copying(data.x[0])), data, num=3, k=2)
    assert "3 samples of GAN after 0 generator updates beside the 2 closest of 40 training samples" in said
    assert "copies of training samples" in said and " 0 of 30 samples" in said
    assert image.shape == (3 * (48 + 13 + 2) + 2, 52 + 10 + 102, 3)
    for row in range(3):
        sample, first, second = (image[row * 63 + 2 :][:48, left : left + 48] for left in (2, 64, 114))
        assert np.array_equal(sample, first) and not np.array_equal(sample, second)


def test_a_generator_of_new_samples_is_not_taken_for_copying(command):
    data = Fixed((200, 60, 60))
    fresh = torch.rand(300, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert "no sign of memorisation." in command(gan_of(Copying(fresh)), data, num=1, compared=60)[1]


def test_samples_are_those_of_their_seeds(command):
    data = Fixed()
    gan = gan_of(Copying(data.x[0], blur=0.1))
    image, _ = command(gan, data, num=2, k=1, seed=5)
    samples = generation.render(gan, generation.seed_latents(gan, [5, 6]), [5, 6])
    left = generation.captioned(samples, ["seed 5", "seed 6"], columns=1)
    assert np.array_equal(image[:, :52], left.numpy())


def test_labels_choose_the_classes(command):
    data = Fixed(shape=(2,))
    gan = linear_gan(num_classes=3, dim=2)
    images = [command(gan, data, num=4, labels=labels)[0] for labels in (None, [1], [1])]
    assert images[0].shape == (480, 480, 3)
    assert not np.array_equal(images[0], images[1]) and np.array_equal(images[1], images[2])


def test_held_out_samples_are_from_the_test_split_where_there_is_no_validation_split(command):
    data = Fixed((40, 0, 25))
    assert "of 25 held-out ones" in command(gan_of(Copying(data.x[0])), data, num=1)[1]
    with pytest.raises(ValueError, match="Fixed has neither validation nor test samples; use data with held-out"):
        command(gan_of(Copying(data.x[0])), Fixed((40, 0, 0)))


def test_points_are_compared_too(command):
    data = GaussianRing(num_samples=500, num_val_samples=50, fresh=True)
    image, said = command(linear_gan(dim=2), data, num=5, k=3)
    assert image.shape == (480, 480, 3) and "of 500 training samples" in said
    assert np.array_equal(image, command(linear_gan(dim=2), data, num=5, k=3)[0]), "with fresh draws too"


def test_the_data_is_that_of_the_run(command, tmp_path):
    gan = gan_of(Copying(torch.zeros(3, 1, 8, 8)))
    path = tmp_path / "runs" / "version_0" / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    with pytest.raises(ValueError, match=r"no config.yaml in the run's folder of '.*last\.ckpt'; name the data"):
        command(gan, None, path)
    config = path.parents[1] / "config.yaml"
    config.write_text(yaml.safe_dump({"data": {"class_path": "Digits", "init_args": {"labels": True}}}))
    size = len(Digits().load("train"))
    assert f"of {size:,} training samples" in command(gan, None, path)[1]
    config.write_text("data: {class_path: stranger.Data}")
    with pytest.raises(
        ValueError, match=r"stranger\.Data is not a data module of this library, and a file may not import other code"
    ):
        command(gan, None, path)
    for text in (
        "data: {class_path: Digtis}",
        "data: os.getcwd",
        "data: lightning_gans.data.Digtis",
        "model: DCGAN",
        "just words",
        "data: [1, 2",
    ):
        config.write_text(text)
        with pytest.raises(ValueError, match=r"config\.yaml' does not say which data .*; name it") as refused:
            command(gan, None, path)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"num": 0}, r"^neighbours\(num=0\): expected a whole number of at least 1, such as 1\.$"),
        ({"k": 0}, r"^neighbours\(k=0\): expected a whole number of at least 1, such as 1\.$"),
        ({"k": 41}, "k=41: expected 1 to 40"),
        ({"compared": 19}, r"^neighbours\(compared=19\): expected a whole number of at least 20, such as 20\.$"),
        ({"seed": -1}, "expected at least one whole number from 0"),
        ({"labels": [1]}, r"labels=\[1\], but this generator has no classes"),
        ({"features": nn.Identity()}, "features=Identity: expected a network with num_features"),
        ({"data": Digits(size=16)}, re.escape("Digits has samples of shape (1, 16, 16), but the generator makes (")),
        ({"data": Blank((1, 8, 8))}, "the run has no training samples.*name some"),
    ],
)
def test_mistakes_are_refused(arguments, says, command, tmp_path):
    data = Fixed()
    with pytest.raises(ValueError, match=says):
        command(gan_of(Copying(data.x[0])), **({"data": data} | arguments))
    assert not list(tmp_path.iterdir())
