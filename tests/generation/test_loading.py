"""Generators loaded from checkpoints, and exported to a file that contains nothing else."""

import json

import pytest
import torch
from safetensors import safe_open

from lightning_gans import DCGAN, WGANGP, generation
from lightning_gans.__main__ import main
from lightning_gans.networks import DCGANGenerator
from lightning_gans.stabilizers import GeneratorEMA, SpectralNorm, VirtualBatchNorm


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---------------------------------------------------------------- from a checkpoint


@pytest.fixture
def checkpoint(fit, tmp_path):
    gan = DCGAN((1, 8, 8), latent_dim=3, width=2, num_classes=3)
    fit(gan).save_checkpoint(tmp_path / "dcgan.ckpt")
    return tmp_path / "dcgan.ckpt"


def test_a_checkpoint_is_loaded_in_evaluation_mode_on_the_cpu(checkpoint):
    gan = generation.load(checkpoint)
    assert type(gan) is DCGAN and not gan.training and not gan.generator.training and gan.device.type == "cpu"


def test_a_missing_checkpoint_is_refused_in_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at '.*nowhere.ckpt'; runs keep theirs in"):
        generation.load(tmp_path / "nowhere.ckpt")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"model:\n  class_path: DCGAN\n",
        b"\x89PNG\r\n\x1a\n",
        torch.ones(3),
        [1, 2],
        {"a": torch.ones(3)},
    ],
    ids=["empty", "text", "yaml", "picture", "tensor", "list", "state"],
)
def test_a_file_that_is_not_a_checkpoint_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "other.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=r"other\.ckpt' cannot be rebuilt as a GAN") as refused:
        generation.load(path)
    assert "\n" not in str(refused.value)


def test_networks_built_in_python_cannot_be_rebuilt_from_a_checkpoint(make_gan, fit, tmp_path):
    fit(make_gan()).save_checkpoint(tmp_path / "gan.ckpt")
    with pytest.raises(ValueError, match=r"gan\.ckpt' cannot be rebuilt as a GAN"):
        generation.load(tmp_path / "gan.ckpt")


# ---------------------------------------------------------------- exported


@pytest.mark.parametrize(
    ("kind", "callbacks", "num_classes"),
    [
        (DCGAN, [], 0),
        (DCGAN, [], 3),
        (WGANGP, [GeneratorEMA(half_life=5.0)], 0),
        (DCGAN, [SpectralNorm(generator=True)], 0),
        (DCGAN, [VirtualBatchNorm(size=4)], 0),
    ],
    ids=str,
)
def test_an_exported_generator_gives_the_same_samples(kind, callbacks, num_classes, fit, folder, capsys):
    gan = kind((1, 16, 16), latent_dim=3, width=2, num_classes=num_classes)
    fit(gan, 3, callbacks=callbacks).save_checkpoint("all.ckpt")
    main(["export", "--checkpoint=all.ckpt"])
    said = capsys.readouterr().out
    assert f"The generator of {kind.__name__} after {gan.generator_updates} generator updates" in said
    one, other = generation.load("all.ckpt"), generation.load("generator.safetensors")
    assert other.generator_updates == one.generator_updates and not other.generator.training
    for first, second in zip(generation.draw(one, 5, seed=1), generation.draw(other, 5, seed=1), strict=True):
        assert first is second is None or torch.equal(first, second)
    assert (folder / "generator.safetensors").stat().st_size < (folder / "all.ckpt").stat().st_size / 2
    assert [path.name for path in folder.glob("*.part")] == []


def test_the_file_contains_the_generator_and_its_recipe_alone(fit, folder):
    fit(DCGAN((1, 8, 8), latent_dim=3, width=2)).save_checkpoint("all.ckpt")
    generation.export("all.ckpt", "new/mine.safetensors")
    generator = generation.load_generator("new/mine.safetensors")
    assert isinstance(generator, DCGANGenerator)
    with safe_open("new/mine.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(generator.state_dict())
        recipe = json.loads(file.metadata()["recipe"])
    assert recipe["gan_class"] == "lightning_gans.models.dcgan.DCGAN" and recipe["hyper_parameters"]["width"] == 2


def test_commands_accept_an_exported_generator(fit, folder):
    fit(DCGAN((1, 8, 8), latent_dim=3, width=2)).save_checkpoint("all.ckpt")
    generation.export("all.ckpt")
    generation.sample("all.ckpt", "a.png", num=4)
    generation.sample("generator.safetensors", "b.png", num=4)
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()


def test_mistakes_of_export_are_refused(fit, folder):
    fit(DCGAN((1, 8, 8), latent_dim=3, width=2)).save_checkpoint("all.ckpt")
    with pytest.raises(ValueError, match=r"out='mine.pt': expected a name that ends in \.safetensors"):
        generation.export("all.ckpt", "mine.pt")
    generation.export("all.ckpt")
    with pytest.raises(ValueError, match="is an exported generator already; give a checkpoint"):
        generation.export("generator.safetensors", "again.safetensors")
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .nowhere\.ckpt"):
        generation.export("nowhere.ckpt")


def test_a_full_disk_leaves_the_previous_file(fit, folder, monkeypatch):
    fit(DCGAN((1, 8, 8), latent_dim=3, width=2)).save_checkpoint("all.ckpt")
    generation.export("all.ckpt")
    before = (folder / "generator.safetensors").read_bytes()

    def full(self, data):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        generation.export("all.ckpt")
    assert (folder / "generator.safetensors").read_bytes() == before and not list(folder.glob("*.part"))
