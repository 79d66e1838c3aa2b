"""Orthogonal weights at the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_gans.networks import initialize_orthogonal
from lightning_gans.stabilizer import NetworkStabilizer

if TYPE_CHECKING:
    from lightning_gans.gan import GAN


class OrthogonalInitialization(NetworkStabilizer):
    """Start from orthogonal weights: a layer turns its input and scales it, no direction more than another.

        W Wᵀ = gain² · I, or WᵀW for a tall W

    Of a convolution W has a row per output channel and a column per input channel and tap; of a transposed one a row
    per input channel. Biases become 0; norms, embeddings and routes of a stochastic generator keep theirs. It acts in
    a game in which nobody has moved yet, and once; after `SpectralNorm` the weight behind the norm is drawn. It costs
    nothing in training.

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
        if not gain > 0:
            raise ValueError(f"OrthogonalInitialization(gain={gain}): expected a number above 0, such as 1.0.")
        self.gain = gain
        self.discriminator = discriminator
        self.generator = generator

    def change(self, gan: GAN) -> None:
        """Draw the weights, unless training has begun."""
        if gan.discriminator_updates == gan.generator_updates == 0:
            for network in [gan.discriminator] * self.discriminator + [gan.generator] * self.generator:
                initialize_orthogonal(network, self.gain)
