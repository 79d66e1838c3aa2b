"""Orthogonal initial weights."""

from __future__ import annotations

from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.networks import initialize_orthogonal
from lightning_gans.stabilizer import NetworkStabilizer


class OrthogonalInitialization(NetworkStabilizer):
    """Draw orthogonal initial weights: a layer rotates its input and scales all directions by the same factor.

        W Wᵀ = gain² · I, or WᵀW for a tall W

    For a convolution W has a row per output channel and a column per input channel and tap; for a transposed one a row
    per input channel. Biases become 0; norms, embeddings and stochastic layers keep their weights. It acts once, and
    only if neither player has been updated; after `SpectralNorm` the weight behind the norm is drawn. It costs nothing
    in training.

    Args:
        gain: factor on the weights, above 0; √2 keeps the scale through rectifiers.
        discriminator: whether the discriminator's weights are drawn.
        generator: whether the generator's are.

    Raises:
        ValueError: for a gain that is not above 0.

    Reference:
        Saxe, McClelland and Ganguli, Exact solutions to the nonlinear dynamics of learning in deep linear neural
        networks, ICLR 2014, arXiv 1312.6120.
    """

    def __init__(self, gain: float = 1.0, discriminator: bool = True, generator: bool = True):
        arguments.positive(self, gain=gain)
        self.gain = gain
        self.discriminator = discriminator
        self.generator = generator

    @override
    def change(self, gan: GAN) -> None:
        if gan.discriminator_updates == gan.generator_updates == 0:
            for network in [gan.discriminator] * self.discriminator + [gan.generator] * self.generator:
                initialize_orthogonal(network, self.gain)
