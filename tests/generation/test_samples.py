"""The command `sample`."""

import numpy as np
import pytest
import torch
from helpers import ensemble
from PIL import Image

from lightning_gans import DCGAN, WGAN, generation
from lightning_gans.data import ImageFolder


@pytest.fixture
def checkpoint(fit, tmp_path):
    gan = DCGAN((1, 8, 8), latent_dim=3, width=2, num_classes=3)
    fit(gan).save_checkpoint(tmp_path / "dcgan.ckpt")
    return tmp_path / "dcgan.ckpt"


def test_sample_writes_a_picture_and_prints_one_line(checkpoint, tmp_path, capsys):
    out = tmp_path / "out" / "grid.png"
    generation.sample(str(checkpoint), str(out), num=10, seed=5, labels=[2, 0])
    assert capsys.readouterr().out == f"10 samples of DCGAN after 2 generator updates: {out}\n"
    samples, _ = generation.draw(generation.load(checkpoint), 10, 5, [2, 0])
    expected = generation.picture(samples, columns=8)
    with Image.open(out) as saved:
        assert torch.equal(torch.from_numpy(np.array(saved)), expected)


def test_the_same_seed_gives_the_same_file(checkpoint, tmp_path):
    for name, seed in (("a.png", 0), ("b.png", 0), ("c.png", 1)):
        generation.sample(str(checkpoint), str(tmp_path / name), seed=seed)
    first, again, other = ((tmp_path / name).read_bytes() for name in ("a.png", "b.png", "c.png"))
    assert first == again != other


def test_points_are_sampled_too(fit, tmp_path):
    fit(WGAN((2,), latent_dim=3, width=4)).save_checkpoint(tmp_path / "wgan.ckpt")
    generation.sample(str(tmp_path / "wgan.ckpt"), str(tmp_path / "map.png"))
    with Image.open(tmp_path / "map.png") as saved:
        assert saved.size == (480, 480)


def test_sample_draws_a_row_for_each_route(monkeypatch, tmp_path, capsys):
    gan, out = ensemble(), tmp_path / "routes.png"
    monkeypatch.setattr("lightning_gans.generation.samples.load", lambda path, trust: gan)
    generation.sample("run.ckpt", str(out), num=11, seed=5, routes=3)
    assert capsys.readouterr().out == f"9 samples along 3 routes of 3 of GAN after 0 generator updates: {out}\n"
    expected = generation.picture(generation.draw_by_route(gan, 3, 3, 5).flatten(0, 1), columns=3)
    with Image.open(out) as saved:
        assert torch.equal(torch.from_numpy(np.array(saved)), expected)


# ---------------------------------------------------------------- a folder


def read(path):
    return torch.from_numpy(np.array(Image.open(path)))


def test_a_name_without_an_ending_is_a_folder_of_pngs_by_class_that_image_folder_reads(checkpoint, tmp_path, capsys):
    generation.sample(str(checkpoint), str(tmp_path / "many"), num=300, seed=5)
    assert capsys.readouterr().out == f"300 samples of DCGAN after 2 generator updates: {tmp_path / 'many'}\n"
    samples, classes = generation.draw(generation.load(checkpoint), 300, 5)
    for i in (0, 255, 256, 299):
        bytes_ = ((samples[i, 0] + 1) * 127.5).round().to(torch.uint8)
        assert torch.equal(read(tmp_path / "many" / str(int(classes[i])) / f"{i:05}.png"), bytes_)
    data = ImageFolder(str(tmp_path / "many"), size=8, channels=1, labels=True, val_fraction=0, test_fraction=0)
    data.setup("fit")
    assert data.classes == ["0", "1", "2"] and len(data.train_dataloader().dataset) == 300


def test_samples_without_classes_lie_in_the_folder_itself_in_colour(fit, tmp_path):
    fit(DCGAN((3, 8, 8), latent_dim=3, width=2)).save_checkpoint(tmp_path / "colour.ckpt")
    generation.sample(str(tmp_path / "colour.ckpt"), f"{tmp_path}/v1.0/", num=3)
    assert sorted(path.name for path in (tmp_path / "v1.0").iterdir()) == ["00000.png", "00001.png", "00002.png"]
    assert read(tmp_path / "v1.0" / "00002.png").shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "exists already; give the name of a new folder"),
        ({"numbered": True}, "without numbers and routes; give a picture, such as grid.png"),
        ({"routes": 2}, "without numbers and routes; give a picture, such as grid.png"),
    ],
)
def test_a_folder_that_is_full_or_asked_for_numbers_is_refused(checkpoint, tmp_path, options, words):
    (tmp_path / "v1.0").mkdir()
    (tmp_path / "v1.0" / "kept.txt").write_text("mine")
    with pytest.raises(ValueError, match=words):
        generation.sample(str(checkpoint), str(tmp_path / "v1.0"), num=2, **options)
    assert [path.name for path in (tmp_path / "v1.0").iterdir()] == ["kept.txt"]


def test_points_in_a_folder_are_refused(fit, tmp_path):
    fit(WGAN((2,), latent_dim=3, width=4)).save_checkpoint(tmp_path / "wgan.ckpt")
    with pytest.raises(ValueError, match="points have no pictures of their own; give a picture"):
        generation.sample(str(tmp_path / "wgan.ckpt"), str(tmp_path / "points"))


# ---------------------------------------------------------------- numbered


def test_a_numbered_sample_is_drawn_from_its_seed_alone(checkpoint, tmp_path, capsys):
    generation.sample(str(checkpoint), str(tmp_path / "a.png"), num=4, seed=9, labels=[1], numbered=True)
    assert "4 samples numbered 9 to 12, by their seeds, of DCGAN" in capsys.readouterr().out
    gan = generation.load(checkpoint)
    classes = torch.tensor([[0.0, 1.0, 0.0]]).expand(4, 3)
    seeds = [9, 10, 11, 12]
    samples = generation.render(gan, generation.seed_latents(gan, seeds), seeds, classes)
    expected = generation.captioned(samples, [f"{seed} (1)" for seed in seeds], columns=8)
    with Image.open(tmp_path / "a.png") as saved:
        assert torch.equal(torch.from_numpy(np.array(saved)), expected)


def test_points_are_numbered_on_their_map(monkeypatch, make_gan, tmp_path):
    gan = make_gan()
    monkeypatch.setattr("lightning_gans.generation.samples.load", lambda path, trust: gan)
    images = []
    for numbered in (False, True):
        generation.sample("run.ckpt", str(tmp_path / "a.png"), num=3, numbered=numbered)
        images.append(np.array(Image.open(tmp_path / "a.png")))
    dark = [(image < 100).all(-1).any() for image in images]
    assert dark == [False, True], "the numbers are black"


def test_numbered_samples_along_routes_are_refused(monkeypatch):
    monkeypatch.setattr("lightning_gans.generation.samples.load", lambda path, trust: ensemble())
    with pytest.raises(ValueError, match="routes=2 of numbered samples: each has the route of its seed; leave either"):
        generation.sample("run.ckpt", routes=2, numbered=True)
