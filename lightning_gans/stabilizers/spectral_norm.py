"""Spectral normalisation: layers that stretch nothing more than once its length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from lightning_gans.networks import weighted_layers
from lightning_gans.stabilizers.parametrization import Parametrization

if TYPE_CHECKING:
    from lightning_gans.gan import GAN


class SpectralNorm(Parametrization):
    """Divide the weight of every layer by its largest singular value, which bounds the network's Lipschitz constant.

        W̄ = W / σ(W),    σ(W) = max ‖Wh‖₂ / ‖h‖₂ ≈ uᵀWv

    u and v follow by one power iteration in each forward of training. Linear layers, convolutions and transposed ones
    are normalised, of the discriminator also the embedding of the labels; a convolution's W has a row per output
    channel, so that its Lipschitz constant is bounded up to a factor of its kernel's size. Routes of a stochastic
    generator have a norm of their own and keep it. It goes with any objective, the paper's was `Hinge`; leave BatchNorm
    out of the discriminator, as it scales the layers up again. Packing and layers before the head change weights and
    come first in the list. It costs two products of the weight with a vector per layer and forward.

    Args:
        discriminator: whether the discriminator's layers are normalised.
        generator: whether the generator's are, as in later work.

    Raises:
        ValueError: for a network without such layers, or whose layers are parametrised already.

    Reference:
        Miyato et al., Spectral Normalization for Generative Adversarial Networks, ICLR 2018, arXiv 1802.05957; Zhang et
        al., Self-Attention Generative Adversarial Networks, ICML 2019, arXiv 1805.08318 (in the generator).
    """

    def __init__(self, discriminator: bool = True, generator: bool = False):
        self.discriminator = discriminator
        self.generator = generator

    def layers(self, gan: GAN, who: str) -> list[tuple[str, nn.Module]]:
        """With the discriminator's embedding; the generator's is an input beside z and keeps its scale."""
        return list(weighted_layers(getattr(gan, who), embeddings=who == "discriminator"))

    def parametrize(self, layer: nn.Module) -> None:
        """Put the weight behind its spectral norm."""
        spectral_norm(layer)
