"""Weight clipping: the Wasserstein GAN's own Lipschitz constraint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch.nn.utils.parametrize import is_parametrized

from lightning_gans.stabilizer import Stabilizer

if TYPE_CHECKING:
    from lightning_gans.gan import GAN


class WeightClipping(Stabilizer):
    """Clamp every parameter of the discriminator to [−limit, limit] after each of its steps.

    A compact set of weights makes the critic Lipschitz with some unknown constant. The authors call it "a
    clearly terrible way" to do so: large limits train slowly, small ones make gradients vanish. Prefer
    `GradientPenalty` unless you study the original. The cost is one pass over the weights.

    Args:
        limit: the bound c, above 0. 0.01 in the paper, for networks with BatchNorm.

    Raises:
        ValueError: for a limit that is not above 0.

    Reference:
        Arjovsky, Chintala and Bottou, Wasserstein GAN, ICML 2017, arXiv 1701.07875, algorithm 1.
    """

    def __init__(self, limit: float = 0.01):
        if not limit > 0:
            raise ValueError(f"WeightClipping(limit={limit}): expected a number above 0, such as 0.01.")
        self.limit = limit

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warn of weights that a norm rescales."""
        super().on_train_start(trainer, pl_module)
        if any(is_parametrized(module) for module in pl_module.discriminator.modules()):  # type: ignore[union-attr]
            rank_zero_warn(
                f"{self} clamps weights that SpectralNorm or WeightNorm rescales afterwards, which bounds nothing; "
                "leave out one of the two.",
                category=UserWarning,
            )

    @torch.no_grad()
    def on_discriminator_step_end(self, gan: GAN) -> None:
        """Clamp the weights."""
        for parameter in gan.discriminator.parameters():
            parameter.clamp_(-self.limit, self.limit)
