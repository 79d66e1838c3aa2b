"""MS-SSIM: the structural similarity of fakes to one another, over several scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor
from typing_extensions import override

from lightning_gans.metrics.pair_score import PairScore


class MultiScaleSSIM(PairScore):
    """Mean MS-SSIM of random pairs of fakes (`ms_ssim`), beside that of reals (`ms_ssim_real`); 1 for equal images.

    A value far above the reals' means little variety. The similarity is torchmetrics'. There is one scale for each of
    `betas`, each at half the size of the previous one: five need images of 176 pixels or more, four of 99, three of 44.

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
        scales = len(self.betas)
        least = max(11 * max(1, scales - 1) ** 2, 6 * 2 ** (scales - 1))  # for torchmetrics' window of 11
        if min(shape[1:]) < least:
            raise ValueError(
                f"MultiScaleSSIM(betas=<{scales} scales>): images are {shape[1]} × {shape[2]}, expected at least "
                f"{least} × {least}; use fewer betas, such as [0.0448, 0.2856, 0.3001] from 44 × 44 on."
            )

    @override
    def compare(self, first: Tensor, second: Tensor) -> Tensor:
        from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

        return multiscale_structural_similarity_index_measure(
            first, second, reduction="none", data_range=2.0, betas=self.betas, normalize="relu"
        )
