"""Weight clipping: the Lipschitz constraint of the first Wasserstein GAN."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch.nn.utils.parametrize import is_parametrized
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.stabilizer import Stabilizer


class WeightClipping(Stabilizer):
    """Clamp every parameter of the discriminator to [−limit, limit] after each of its steps.

    A compact set of weights makes the critic Lipschitz with some unknown constant. The authors call it "a
    clearly terrible way" to do so: with large limits training is slow, with small ones gradients vanish. Prefer
    `GradientPenalty` unless you study the original. It costs one pass over the weights.

    Args:
        limit: the bound c, above 0. 0.01 in the paper, for networks with BatchNorm.

    Raises:
        ValueError: for a limit that is not above 0.

    Reference:
        Arjovsky, Chintala and Bottou, Wasserstein GAN, ICML 2017, arXiv 1701.07875, algorithm 1.
    """

    def __init__(self, limit: float = 0.01):
        arguments.positive(self, limit=limit)
        self.limit = limit

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Warn of weights that a norm rescales."""
        super().on_train_start(trainer, pl_module)
        if any(is_parametrized(module) for module in pl_module.discriminator.modules()):
            rank_zero_warn(
                f"{self} clamps weights that SpectralNorm or WeightNorm rescales afterwards, which bounds nothing; "
                "leave out one of the two.",
                category=UserWarning,
            )

    @torch.no_grad()
    @override
    def on_discriminator_step_end(self, gan: GAN) -> None:
        for parameter in gan.discriminator.parameters():
            parameter.clamp_(-self.limit, self.limit)
