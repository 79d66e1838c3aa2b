"""Every remedy of the commands for trained generators works when it is done."""

import json
import re
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
import torch
from helpers import ensemble, linear_gan, small_gan
from PIL import Image
from remedied import command, each_row, fit
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from lightning_gans import DCGAN, GAN, WGAN, generation, networks
from lightning_gans.data import ImageFolder
from lightning_gans.generation import draw_arithmetic, draw_by_route, draw_path, neighbours, sample
from lightning_gans.networks import Constant, Gaussian, MLPDiscriminator, PlainGenerator

pytestmark = [pytest.mark.untrusted]
KINDS = {
    "grey": lambda: DCGAN((1, 8, 8), latent_dim=3, width=2),
    "classes": lambda: DCGAN((1, 8, 8), latent_dim=3, width=2, num_classes=3),
    "points": lambda: WGAN((2,), latent_dim=3, width=4),
}


@cache
def content(kind):
    gan = KINDS[kind]()
    x = torch.zeros(4, *gan.generator.sample_shape)
    with TemporaryDirectory() as place:
        trainer = fit(gan, [(x, torch.arange(4) % 3) if gan.generator.num_classes else x])
        trainer.save_checkpoint(Path(place, "last.ckpt"))
        return Path(place, "last.ckpt").read_bytes()


def trained(folder, kind="grey"):
    """Return the checkpoint of a run in a folder."""
    path = folder / "run" / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content(kind))
    return str(path)


def sampled(kind="grey", **options):
    """Return a function that draws four samples, and checks that they are where they should be."""

    def draw(folder, **more):
        arguments = {"out": "grid.png", **options, **more}
        sample(trained(folder, kind), num=4, **arguments)
        out = folder / arguments["out"]
        assert len(list(out.glob("*.png"))) == 4 if out.is_dir() else Image.open(out).width > 8

    return draw


def sampled_as(kind="grey", **options):
    """Return a function that writes samples to the picture that is said."""
    return lambda name, folder: sampled(kind, **options)(folder, out=name)


def with_gan(gan, act):
    """Return a function that runs a command on a GAN in memory."""

    def on_gan():
        with pytest.MonkeyPatch.context() as patch:
            for name in ("samples", "interpolation", "latent_arithmetic"):
                patch.setattr(f"lightning_gans.generation.{name}.load", lambda path, trust: gan)
            act()

    return on_gan


class Embedding(nn.Module):
    """A plain network that takes classes, and no weights of them."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(3, 4)

    def forward(self, z, labels):
        return z + self.embed(labels)


PLAIN = GAN(PlainGenerator(Embedding(), latents=4, num_classes=3), MLPDiscriminator((4,), num_classes=3))
CONSTANT, LINEAR = linear_gan(Constant(3)), linear_gan(Gaussian(3))


def paths():
    generation.interpolate("last.ckpt")


def drawn_by(name):
    with_gan(CONSTANT, lambda: command(name, "--checkpoint=last.ckpt"))()


def between(*numbers):
    """Draw a path through the samples of the least and the greatest seed."""
    assert torch.isfinite(draw_path(small_gan(), [int(number) for number in numbers], 3)).all()


def of_numbered_samples(folder):
    """Choose seeds among those of numbered samples, and calculate with them."""
    checkpoint = trained(folder)
    said = command("sample", "--numbered", "true", "--num=3", "--checkpoint", checkpoint, "--out=sheet.png")
    first, last = re.search(r"numbered (\d+) to (\d+)", said).groups()
    generation.arithmetic(checkpoint, a=[int(first)], b=[1], c=[int(last)])
    assert (folder / "arithmetic.png").is_file()


# ---------------------------------------------------------------- exported generators


def exported(folder, out="generator.safetensors"):
    """Export a generator, and draw from it."""
    generation.export(trained(folder), out)
    sample(out, num=2)
    return out


def of_an_export():
    sample("generator.safetensors", num=2)


def of_another_file(folder):
    save_file({"weight": torch.zeros(2)}, folder / "generator.safetensors")
    of_an_export()


def of_a_damaged_recipe(folder):
    with safe_open(exported(folder), "pt") as file:
        state, marks = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    save_file(state, folder / "generator.safetensors", marks | {"recipe": json.dumps([])})
    of_an_export()


# ---------------------------------------------------------------- training data


def of_run(config=None, *options):
    """Return a function that looks for the neighbours of samples in the data of the run, or in other data."""

    def of_run(folder):
        checkpoint = trained(folder)
        if config is not None:
            (folder / "run" / "config.yaml").write_text(config)
        said = command("neighbours", "--checkpoint", checkpoint, "--num=1", "--compared=20", *options)
        assert "of 1,445 training samples" in said

    return of_run


def in_data(name, folder):
    of_run(None, f"--data={name}")(folder)


def compared(folder, k=2, features=None, **options):
    """Look for the neighbours of samples among four pictures."""
    for number in range(4):
        Image.new("RGB", (9, 9), (60 * number, 0, 0)).save(folder / f"{number}.png")
    data = ImageFolder(str(folder), **{"size": 8, "channels": 1, "num_workers": 0, "test_fraction": 0, **options})
    neighbours(trained(folder), data, k=k, num=1, compared=20, features=features)
    (folder / "neighbours.png").unlink()


class Means(nn.Module):
    """In the place of Inception: means of channels, in its number of features."""

    def __init__(self, *settings):
        super().__init__()

    def forward(self, x):
        return (x.float().mean((2, 3)).repeat(1, 683)[:, :2048],)


def compared_by(*names, folder):
    """Compare features of networks, of which that for ImageNet sees smaller images here, to save seconds."""
    inception = SimpleNamespace(FeatureExtractorInceptionV3=Means)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lightning_gans.networks.features._EfficientNet.input_shape", (3, 32, 32))
        patch.setitem(sys.modules, "torch_fidelity", SimpleNamespace(feature_extractor_inceptionv3=inception))
        patch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", inception)
        for name in names:
            compared(folder, features=getattr(networks, name)())


# ---------------------------------------------------------------- every message

A, B, C = [3, 8], [1, 2], [7, 9]

REMEDIES = {
    "routes=…, but … has none": (sampled(routes=2), {"leave them out": sampled()}),
    "the number of routes that there are": (
        lambda: draw_by_route(ensemble(), 99),
        {"expected {} to {}": lambda *most: [draw_by_route(ensemble(), int(routes), 2) for routes in most]},
    ),
    "expected at least one whole number from": (
        lambda: draw_path(small_gan(), [0, 2**63]),
        {"from 0 to 2**63 - 1": lambda: between(0, 2**63 - 1)},
    ),
    "takes no weights of classes": (
        lambda: draw_path(PLAIN, [0, 1], labels=[0, 1]),
        {"give a single class": lambda: draw_path(PLAIN, [0, 1], labels=[1])},
    ),
    "but this generator has no classes": (sampled(labels=[1]), {"leave the labels out": sampled()}),
    "expected classes from": (
        sampled("classes", labels=[3]),
        {"from {} to {}": lambda *ends, folder: sampled("classes")(folder, labels=[int(one) for one in ends])},
    ),
    "the ends of a path": (lambda: draw_path(small_gan(), [3]), {"expected at least two": lambda: between(3, 4)}),
    "nothing continuous to interpolate": (
        with_gan(CONSTANT, paths),
        {"use latents such as Gaussian": with_gan(LINEAR, paths), "draw samples with `lightning-gans {}`": drawn_by},
    ),
    "expected at least two seeds a row, as many in each": (
        lambda folder: generation.interpolate(trained(folder), seeds=[3, 4, 5], rows=2),
        {"at least two seeds a row": lambda folder: generation.interpolate(trained(folder), seeds=[3, 4, 5], rows=1)}
        | {"as many in each": lambda folder: generation.interpolate(trained(folder), seeds=[3, 4, 5, 6], rows=2)},
    ),
    "=[]: expected at least one seed": (
        lambda folder: generation.arithmetic(trained(folder), a=[], b=B, c=C),
        {"such as those of `sample --numbered true`": of_numbered_samples},
    ),
    "nothing continuous to calculate with": (
        with_gan(CONSTANT, lambda: generation.arithmetic("last.ckpt", A, B, C)),
        {"use latents such as Gaussian": with_gan(LINEAR, lambda: generation.arithmetic("last.ckpt", A, B, C))},
    ),
    "expected one class for all, or three": (
        lambda: draw_arithmetic(small_gan(3), A, B, C, labels=[1, 2]),
        {
            "one class for all": lambda: draw_arithmetic(small_gan(3), A, B, C, labels=[1]),
            "or three, of a, b and c": lambda: draw_arithmetic(small_gan(3), A, B, C, labels=[1, 2, 0]),
        },
    ),
    "expected a name that ends in": (
        lambda folder: exported(folder, "mine.pt"),
        {"ends in {}": lambda suffix, folder: exported(folder, f"mine{suffix}")},
    ),
    "is an exported generator already": (
        lambda folder: generation.export(exported(folder), "again.safetensors"),
        {"give a checkpoint": lambda folder: exported(folder, "again.safetensors")},
    ),
    "it is not a generator of": (of_another_file, {"or a checkpoint": sampled(), "give one": exported}),
    "its recipe does not hold settings by name": (of_a_damaged_recipe, {"export it again": exported}),
    "expected a network with num_features": (
        lambda folder: compared(folder, features=nn.Identity()),
        {"use {}, {} or {}": compared_by},
    ),
    "the number of training samples": (
        lambda folder: compared(folder, k=99),
        {"expected {} to {}": lambda *most, folder: [compared(folder, k=int(k)) for k in most]},
    ),
    "does not end in a picture format": (
        sampled(out="grid.xyz"),
        {"end it in {}": lambda suffix, folder: sampled()(folder, out=f"grid{suffix}")},
    ),
    "of numbered samples: each has the route of its seed": (
        with_gan(ensemble(), lambda: sample("last.ckpt", num=4, routes=2, numbered=True)),
        {
            "leave either": with_gan(ensemble(), lambda: sample("last.ckpt", num=4, routes=2)),
            "leave either out": with_gan(ensemble(), lambda: sample("last.ckpt", num=4, numbered=True)),
        },
    ),
    "is a folder, without numbers and routes": (
        sampled(out="samples", numbered=True),
        {"such as {}": sampled_as(numbered=True)},
    ),
    "points have no pictures of their own": (sampled("points", out="samples"), {"such as {}": sampled_as("points")}),
    "exists already; give the name of": (
        lambda folder: [sampled(out="samples")(folder), sampled(out="samples")(folder)],
        {"the name of a new folder": sampled(out="others"), "or of a picture": sampled(out="samples.png")},
    ),
    "there is no config.yaml in the run's folder": (of_run(), {"name the data, --data={}": in_data}),
    "does not say which data the run had": (of_run("data: Digtis"), {"such as --data={}": in_data}),
    "the run has no training samples": (of_run("data: Blank"), {"such as --data={}": in_data}),
    "give the data that it was trained on": (
        of_run("data: Digits", "--data=Digits", "--data.size=16"),
        {
            "give the data that it was trained on": of_run("data: Digits"),
            "in the same size (--data.size)": of_run(None, "--data=Digits", "--data.size=8"),
        },
    ),
    "has neither validation nor test samples": (
        lambda folder: compared(folder, val_fraction=0),
        {"use data with held-out samples": lambda folder: compared(folder, val_fraction=0.3)},
    ),
}


test_a_remedy_works = each_row(REMEDIES)
