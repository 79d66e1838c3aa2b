"""Normalisation with a weight and a bias for each class."""

import torch
from torch import Tensor, nn

from lightning_gans import arguments


class ClassNorm(nn.Module):
    """Scale and shift a normalised map by the weight and bias of the sample's class.

        y = weight_c · norm(x) + bias_c    per channel, for class c

    With BatchNorm it is the class-conditional BatchNorm of the conditional SNGAN. The norm loses its own weight and
    bias, which would be redundant. Weights start at N(1, 0.02²), so that classes differ from the start, and biases at
    0. In a mixture of classes the weights and biases are averaged.

    Args:
        norm: normalises a map (N, channels, H, W).
        channels: channels of the map, at least 1.
        num_classes: number of classes, at least 1.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        Dumoulin, Shlens, Kudlur, "A Learned Representation For Artistic Style", ICLR 2017, arXiv 1610.07629; Miyato,
        Koyama, "cGANs with Projection Discriminator", ICLR 2018, arXiv 1802.05637.
    """

    def __init__(self, norm: nn.Module, channels: int, num_classes: int) -> None:
        super().__init__()
        arguments.whole(self, 1, channels=channels, num_classes=num_classes)
        for name in ("weight", "bias"):
            if isinstance(getattr(norm, name, None), nn.Parameter):
                norm.register_parameter(name, None)
        self.norm = norm
        self.weight = nn.Parameter(torch.empty(num_classes, channels).normal_(1.0, 0.02))
        self.bias = nn.Parameter(torch.zeros(num_classes, channels))

    def forward(self, x: Tensor, classes: Tensor) -> Tensor:
        """Map (N, channels, H, W) and the weights of the classes (N, num_classes) to the same shape."""
        weight, bias = (table[:, :, None, None] for table in (classes @ self.weight, classes @ self.bias))
        return self.norm(x) * weight + bias
