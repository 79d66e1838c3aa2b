"""Gradient normalisation: the discriminator's logit is divided by the norm of its gradient and its own size."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Trainer
from typing_extensions import override

from lightning_gans.gan import GAN
from lightning_gans.networks import NormalizedDiscriminator
from lightning_gans.stabilizer import NetworkStabilizer
from lightning_gans.stabilizers.mixed_batches import warn_of_mixing


class GradientNormalization(NetworkStabilizer):
    """Divide the discriminator's logit by the norm of its gradient with respect to the input, and its own size.

        D̂(x) = D(x) / (‖∇ₓD(x)‖₂ + |D(x)|)

    D̂ is what both players and validation see. Its slope is at most 1 wherever D is linear around x, as between the
    kinks of (leaky) ReLU, without a bound on any layer: ‖∇D̂‖ = (‖∇D‖ / (‖∇D‖ + |D|))². Beyond a kink ∇D, and so D̂,
    may jump; with a smooth activation the slope has a part of the curvature of D and no bound.

    Logits are in [−1, 1]. `Hinge`, the paper's objective, then never reaches its margin and has the gradients of
    `Wasserstein`; `NonSaturating` stays between σ(−1) = 0.27 and σ(1) = 0.73. `SpectralNorm` works beside it, and
    penalties on the slope do too, but have little left to do. The discriminator's `features` are not changed. With
    `Packing` the gradient is that of the pack, of patches that of their mean logit. Give it after `Packing` and
    `VirtualBatchNorm`.

    Every forward of the discriminator computes a gradient, which a step then differentiates again: a step takes 1.96
    times as long with DCGAN at 32 pixels (batch 64, one thread). It is in the precision of the weights, autocast off.
    Do not use BatchNorm or another layer that mixes a batch in the discriminator, of which a warning tells.

    Raises:
        ValueError: for a discriminator that overrides `forward`.

    Reference:
        Wu et al., Gradient Normalization for Generative Adversarial Networks, ICCV 2021, arXiv 2109.02235; the
        authors' code, https://github.com/basiclab/GNGAN-PyTorch.
    """

    def __init__(self) -> None:
        """Create the stabilizer; it has no settings."""
        self._warned: set[str] = set()

    @property
    @override
    def acts_on_discriminator(self) -> bool:
        return True

    @override
    def apply_to(self, gan: GAN) -> None:
        """Wrap the discriminator, and warn of layers that mix a batch."""
        super().apply_to(gan)
        warn_of_mixing(self, gan.discriminator, self._warned)

    @override
    def change(self, gan: GAN) -> None:
        try:
            gan.discriminator = NormalizedDiscriminator(gan.discriminator)
        except ValueError as error:
            raise ValueError(f"{self}: {error}") from error

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Warn of layers that later stabilizers have added, too."""
        super().on_train_start(trainer, pl_module)
        warn_of_mixing(self, pl_module.discriminator, self._warned)
