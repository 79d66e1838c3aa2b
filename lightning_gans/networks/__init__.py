"""Generators, discriminators and latents: plain modules that import torch only."""

from lightning_gans.networks.base import Discriminator, Generator
from lightning_gans.networks.dcgan import (
    DCGANDiscriminator,
    DCGANGenerator,
    PooledConv,
    ResizeConv,
    StridedConv,
    TransposedConv,
    initialize,
)
from lightning_gans.networks.latents import Gaussian, GaussianWithCode, Latents, Uniform, as_latents
from lightning_gans.networks.mlp import FourierFeatures, Maxout, MLPDiscriminator, MLPGenerator

__all__ = [
    "DCGANDiscriminator",
    "DCGANGenerator",
    "Discriminator",
    "FourierFeatures",
    "Gaussian",
    "GaussianWithCode",
    "Generator",
    "Latents",
    "MLPDiscriminator",
    "MLPGenerator",
    "Maxout",
    "PooledConv",
    "ResizeConv",
    "StridedConv",
    "TransposedConv",
    "Uniform",
    "as_latents",
    "initialize",
]
