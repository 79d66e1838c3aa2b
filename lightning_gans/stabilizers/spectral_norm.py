"""Spectral normalisation: layers whose weights have a largest singular value of 1."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from typing_extensions import override

from lightning_gans.gan import GAN
from lightning_gans.networks import weighted_layers
from lightning_gans.stabilizers.parametrization import Parametrization


class SpectralNorm(Parametrization):
    """Divide the weight of every layer by its largest singular value, which bounds the network's Lipschitz constant.

        W̄ = W / σ(W),    σ(W) = max ‖Wh‖₂ / ‖h‖₂ ≈ uᵀWv

    u and v are updated by one power iteration in each forward in training. Linear layers, convolutions and transposed
    ones are normalised, and the embedding of the labels in the discriminator; a convolution's W has a row per output
    channel, so its Lipschitz constant is bounded up to a factor that depends on the kernel size. Stochastic layers keep
    their own normalisation. It works with any objective, `Hinge` in the paper; do not use BatchNorm in the
    discriminator, which scales the layers up again. Packing and layers before the head change weights, so give them
    first. It costs two products of the weight with a vector per layer and forward.

    Args:
        discriminator: whether the discriminator's layers are normalised.
        generator: whether the generator's are, as in later work.

    Raises:
        ValueError: for a network without such layers, or whose layers are parametrised already or start at
            0, as some of `R3GANDiscriminator`.

    Reference:
        Miyato et al., Spectral Normalization for Generative Adversarial Networks, ICLR 2018, arXiv 1802.05957; Zhang et
        al., Self-Attention Generative Adversarial Networks, ICML 2019, arXiv 1805.08318 (in the generator).
    """

    def __init__(self, discriminator: bool = True, generator: bool = False):
        self.discriminator = discriminator
        self.generator = generator

    @override
    def layers(self, gan: GAN, player: str) -> list[tuple[str, nn.Module]]:
        """Return all layers with the discriminator's embedding; one in a generator is an input and keeps its scale."""
        return list(weighted_layers(getattr(gan, player), embeddings=player == "discriminator"))

    @override
    def parametrize(self, layer: nn.Module) -> None:
        spectral_norm(layer)
