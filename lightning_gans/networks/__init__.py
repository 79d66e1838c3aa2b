"""Generators, discriminators and latents: torch modules that do not need Lightning."""

from lightning_gans.networks.adapting import adapt_networks
from lightning_gans.networks.attention import SelfAttention
from lightning_gans.networks.base import Discriminator, Generator
from lightning_gans.networks.batch_layers import (
    AlwaysOnDropout,
    BatchFeatures,
    MinibatchSimilarity,
    MinibatchStdDevLayer,
    VirtualBatchNormLayer,
    append_to_features,
)
from lightning_gans.networks.class_norm import ClassNorm
from lightning_gans.networks.classifier import DigitClassifier, FrozenClassifier, efficientnet_lite0
from lightning_gans.networks.convolutions import PooledConv, ResizeConv, StridedConv, TransposedConv, initialize
from lightning_gans.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_gans.networks.feature_discriminator import FeatureDiscriminator
from lightning_gans.networks.features import ClassifierFeatures, DigitFeatures, ImageNetFeatures, InceptionFeatures
from lightning_gans.networks.latents import Constant, Gaussian, GaussianWithCode, Latents, Uniform, as_latents
from lightning_gans.networks.layer_features import LayerFeatures
from lightning_gans.networks.mlp import FourierFeatures, Maxout, MLPDiscriminator, MLPGenerator, initialize_orthogonal
from lightning_gans.networks.modes import evaluating
from lightning_gans.networks.normalized import NormalizedDiscriminator
from lightning_gans.networks.packs import PackedDiscriminator, samples_in_pack
from lightning_gans.networks.plain import PlainDiscriminator, PlainGenerator
from lightning_gans.networks.r3gan import R3GANDiscriminator, R3GANGenerator
from lightning_gans.networks.resnet import ResNetDiscriminator, ResNetGenerator
from lightning_gans.networks.routes import StochasticGenerator
from lightning_gans.networks.smooth_classifier import RobustDigitClassifier, SmoothClassifier
from lightning_gans.networks.stochastic import StochasticEnsembleGenerator, StochasticEnsembleMLPGenerator
from lightning_gans.networks.stochastic_layers import StochasticConvTranspose2d, StochasticLayer, StochasticLinear
from lightning_gans.networks.weights import redraw, weighted_layers
from lightning_gans.networks.wrappers import ReferencedDiscriminator, ReferencedGenerator

__all__ = [
    "AlwaysOnDropout",
    "BatchFeatures",
    "ClassNorm",
    "ClassifierFeatures",
    "Constant",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "DigitClassifier",
    "DigitFeatures",
    "Discriminator",
    "FeatureDiscriminator",
    "FourierFeatures",
    "FrozenClassifier",
    "Gaussian",
    "GaussianWithCode",
    "Generator",
    "ImageNetFeatures",
    "InceptionFeatures",
    "Latents",
    "LayerFeatures",
    "MLPDiscriminator",
    "MLPGenerator",
    "Maxout",
    "MinibatchSimilarity",
    "MinibatchStdDevLayer",
    "NormalizedDiscriminator",
    "PackedDiscriminator",
    "PlainDiscriminator",
    "PlainGenerator",
    "PooledConv",
    "R3GANDiscriminator",
    "R3GANGenerator",
    "ReferencedDiscriminator",
    "ReferencedGenerator",
    "ResNetDiscriminator",
    "ResNetGenerator",
    "ResizeConv",
    "RobustDigitClassifier",
    "SelfAttention",
    "SmoothClassifier",
    "StochasticConvTranspose2d",
    "StochasticEnsembleGenerator",
    "StochasticEnsembleMLPGenerator",
    "StochasticGenerator",
    "StochasticLayer",
    "StochasticLinear",
    "StridedConv",
    "TransposedConv",
    "Uniform",
    "VirtualBatchNormLayer",
    "adapt_networks",
    "append_to_features",
    "as_latents",
    "efficientnet_lite0",
    "evaluating",
    "initialize",
    "initialize_orthogonal",
    "redraw",
    "samples_in_pack",
    "weighted_layers",
]
