"""The models: one paper, one class; its signature holds the paper's hyperparameters."""

from lightning_gans.models.dcgan import DCGAN
from lightning_gans.models.robust_classifier import RobustClassifier, TrainedClassifier
from lightning_gans.models.sepgan import SEPGAN
from lightning_gans.models.unrolled import UnrolledGAN
from lightning_gans.models.vanilla import VanillaGAN
from lightning_gans.models.wgan import WGAN, WGANGP

__all__ = ["DCGAN", "SEPGAN", "WGAN", "WGANGP", "RobustClassifier", "TrainedClassifier", "UnrolledGAN", "VanillaGAN"]
