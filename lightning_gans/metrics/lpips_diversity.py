"""LPIPS diversity: the perceptual distance of fakes to one another."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from lightning_gans.metrics.pair_score import PairScore


class LPIPSDiversity(PairScore):
    """Mean perceptual distance (LPIPS) of random pairs of fakes (`lpips`), beside that of reals (`lpips_real`).

    A value far below the reals' means little variety. The distance is torchmetrics', on AlexNet, whose weights (233 MB)
    torchvision downloads once. Images smaller than 64 pixels are enlarged to 64; a grey channel is repeated.

    Args:
        num_pairs: pairs of each kind, at least 1.
        distance: maps two batches of images (N, 3, H, W) in [−1, 1] to their distances (N,) or (N, 1, 1, 1); None is
            LPIPS on AlexNet.
        seed: seed of the pairs, at least 0.

    Raises:
        ValueError: if an argument is out of its range, AlexNet's weights cannot be downloaded, or images have neither
            1 nor 3 channels.

    Reference:
        Zhang, Isola, Efros, Shechtman, Wang, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
        CVPR 2018, arXiv 1801.03924.
    """

    name = "lpips"
    captions: ClassVar[dict[str, str]] = {"lpips": "Mean perceptual distance between generated samples: their variety."}

    def __init__(self, num_pairs: int = 1000, distance: nn.Module | None = None, seed: int = 0) -> None:
        super().__init__(num_pairs, seed)
        self.hide(_lpips() if distance is None else distance)

    @property
    def distance(self) -> nn.Module:
        """The network of the distance, frozen and hidden."""
        return self.network

    @override
    def check_images(self, shape: tuple[int, ...]) -> None:
        super().check_images(shape)
        if shape[0] not in (1, 3):
            raise ValueError(f"LPIPSDiversity: images of {shape[0]} channels; expected 1 or 3; leave this score out.")

    @override
    @torch.no_grad()
    def compare(self, first: Tensor, second: Tensor) -> Tensor:
        size = [max(64, side) for side in first.shape[2:]]
        images = []
        for x in (first, second):
            enlarged = nn.functional.interpolate(x, size=size, mode="bilinear") if size != [*x.shape[2:]] else x
            images.append(enlarged.expand(-1, 3, -1, -1))
        return self.distance(*images).view(len(first))


def _lpips() -> nn.Module:
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    try:
        with torch.random.fork_rng(devices=[]):
            return LearnedPerceptualImagePatchSimilarity("alex").net
    except (ImportError, OSError) as error:  # URLError is an OSError
        raise ValueError(
            f"LPIPSDiversity: AlexNet's weights cannot be loaded ({str(error).strip().splitlines()[0][:120]}); it "
            "needs torchvision and, once, a network connection; or give a distance of your own, or use "
            "PairwiseDiversity with ImageNetFeatures."
        ) from None
