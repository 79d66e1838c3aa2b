"""Whether the gradient of a classifier points at pictures, as that of one that resists attacks does."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor

from lightning_gans import generation
from lightning_gans.gan import GAN

_FEW = 32  # images at which the gradient is measured
STRUCTURED = 0.6
"""Correlation of neighbouring pixels below which a gradient makes textures.

At first samples that of the two digit classifiers of this library is .34 (ordinary) and .85 (robust), that of
EfficientNet-Lite0 .31.
"""


def gradient_correlation(classifier: Callable[[Tensor], Tensor], images: Tensor) -> float:
    """Return how a classifier's gradient correlates at neighbouring pixels, −1 to 1; 0 for noise.

        mean over the images of  ½ Σ (g_{i,j} g_{i+1,j} + g_{i,j} g_{i,j+1}) / Σ g_{i,j}²

    where g is the gradient by the image of the cross-entropy towards one of the classes, which the images have in turn.
    An ordinary classifier's gradient is noise to the eye; one that resists attacks has the gradient of strokes and
    shapes (Tsipras et al., Robustness May Be at Odds with Accuracy, ICLR 2019, arXiv 1805.12152).

    Args:
        classifier: maps images to logits (N, K); its parameters get no gradient.
        images: (N, C, H, W).
    """
    with torch.enable_grad():
        x = images.detach().clone().requires_grad_()
        logits = classifier(x)
        wanted = torch.arange(len(x), device=x.device) % logits.shape[1]
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, wanted, reduction="sum"), x)
    g = gradient.double()
    down, right = g[..., 1:, :] * g[..., :-1, :], g[..., 1:] * g[..., :-1]
    shared = (down.flatten(1).sum(1) + right.flatten(1).sum(1)) / 2
    return float((shared / g.square().flatten(1).sum(1).clamp_min(1e-30)).mean())


def describe(gan: GAN) -> None:
    """Say so, in one line, where the classifier in D's place has a gradient without structure at first samples."""
    images, _ = generation.draw(gan, _FEW, seed=0)
    correlation = gradient_correlation(gan.discriminator, images.to(gan.device))
    if correlation < STRUCTURED:
        rank_zero_info(
            f"SEPGAN: the gradient of {type(gan.discriminator.network).__name__} hardly correlates at neighbouring "
            f"pixels ({correlation:.2f}; .7 and more of classifiers that resist attacks): expect textures "
            "rather than pictures. RobustDigitClassifier draws digits; RobustClassifier trains one on other data."
        )
