"""Minibatch standard deviation: a discriminator that sees how much a batch varies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_gans.networks import AppendDeviation, Discriminator, append_to_features
from lightning_gans.stabilizer import NetworkStabilizer

if TYPE_CHECKING:
    from lightning_gans.gan import GAN


class MinibatchStdDev(NetworkStabilizer):
    """Let the discriminator's head see how much the batch varies, as one more feature of every sample.

        s = mean over features of the standard deviation over the batch,    head([f(x_i), s])

    It does the work of `MinibatchDiscrimination` without parameters of its own, at almost no cost. The paper's variant
    takes the deviation of maps (the authors' code in groups of four samples), averages it over channels and positions,
    and appends a constant map near the end of the discriminator; ours takes that of the flat features over the whole
    batch (the part of one process), and appends a number before the head. A sample's logit, and its gradient, then
    depends on its batch, which penalties per sample do not mean.

    Raises:
        ValueError: for a discriminator whose head has no Linear to widen.

    Reference:
        Karras et al., Progressive Growing of GANs for Improved Quality, Stability, and Variation, ICLR 2018,
        arXiv 1710.10196.
    """

    def __init__(self) -> None:
        """It has no settings."""

    def change(self, gan: GAN) -> None:
        """Put the layer before the head."""
        discriminator = gan.discriminator
        if not isinstance(discriminator, Discriminator):
            raise ValueError(f"{self}: {type(discriminator).__name__} has no features and head; leave it out.")
        try:
            discriminator.head = append_to_features(discriminator.head, AppendDeviation(discriminator.num_features))
        except ValueError as error:
            raise ValueError(f"{self}: {error}.") from error
