"""Instance normalisation in place of BatchNorm."""

from __future__ import annotations

import torch
from torch import nn
from typing_extensions import override

from lightning_gans.gan import GAN
from lightning_gans.stabilizer import NetworkStabilizer


class InstanceNorm(NetworkStabilizer):
    """Replace every BatchNorm2d by an InstanceNorm2d: each image is normalised by its own maps.

        y = weight · (x − μ) / √(σ² + eps) + bias,    μ and σ² per image and channel, over positions

    Samples of a batch are then independent, as a gradient penalty requires, and evaluation equals training. It removes
    the mean and contrast of every map, so do not use it in a generator whose samples differ in them. Number of
    features, eps and, with `affine`, weight and bias are kept. Maps must have more than one position: torch refuses
    1 × 1 maps in training.

    Args:
        discriminator: whether the discriminator's norms are replaced.
        generator: whether the generator's are.
        affine: whether channels have a learned weight and bias.

    Raises:
        ValueError: for networks without a BatchNorm2d.

    Reference:
        Ulyanov, Vedaldi and Lempitsky, Instance Normalization: The Missing Ingredient for Fast Stylization, 2016,
        arXiv 1607.08022.
    """

    def __init__(self, discriminator: bool = True, generator: bool = False, affine: bool = True):
        self.discriminator = discriminator
        self.generator = generator
        self.affine = affine

    @override
    def change(self, gan: GAN) -> None:
        networks = [gan.discriminator] * self.discriminator + [gan.generator] * self.generator
        found = [(root, norm) for root in networks for norm in root.modules() if isinstance(norm, nn.BatchNorm2d)]
        if networks and not found:
            raise ValueError(
                f"{self}: no BatchNorm2d in what it is to change; build the network with norm torch.nn.BatchNorm2d, or "
                "leave this stabilizer out."
            )
        for root, norm in found:
            affine = self.affine and not (norm.affine and norm.weight is None)  # of which ClassNorm has taken them
            new = nn.InstanceNorm2d(norm.num_features, eps=norm.eps, affine=affine)
            if affine and norm.weight is not None:
                new.weight, new.bias = norm.weight, norm.bias
            like = next(root.parameters(), torch.empty(0))
            self.replace(root, norm, new.to(like.device, like.dtype).train(norm.training))
