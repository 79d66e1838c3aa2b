"""Generators, discriminators and latents: plain modules that import torch only."""

from lightning_gans.networks.base import Discriminator, Generator
from lightning_gans.networks.classifier import DigitClassifier, FrozenClassifier, efficientnet_lite0
from lightning_gans.networks.dcgan import (
    DCGANDiscriminator,
    DCGANGenerator,
    PooledConv,
    ResizeConv,
    StridedConv,
    TransposedConv,
    initialize,
)
from lightning_gans.networks.latents import Constant, Gaussian, GaussianWithCode, Latents, Uniform, as_latents
from lightning_gans.networks.mlp import FourierFeatures, Maxout, MLPDiscriminator, MLPGenerator
from lightning_gans.networks.stochastic import (
    StochasticEnsembleGenerator,
    StochasticEnsembleMLPGenerator,
    StochasticGenerator,
)
from lightning_gans.networks.stochastic_layers import StochasticConvTranspose2d, StochasticLayer, StochasticLinear

__all__ = [
    "Constant",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "DigitClassifier",
    "Discriminator",
    "FourierFeatures",
    "FrozenClassifier",
    "Gaussian",
    "GaussianWithCode",
    "Generator",
    "Latents",
    "MLPDiscriminator",
    "MLPGenerator",
    "Maxout",
    "PooledConv",
    "ResizeConv",
    "StochasticConvTranspose2d",
    "StochasticEnsembleGenerator",
    "StochasticEnsembleMLPGenerator",
    "StochasticGenerator",
    "StochasticLayer",
    "StochasticLinear",
    "StridedConv",
    "TransposedConv",
    "Uniform",
    "as_latents",
    "efficientnet_lite0",
    "initialize",
]
