"""The gradient penalty of WGAN-GP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from lightning_gans.stabilizer import Stabilizer

if TYPE_CHECKING:
    from lightning_gans.gan import GAN, Step


class GradientPenalty(Stabilizer):
    """Keep the critic's slope near a target between real and fake samples.

        weight · mean[(‖∇D(x̂)‖₂ − target)²],    x̂ = εx + (1 − ε)G(z),  ε ~ U(0, 1), one per sample

    The norm is per sample, over all its dimensions, of the gradient with respect to the input. Under mixed
    precision it is computed in the precision of the weights, autocast off. It needs a double backward: about one more
    forward and two more backwards of the discriminator per step. Do not use BatchNorm in the
    discriminator: it makes a sample's gradient depend on its batch, and you are warned if it is there.

    Args:
        weight: λ, at least 0; 10 in the paper, smaller on two-dimensional toys.
        target: the slope to keep, at least 0; 1 makes a critic 1-Lipschitz where it matters.

    Raises:
        ValueError: for a negative weight or target.

    Reference:
        Gulrajani et al., Improved Training of Wasserstein GANs, NeurIPS 2017, arXiv 1704.00028.
    """

    def __init__(self, weight: float = 10.0, target: float = 1.0):
        for name, value in (("weight", weight), ("target", target)):
            if not value >= 0:
                raise ValueError(f"GradientPenalty({name}={value}): expected a number of at least 0.")
        self.weight = weight
        self.target = target

    def apply_to(self, gan: GAN) -> None:
        """Warn of BatchNorm in the discriminator."""
        if any(isinstance(module, _BatchNorm) for module in gan.discriminator.modules()):
            rank_zero_warn(
                "GradientPenalty with BatchNorm in the discriminator: a sample's gradient then depends on its "
                "whole batch, which the penalty does not mean. Use norm: null, or a per-sample norm such as "
                "torch.nn.InstanceNorm2d.",
                category=UserWarning,
            )

    def on_discriminator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        """Add the penalty."""
        if self.weight == 0:
            return loss
        assert step.real is not None and step.discriminator is not None
        with torch.autocast(loss.device.type, enabled=False):
            real, fake = step.real.to(gan.dtype), step.fake.to(gan.dtype)
            epsilon = torch.rand([len(real)] + [1] * (real.dim() - 1), dtype=real.dtype, device=real.device)
            mixed = torch.lerp(fake, real, epsilon)  # in a look-ahead it has a graph: G moves where D is held
            mixed = mixed if mixed.requires_grad else mixed.requires_grad_()
            logits = gan.judge(step.discriminator, mixed, step.labels)
            (gradient,) = torch.autograd.grad(logits.sum(), mixed, create_graph=True)
            norm = torch.linalg.vector_norm(gradient.flatten(1).to(logits.dtype), dim=1)
            penalty = self.weight * (norm - self.target).square().mean()
        step.terms["gradient_penalty"] = penalty.detach()
        return loss + penalty
