"""A generator is exported to a file that holds nothing else, and drawn from again to the same samples."""

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
def test_an_exported_generator_makes_the_same_samples(kind, callbacks, num_classes, fit, folder, capsys):
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


def test_the_file_holds_the_generator_alone_and_its_recipe(fit, folder):
    fit(DCGAN((1, 8, 8), latent_dim=3, width=2)).save_checkpoint("all.ckpt")
    generation.export("all.ckpt", "new/mine.safetensors")
    generator = generation.load_generator("new/mine.safetensors")
    assert isinstance(generator, DCGANGenerator)
    with safe_open("new/mine.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(generator.state_dict())
        recipe = json.loads(file.metadata()["recipe"])
    assert recipe["gan_class"] == "lightning_gans.models.dcgan.DCGAN" and recipe["hyper_parameters"]["width"] == 2


def test_commands_take_an_exported_generator(fit, folder):
    fit(DCGAN((1, 8, 8), latent_dim=3, width=2)).save_checkpoint("all.ckpt")
    generation.export("all.ckpt")
    generation.sample("all.ckpt", "a.png", num=4)
    generation.sample("generator.safetensors", "b.png", num=4)
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()


def test_mistakes_of_export_are_one_line(fit, folder):
    fit(DCGAN((1, 8, 8), latent_dim=3, width=2)).save_checkpoint("all.ckpt")
    with pytest.raises(ValueError, match=r"out='mine.pt': expected a name that ends in \.safetensors"):
        generation.export("all.ckpt", "mine.pt")
    generation.export("all.ckpt")
    with pytest.raises(ValueError, match="is a generator already; give a checkpoint"):
        generation.export("generator.safetensors", "again.safetensors")
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .nowhere\.ckpt"):
        generation.export("nowhere.ckpt")


def test_a_disk_that_is_full_leaves_what_was_there(fit, folder, monkeypatch):
    fit(DCGAN((1, 8, 8), latent_dim=3, width=2)).save_checkpoint("all.ckpt")
    generation.export("all.ckpt")
    before = (folder / "generator.safetensors").read_bytes()

    def full(self, data):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        generation.export("all.ckpt")
    assert (folder / "generator.safetensors").read_bytes() == before and not list(folder.glob("*.part"))
