"""Normal weights at the start, as the DCGAN has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_gans.networks import initialize
from lightning_gans.stabilizer import NetworkStabilizer

if TYPE_CHECKING:
    from lightning_gans.gan import GAN


class NormalInitialization(NetworkStabilizer):
    """Start from small normal weights.

        W ~ N(0, std²),    weights of norms ~ N(1, std²),    biases 0

    The DCGAN's networks start like this by themselves, with 0.02; give it to other networks, or to try another scale.
    Deep networks without norms fade at such a scale: the perceptrons here start from He's weights for that reason.
    The discriminator's embedding of labels is drawn too; the generator's keeps the scale of its latents, and routes
    of a stochastic generator keep theirs. It acts in a game in which nobody has moved yet, and once; after
    `SpectralNorm` the weight behind the norm is drawn. It costs nothing in training.

    Args:
        std: standard deviation of the weights, above 0.
        discriminator: whether the discriminator's weights are drawn.
        generator: whether the generator's are.

    Raises:
        ValueError: for a standard deviation that is not above 0.

    Reference:
        Radford, Metz and Chintala, Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
        Networks, ICLR 2016, arXiv 1511.06434.
    """

    def __init__(self, std: float = 0.02, discriminator: bool = True, generator: bool = True):
        if not std > 0:
            raise ValueError(f"NormalInitialization(std={std}): expected a number above 0, such as 0.02.")
        self.std = std
        self.discriminator = discriminator
        self.generator = generator

    def change(self, gan: GAN) -> None:
        """Draw the weights, unless training has begun."""
        if gan.discriminator_updates == gan.generator_updates == 0:
            if self.discriminator:
                initialize(gan.discriminator, self.std)
            if self.generator:
                initialize(gan.generator, self.std, embeddings=False)
