"""Every network can be built from a configuration, saved and built again; the networks need torch, not Lightning."""

import subprocess
import sys

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn

from lightning_gans import networks
from lightning_gans.networks import Discriminator, Generator

CONFIGURATIONS = [
    ("MLPGenerator", {"sample_shape": [2]}),
    ("MLPGenerator", {"sample_shape": [1, 8, 8], "norm": "torch.nn.BatchNorm1d", "bounded": False}),
    ("MLPGenerator", {"sample_shape": [2], "activation": "torch.nn.Tanh", "latents": 8}),
    ("MLPGenerator", {"sample_shape": [2], "latents": {"class_path": "GaussianWithCode"}}),
    ("MLPDiscriminator", {"sample_shape": [2]}),
    ("MLPDiscriminator", {"sample_shape": [2], "maxout_pieces": 3, "fourier_frequencies": 2, "norm": None}),
    ("DCGANGenerator", {"image_shape": [1, 8, 8]}),
    ("DCGANGenerator", {"image_shape": [1, 8, 8], "norm": None, "upsampling": "ResizeConv"}),
    ("DCGANGenerator", {"image_shape": [1, 8, 8], "latents": {"class_path": "Uniform", "init_args": {"dim": 9}}}),
    ("StochasticEnsembleGenerator", {"image_shape": [1, 16, 16], "stochastic_layers": 1, "routes_per_batch": 2}),
    (
        "StochasticEnsembleGenerator",
        {"image_shape": [1, 16, 16], "latents": {"class_path": "Constant", "init_args": {"dim": 16}}},
    ),
    ("StochasticEnsembleMLPGenerator", {"sample_shape": [2], "latents": {"class_path": "Uniform"}}),
    ("DCGANDiscriminator", {"image_shape": [1, 8, 8]}),
    ("DCGANDiscriminator", {"image_shape": [1, 8, 8], "norm": {"class_path": "torch.nn.InstanceNorm2d"}}),
    (
        "DCGANDiscriminator",
        {
            "image_shape": [1, 8, 8],
            "downsampling": "lightning_gans.networks.PooledConv",
            "activation": {"class_path": "torch.nn.LeakyReLU", "init_args": {"negative_slope": 0.3}},
        },
    ),
    ("R3GANGenerator", {"image_shape": [1, 8, 8]}),
    ("R3GANGenerator", {"image_shape": [1, 8, 8], "max_width": 8, "blocks": 1, "bounded": False, "latents": 8}),
    ("R3GANDiscriminator", {"image_shape": [1, 8, 8], "max_width": 8, "blocks": 1}),
    ("ResNetGenerator", {"image_shape": [1, 8, 8]}),
    ("ResNetGenerator", {"image_shape": [1, 16, 16], "attention": 8, "max_width": 8, "activation": "torch.nn.ELU"}),
    ("ResNetDiscriminator", {"image_shape": [1, 8, 8], "norm": {"class_path": "torch.nn.InstanceNorm2d"}}),
    ("ResNetDiscriminator", {"image_shape": [1, 16, 16], "attention": 8}),
]


@pytest.mark.parametrize("name, arguments", CONFIGURATIONS)
def test_configuration_saves_and_loads(name, arguments):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--network", type=Generator if "Generator" in name else Discriminator)
    arguments = {"width": 4, "num_classes": 2, **arguments}
    config = parser.parse_object({"network": {"class_path": f"lightning_gans.networks.{name}", "init_args": arguments}})
    text = dump(parser, config)
    again = parser.parse_string(text)
    assert again == config and dump(parser, again) == text
    assert "Unable to serialize" not in text

    loaded = instantiate(parser, again).network
    assert str(loaded) == str(instantiate(parser, config).network)
    assert type(loaded).__name__ == name and loaded.num_classes == 2
    shape = (loaded.latent_dim,) if isinstance(loaded, Generator) else loaded.sample_shape
    assert len(loaded(torch.randn(4, *shape), torch.tensor([0, 1, 0, 1]))) == 4


def dump(parser, config):
    try:
        return parser.dump(config, skip_unset=False)
    except (TypeError, ValueError):  # before jsonargparse 4.49
        return parser.dump(config, skip_none=False)


def instantiate(parser, config):
    if hasattr(parser, "instantiate"):
        return parser.instantiate(config)
    return parser.instantiate_classes(config)  # before jsonargparse 4.49


SAVED = ["MLPGenerator", "MLPDiscriminator", "DCGANGenerator", "DCGANDiscriminator"]
SAVED += ["ResNetGenerator", "ResNetDiscriminator", "R3GANGenerator", "R3GANDiscriminator"]


@pytest.mark.parametrize("name", SAVED)
def test_saved_defaults_are_the_defaults_of_the_signature(name):
    shape = (1, 8, 8)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--network", type=nn.Module)
    key = "sample_shape" if "MLP" in name else "image_shape"
    config = parser.parse_object(
        {"network": {"class_path": f"lightning_gans.networks.{name}", "init_args": {key: list(shape)}}}
    )
    with torch.device("meta"):  # the networks are large
        loaded = instantiate(parser, parser.parse_string(dump(parser, config))).network
        assert str(loaded) == str(getattr(networks, name)(shape))


@pytest.mark.slow
def test_networks_need_no_lightning():
    lines = [
        "import sys, types",
        "package = types.ModuleType('lightning_gans')",
        f"package.__path__ = {list(__import__('lightning_gans').__path__)!r}",
        "sys.modules['lightning_gans'] = package",
        "import lightning_gans.networks",
        "names = {m for m in sys.modules if m.startswith(('lightning', 'torchvision'))}",
        "known = ('lightning_gans.networks', 'lightning_gans.arguments', 'lightning_gans.overriding')",
        "assert all(m == 'lightning_gans' or m.startswith(known) for m in names), names",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)


def test_every_public_name_exists():
    assert all(hasattr(networks, name) for name in networks.__all__)
