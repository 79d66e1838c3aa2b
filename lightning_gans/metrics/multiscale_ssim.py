"""MS-SSIM: the structural similarity of fakes to one another, over several scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from lightning_gans.metrics.pair_score import PairScore


class MultiScaleSSIM(PairScore):
    """Mean MS-SSIM of random pairs of fakes (`ms_ssim`), beside that of reals (`ms_ssim_real`); 1 for equal images.

    A value far above the reals' means little variety. Images are mapped to [0, 1], as luminances are not below 0:

        ms_ssim = l_M^β_M · Π_j (c s)_j^β_j,    l = (2 μ_x μ_y + C₁) / (μ_x² + μ_y² + C₁),
        c s = (2 σ_xy + C₂) / (σ_x² + σ_y² + C₂),    C₁ = 0.01², C₂ = 0.03²

    with means over the positions of a Gaussian window of 11 pixels (σ = 1.5, smaller where the image is), and then over
    channels. There is one scale j for each of `betas`, each at half the size of the previous one: five need images of
    176 pixels or more, four of 99, three of 44.

    Args:
        num_pairs: pairs of each kind, at least 1.
        betas: exponent of each scale, above 0.
        seed: seed of the pairs, at least 0.

    Raises:
        ValueError: if an argument is out of its range, or images are too small for the scales.

    Reference:
        Wang, Simoncelli, Bovik, "Multiscale Structural Similarity for Image Quality Assessment", Asilomar 2003; Odena,
        Olah, Shlens, "Conditional Image Synthesis with Auxiliary Classifier GANs", ICML 2017, arXiv 1610.09585.
    """

    name = "ms_ssim"
    captions: ClassVar[dict[str, str]] = {
        "ms_ssim": "Mean structural similarity of generated samples. The lower, the more varied they are."
    }

    def __init__(
        self, num_pairs: int = 1000, betas: Sequence[float] = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333), seed: int = 0
    ) -> None:
        super().__init__(num_pairs, seed)
        if not betas or not all(0 < beta < float("inf") for beta in betas):
            raise ValueError(f"MultiScaleSSIM(betas={betas}): expected a finite number above 0 for each scale.")
        self.betas = tuple(float(beta) for beta in betas)

    @override
    def check_images(self, shape: tuple[int, ...]) -> None:
        super().check_images(shape)
        side, scales = min(shape[1:]), len(self.betas)
        if side < _least_side(scales):
            fitting = [self.betas[:few] for few in range(1, scales) if _least_side(few) <= side]
            remedy = f"use fewer betas, such as {list(fitting[-1])}" if fitting else "leave this score out"
            raise ValueError(
                f"MultiScaleSSIM(betas=<{scales} scales>): images are {shape[1]} × {shape[2]}, expected at least "
                f"{_least_side(scales)} × {_least_side(scales)}; {remedy}."
            )

    @override
    def compare(self, first: Tensor, second: Tensor) -> Tensor:
        x, y = first / 2 + 0.5, second / 2 + 0.5
        product = x.new_ones(x.shape[:2])  # of each channel
        for scale, beta in enumerate(self.betas, start=1):
            luminance, structure = _similarities(x, y)
            found = luminance * structure if scale == len(self.betas) else structure
            product = product * found.mean((2, 3)).relu() ** beta
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        return product.mean(1)


def _least_side(scales: int) -> int:
    """Return the smallest side of images whose last scale has a window of 11 pixels, or of 6."""
    return max(11 * max(1, scales - 1) ** 2, 6 * 2 ** (scales - 1))


def _similarities(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return maps of luminance, and of contrast times structure, of two batches of images (N, C, H, W) in [0, 1]."""
    size = min(11, *x.shape[2:])
    steps = torch.arange(size, dtype=x.dtype, device=x.device) - (size - 1) / 2
    window = torch.softmax(-(steps**2) / (2 * (1.5 * size / 11) ** 2), dim=0)

    def blurred(image: Tensor) -> Tensor:
        flat = image.flatten(0, 1).unsqueeze(1)
        found = F.conv2d(F.conv2d(flat, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
        return found.squeeze(1).unflatten(0, x.shape[:2])

    mean_x, mean_y = blurred(x), blurred(y)
    variances = blurred(x * x) - mean_x**2 + blurred(y * y) - mean_y**2
    covariance = blurred(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
    return luminance, (2 * covariance + 0.03**2) / (variances + 0.03**2)
