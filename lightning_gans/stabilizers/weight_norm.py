"""Weight normalisation: length and direction of a weight are separate parameters."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from typing_extensions import override

from lightning_gans.stabilizers.parametrization import Parametrization


class WeightNorm(Parametrization):
    """Make the length and the direction of every unit's weight separate parameters.

        w = g · v / ‖v‖

    There is one g per unit of a linear layer, or per output channel of a convolution. At first the networks compute the
    same as without it (the paper's initialisation from data is left out); their updates differ. Unlike BatchNorm it
    adds no noise from the batch and keeps samples independent; beside BatchNorm the length has no effect. Embeddings
    keep their weights, and stochastic layers have such a norm already. Packing and layers before the head change
    weights, so give them first. It costs a pass over the weights per forward.

    Args:
        discriminator: whether the discriminator's layers are normalised.
        generator: whether the generator's are.

    Raises:
        ValueError: for networks without such layers, or whose layers are parametrised already or start at
            0, as some of `R3GANDiscriminator`.

    Reference:
        Salimans and Kingma, Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep Neural
        Networks, NeurIPS 2016, arXiv 1602.07868; Xiang and Li, On the Effects of Batch and Weight Normalization in
        Generative Adversarial Networks, 2017, arXiv 1704.03971.
    """

    def __init__(self, discriminator: bool = True, generator: bool = True):
        self.discriminator = discriminator
        self.generator = generator

    @override
    def parametrize(self, layer: nn.Module) -> None:
        weight_norm(layer, dim=1 if getattr(layer, "transposed", False) else 0)  # the dimension of the outputs
