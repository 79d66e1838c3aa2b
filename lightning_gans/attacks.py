"""Adversarial attacks: the small changes of images that mislead a classifier most, found by its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Norm = Literal["L2", "Linf"]


def projected_gradient(
    network: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    epsilon: float,
    steps: int,
    norm: Norm = "L2",
    step: float = 2.5,
) -> Tensor:
    """Return images near x that a classifier gets as wrong as the attack can find, by projected gradient ascent.

        δ ← project(δ + step · ε / steps · direction(∇_δ CE(network(x + δ), y))), from δ = 0

    The direction is the gradient over its norm (L2) or its sign (Linf). The projection keeps ‖δ‖ ≤ ε and x + δ in
    [−1, 1]. Of images in [0, 1] an ε is half as large: 1.5 there is 3 here.

    Args:
        network: maps images (N, …) in [−1, 1] to logits (N, K). Its parameters get no gradient.
        x: images (N, …).
        y: their classes (N,).
        epsilon: largest norm of a change, above 0.
        steps: of the ascent.
        norm: "L2", the Euclidean norm of an image, or "Linf", the largest change of a pixel.
        step: how far all steps together go, in ε.

    Reference:
        Madry, Makelov, Schmidt, Tsipras, Vladu, "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR
        2018, arXiv 1706.06083; the step size: Engstrom et al., "Robustness (Python Library)", 2019.
    """
    change = torch.zeros_like(x)
    for _ in range(steps):
        with torch.enable_grad():
            moved = (x + change).detach().requires_grad_()
            (gradient,) = torch.autograd.grad(F.cross_entropy(network(moved), y), moved)
        direction = gradient.sign() if norm == "Linf" else gradient / _lengths(gradient).clamp_min(1e-12)
        change = change + step * epsilon / steps * direction
        if norm == "Linf":
            change = change.clamp(-epsilon, epsilon)
        else:
            change = change * (epsilon / _lengths(change).clamp_min(1e-12)).clamp_max(1)
        change = (x + change).clamp(-1, 1) - x
    return (x + change).detach()


def _lengths(x: Tensor) -> Tensor:
    """Return the Euclidean norm of each sample, (N, 1, …)."""
    return torch.linalg.vector_norm(x.flatten(1), dim=1).reshape(-1, *[1] * (x.dim() - 1))
