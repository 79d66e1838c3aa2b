"""Data modules: toy distributions, image data sets, and folders of pictures."""

from lightning_gans.data.base import BatchDataset, GANData, Samples
from lightning_gans.data.blank import Blank
from lightning_gans.data.celeba import CelebA
from lightning_gans.data.folder import ImageFolder
from lightning_gans.data.images import CIFAR10, MNIST, Digits, FashionMNIST, TorchvisionData
from lightning_gans.data.stacked_mnist import StackedMNIST
from lightning_gans.data.toy import GaussianGrid, GaussianRing, ParallelLines

__all__ = [
    "CIFAR10",
    "MNIST",
    "BatchDataset",
    "Blank",
    "CelebA",
    "Digits",
    "FashionMNIST",
    "GANData",
    "GaussianGrid",
    "GaussianRing",
    "ImageFolder",
    "ParallelLines",
    "Samples",
    "StackedMNIST",
    "TorchvisionData",
]
