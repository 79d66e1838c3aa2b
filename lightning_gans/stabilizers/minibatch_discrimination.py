"""Minibatch discrimination: a discriminator that sees how alike the samples of a batch are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_gans.networks import AppendSimilarities, Discriminator, append_to_features
from lightning_gans.stabilizer import NetworkStabilizer

if TYPE_CHECKING:
    from lightning_gans.gan import GAN


class MinibatchDiscrimination(NetworkStabilizer):
    """Let the discriminator's head see how close each sample is to the others of its batch.

        o_b(i) = Σ_{j ≠ i} exp(−‖M_ib − M_jb‖₁),    M_i = f(x_i) · T,    head([f(x_i), o(x_i)])

    A generator that makes one sample over and over is found out at once. It sits between features and head, of real
    and fake batches apart; the projection of labels and `FeatureMatching` read the features as before. T (features,
    kernels, dimensions) is learned; the head's first Linear keeps its weights and gets more, which start at 0. o may
    reach N − 1, which Adam does not mind and plain SGD does, and is smaller in a smaller batch, such as the last of a
    validation. A sample's logit, and its gradient, then depends on its batch (on the part of one process), which
    penalties per sample do not mean. Memory and time grow with N² · kernels · dimensions: nothing to speak of beside
    convolutions and 64 samples, but many times a small perceptron's step with 512.

    Args:
        kernels: similarities per sample, B in the paper, at least 1.
        dimensions: dimensions in which each is measured, C in the paper, at least 1.

    Raises:
        ValueError: for numbers below 1, or a discriminator whose head has no Linear to widen.

    Reference:
        Salimans et al., Improved Techniques for Training GANs, NeurIPS 2016, arXiv 1606.03498, section 3.2.
    """

    def __init__(self, kernels: int = 16, dimensions: int = 5):
        for name, value in (("kernels", kernels), ("dimensions", dimensions)):
            if not (isinstance(value, int) and value >= 1):
                raise ValueError(f"MinibatchDiscrimination({name}={value}): expected a whole number of at least 1.")
        self.kernels = kernels
        self.dimensions = dimensions

    def change(self, gan: GAN) -> None:
        """Put the layer before the head."""
        discriminator = gan.discriminator
        if not isinstance(discriminator, Discriminator):
            raise ValueError(f"{self}: {type(discriminator).__name__} has no features and head; leave it out.")
        layer = AppendSimilarities(discriminator.num_features, self.kernels, self.dimensions)
        try:
            discriminator.head = append_to_features(discriminator.head, layer)
        except ValueError as error:
            raise ValueError(f"{self}: {error}.") from error
