"""Minibatch standard deviation: the discriminator sees how much a batch varies."""

from __future__ import annotations

from typing_extensions import override

from lightning_gans.gan import GAN
from lightning_gans.networks import Discriminator, MinibatchStdDevLayer, append_to_features
from lightning_gans.stabilizer import NetworkStabilizer


class MinibatchStdDev(NetworkStabilizer):
    """Give the discriminator's head the variation of the batch, as one more feature of every sample.

        s = mean over features of the standard deviation over the batch,    head([f(x_i), s])

    It serves the purpose of `MinibatchDiscrimination` without parameters, at almost no cost. The paper's variant
    computes the deviation of maps (the authors' code in groups of four samples), averages it over channels and
    positions, and appends a constant map near the end of the discriminator; this one computes the deviation of the flat
    features over the whole batch (in one process), and appends a number before the head. A sample's logit and gradient
    then depend on its batch, which penalties per sample do not expect.

    Raises:
        ValueError: for a discriminator whose head has no Linear to widen.

    Reference:
        Karras et al., Progressive Growing of GANs for Improved Quality, Stability, and Variation, ICLR 2018,
        arXiv 1710.10196.
    """

    def __init__(self) -> None:
        """Create the stabilizer; it has no settings."""

    @override
    def change(self, gan: GAN) -> None:
        discriminator = gan.discriminator
        if not isinstance(discriminator, Discriminator):
            raise ValueError(f"{self}: {type(discriminator).__name__} has no features and head; leave it out.")
        layer = MinibatchStdDevLayer(discriminator.num_features)
        try:
            discriminator.head = append_to_features(discriminator.head, layer)
        except ValueError as error:
            raise ValueError(f"{self}: {error}") from error
