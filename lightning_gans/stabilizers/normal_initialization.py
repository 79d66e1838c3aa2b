"""Normal initial weights, like the DCGAN's."""

from __future__ import annotations

from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.networks import initialize
from lightning_gans.stabilizer import NetworkStabilizer


class NormalInitialization(NetworkStabilizer):
    """Draw small normal initial weights.

        W ~ N(0, std²),    weights of norms ~ N(1, std²),    biases 0

    The DCGAN's networks have such weights by default, with 0.02; use it for other networks, or to try another scale.
    In deep networks without norms such weights make activations vanish, so the library's MLPs start from He's weights.
    The discriminator's embedding of labels is drawn too; an embedding in a generator of your own is an input and keeps
    its scale, and stochastic layers keep their weights. It acts once, and only if neither player has been updated;
    after `SpectralNorm` the weight behind the norm is drawn. It costs nothing in training.

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
        arguments.positive(self, std=std)
        self.std = std
        self.discriminator = discriminator
        self.generator = generator

    @override
    def change(self, gan: GAN) -> None:
        if gan.discriminator_updates == gan.generator_updates == 0:
            if self.discriminator:
                initialize(gan.discriminator, self.std)
            if self.generator:
                initialize(gan.generator, self.std, embeddings=False)
