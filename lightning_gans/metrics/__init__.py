"""Scores of a generator: torchmetrics with one signature, `update(samples, real)`."""

from lightning_gans.metrics.class_coverage import ClassCoverage
from lightning_gans.metrics.class_spread import ClassSpread
from lightning_gans.metrics.density_coverage import DensityCoverage
from lightning_gans.metrics.feature_score import FeatureScore, KeptFeatures
from lightning_gans.metrics.frechet_distance import FrechetDistance
from lightning_gans.metrics.inception_score import InceptionScore
from lightning_gans.metrics.kernel_distance import KernelDistance
from lightning_gans.metrics.lpips_diversity import LPIPSDiversity
from lightning_gans.metrics.mode_coverage import ModeCoverage
from lightning_gans.metrics.multiscale_ssim import MultiScaleSSIM
from lightning_gans.metrics.ndb import NDB
from lightning_gans.metrics.nearest_neighbour import NearestNeighbour
from lightning_gans.metrics.pair_score import PairScore
from lightning_gans.metrics.pairwise_diversity import PairwiseDiversity
from lightning_gans.metrics.precision_recall import PrecisionRecall
from lightning_gans.metrics.score import Score

__all__ = [
    "NDB",
    "ClassCoverage",
    "ClassSpread",
    "DensityCoverage",
    "FeatureScore",
    "FrechetDistance",
    "InceptionScore",
    "KeptFeatures",
    "KernelDistance",
    "LPIPSDiversity",
    "ModeCoverage",
    "MultiScaleSSIM",
    "NearestNeighbour",
    "PairScore",
    "PairwiseDiversity",
    "PrecisionRecall",
    "Score",
]
