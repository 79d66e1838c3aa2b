"""Minibatch discrimination: the discriminator sees how similar the samples of a batch are."""

from __future__ import annotations

from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.networks import Discriminator, MinibatchSimilarity, append_to_features
from lightning_gans.stabilizer import NetworkStabilizer


class MinibatchDiscrimination(NetworkStabilizer):
    """Give the discriminator's head the similarity of each sample to the others of its batch.

        o_b(i) = Σ_{j ≠ i} exp(−‖M_ib − M_jb‖₁),    M_i = f(x_i) · T,    head([f(x_i), o(x_i)])

    A generator that makes the same sample again and again is recognised at once. The layer is between features and
    head, and sees real and fake batches separately; the projection of labels and `FeatureMatching` read the features as
    before. T (features, kernels, dimensions) is trained; the head's first Linear keeps its weights and gets additional
    ones, which start at 0. o can reach N − 1, which is no problem for Adam but is for plain SGD, and is smaller in a
    smaller batch, such as the last one of a validation. A sample's logit and gradient then depend on its batch (in one
    process), which penalties per sample do not expect. Memory and time grow with N² · kernels · dimensions: negligible
    beside convolutions with 64 samples, but many times the step of a small MLP with 512.

    Args:
        kernels: number of similarities per sample, B in the paper, at least 1.
        dimensions: dimensions of each similarity, C in the paper, at least 1.

    Raises:
        ValueError: for numbers below 1, or a discriminator whose head has no Linear to widen.

    Reference:
        Salimans et al., Improved Techniques for Training GANs, NeurIPS 2016, arXiv 1606.03498, section 3.2.
    """

    def __init__(self, kernels: int = 16, dimensions: int = 5):
        arguments.whole(self, 1, kernels=kernels, dimensions=dimensions)
        self.kernels = kernels
        self.dimensions = dimensions

    @override
    def change(self, gan: GAN) -> None:
        discriminator = gan.discriminator
        if not isinstance(discriminator, Discriminator):
            raise ValueError(f"{self}: {type(discriminator).__name__} has no features and head; leave it out.")
        layer = MinibatchSimilarity(discriminator.num_features, self.kernels, self.dimensions)
        try:
            discriminator.head = append_to_features(discriminator.head, layer)
        except ValueError as error:
            raise ValueError(f"{self}: {error}") from error
