"""A discriminator on the features of a frozen, pretrained network, with a small trained head at each of its scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gans import arguments
from lightning_gans.networks.base import Discriminator
from lightning_gans.networks.dcgan import as_image_shape
from lightning_gans.networks.frozen import HiddenNetwork
from lightning_gans.networks.probing import kind_of


class FeatureDiscriminator(Discriminator):
    """Discriminator of images by the features of a frozen, pretrained network, with a trained head for each of them.

        logit_s(x) = head_s(branch_s(f_s(x))),    f_1, f_2, … the network's features, frozen

    The network knows images already, so that the heads learn fast and see what a discriminator that starts from nothing
    would have to find. Gradients pass through it to the generator. It returns features (N, K), a map (N, K, H, W), or a
    list of several, such as `LayerFeatures`; shallow maps hold edges and texture, without which samples become what
    the network cannot tell from images and the eye can. A map is halved by convolutions until its shorter side is at
    most 4, then flattened; each branch ends in `width` features, and with several branches a sample has a logit of
    each, (N, S). Labels are projected on the features of all branches.

    The network is in none of `parameters`, `state_dict` and `modules`: it is not trained, its BatchNorms keep their
    statistics, and checkpoints do not hold it, so that a checkpoint is loaded with the same network. It differs from
    the paper's, whose frozen features are mixed across channels and scales by random convolutions, whose heads have
    spectral norms (add `SpectralNorm`), and which augments its input (add `DifferentiableAugmentation`).

    Args:
        network: maps images (N, C, H, W) in [−1, 1] to features, as above; it is frozen in place.
        image_shape: (C, H, W).
        width: channels of the convolutions and number of features of each branch, at least 1.
        num_classes: number of labels; 0 is an unconditional discriminator.

    Raises:
        ValueError: for an argument out of range, or a network that does not take such images or returns no features.

    Reference:
        Sauer, Chitta, Müller, Geiger, "Projected GANs Converge Faster", NeurIPS 2021, arXiv 2111.01007.
    """

    def __init__(self, network: nn.Module, image_shape: Sequence[int], width: int = 64, num_classes: int = 0) -> None:
        arguments.whole(self, 1, width=width)
        shape = as_image_shape(self, image_shape, 1)
        frozen = _Frozen(network)
        shapes = _shapes_of_features(frozen, shape)
        super().__init__(shape, width * len(shapes), num_classes)
        self.frozen = frozen
        self.branches = nn.ModuleList(_branch(one, width) for one in shapes)
        if len(shapes) > 1:
            self.head = _Heads(width, len(shapes))

    @property
    def network(self) -> nn.Module:
        """The frozen network."""
        return self.frozen.network

    def features(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to the features (N, num_features) of all branches, one after another."""
        pairs = zip(self.branches, self.frozen(x), strict=True)
        return torch.cat([branch(features.to(_dtype_of(branch, features))) for branch, features in pairs], dim=1)


class _Frozen(HiddenNetwork):
    """The network, whose output is a list of features."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.hide(network)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = self.network(x)
        return list(features) if isinstance(features, tuple | list) else [features]


class _Heads(nn.Module):
    """A Linear for each part of the features: (N, S · width) → (N, S)."""

    def __init__(self, width: int, number: int) -> None:
        super().__init__()
        self.width = width
        self.linears = nn.ModuleList(nn.Linear(width, 1) for _ in range(number))

    def forward(self, features: Tensor) -> Tensor:
        parts = zip(self.linears, features.split(self.width, dim=1), strict=True)
        return torch.cat([linear(part) for linear, part in parts], dim=1)


def _branch(shape: tuple[int, ...], width: int) -> nn.Sequential:
    """Return trained layers from features of a shape, (K,) or (K, H, W), to (N, width)."""
    layers: list[nn.Module] = []
    channels, *size = shape
    while size and min(size) > 4:
        layers += [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        channels, size = width, [side // 2 for side in size]
    inputs = channels * size[0] * size[1] if size else channels
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs, width), nn.LeakyReLU(0.2))


def _shapes_of_features(frozen: _Frozen, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the shapes of the network's features of one image, by a forward of two."""
    name = type(frozen.network).__name__
    like = next((one for one in frozen.network.parameters() if one.is_floating_point()), torch.empty(0))
    try:
        with torch.no_grad():
            found = frozen(torch.zeros(2, *shape, device=like.device, dtype=like.dtype))
    except Exception as error:  # a network of the user's may raise anything
        reason = (str(error).strip() or type(error).__name__).partition("\n")[0][:160].rstrip(" .")
        raise ValueError(
            f"FeatureDiscriminator: {name} does not take images of shape {shape} ({reason}); give a network that does, "
            f"such as ClassifierFeatures({name}(...)), which resizes them."
        ) from None
    odd: Any = next((one for one in found if not _are_features(one)), None) if found else found
    if odd is not None:
        raise ValueError(
            f"FeatureDiscriminator: {name} returns {kind_of(odd)} for two images, expected features (2, K), a map "
            "(2, K, H, W), or a list of these; let its forward return them alone."
        )
    return [tuple(one.shape[1:]) for one in found]


def _are_features(given: Any) -> bool:
    return isinstance(given, Tensor) and given.dim() in (2, 4) and len(given) == 2 and given.is_floating_point()


def _dtype_of(branch: nn.Module, features: Tensor) -> torch.dtype:
    """Return the precision of the branch's weights, in which a frozen network of another one is taken further."""
    return next((one.dtype for one in branch.parameters()), features.dtype)
