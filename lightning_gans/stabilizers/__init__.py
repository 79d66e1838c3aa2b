"""The stabilizers: one idea, one file."""

from lightning_gans.stabilizers.adaptive_augmentation import AdaptiveAugmentation
from lightning_gans.stabilizers.auxiliary_classifier import AuxiliaryClassifier
from lightning_gans.stabilizers.balanced_updates import BalancedUpdates
from lightning_gans.stabilizers.checkpoint_swap import CheckpointSwap
from lightning_gans.stabilizers.classifier_guidance import ClassifierGuidance
from lightning_gans.stabilizers.consistency_regularization import ConsistencyRegularization
from lightning_gans.stabilizers.differentiable_augmentation import DifferentiableAugmentation
from lightning_gans.stabilizers.dragan_penalty import DRAGANPenalty
from lightning_gans.stabilizers.dropout import Dropout
from lightning_gans.stabilizers.experience_replay import ExperienceReplay
from lightning_gans.stabilizers.feature_matching import FeatureMatching
from lightning_gans.stabilizers.generator_ema import GeneratorEMA
from lightning_gans.stabilizers.gradient_normalization import GradientNormalization
from lightning_gans.stabilizers.gradient_penalty import GradientPenalty
from lightning_gans.stabilizers.historical_averaging import HistoricalAveraging
from lightning_gans.stabilizers.image_pool import ImagePool
from lightning_gans.stabilizers.information_maximization import InformationMaximization
from lightning_gans.stabilizers.instance_noise import InstanceNoise
from lightning_gans.stabilizers.instance_norm import InstanceNorm
from lightning_gans.stabilizers.js_regularizer import JSRegularizer
from lightning_gans.stabilizers.label_flipping import LabelFlipping
from lightning_gans.stabilizers.label_smoothing import LabelSmoothing
from lightning_gans.stabilizers.latent_consistency import LatentConsistency
from lightning_gans.stabilizers.lecam_regularizer import LeCamRegularizer
from lightning_gans.stabilizers.minibatch_discrimination import MinibatchDiscrimination
from lightning_gans.stabilizers.minibatch_stddev import MinibatchStdDev
from lightning_gans.stabilizers.normal_initialization import NormalInitialization
from lightning_gans.stabilizers.orthogonal_initialization import OrthogonalInitialization
from lightning_gans.stabilizers.packing import Packing
from lightning_gans.stabilizers.pulling_away import PullingAway
from lightning_gans.stabilizers.r1_penalty import R1Penalty
from lightning_gans.stabilizers.r2_penalty import R2Penalty
from lightning_gans.stabilizers.random_affine import RandomAffine
from lightning_gans.stabilizers.random_color import RandomColor
from lightning_gans.stabilizers.spectral_norm import SpectralNorm
from lightning_gans.stabilizers.top_k import TopK
from lightning_gans.stabilizers.virtual_batch_norm import VirtualBatchNorm
from lightning_gans.stabilizers.weight_clipping import WeightClipping
from lightning_gans.stabilizers.weight_decay import WeightDecay
from lightning_gans.stabilizers.weight_norm import WeightNorm

__all__ = [
    "AdaptiveAugmentation",
    "AuxiliaryClassifier",
    "BalancedUpdates",
    "CheckpointSwap",
    "ClassifierGuidance",
    "ConsistencyRegularization",
    "DRAGANPenalty",
    "DifferentiableAugmentation",
    "Dropout",
    "ExperienceReplay",
    "FeatureMatching",
    "GeneratorEMA",
    "GradientNormalization",
    "GradientPenalty",
    "HistoricalAveraging",
    "ImagePool",
    "InformationMaximization",
    "InstanceNoise",
    "InstanceNorm",
    "JSRegularizer",
    "LabelFlipping",
    "LabelSmoothing",
    "LatentConsistency",
    "LeCamRegularizer",
    "MinibatchDiscrimination",
    "MinibatchStdDev",
    "NormalInitialization",
    "OrthogonalInitialization",
    "Packing",
    "PullingAway",
    "R1Penalty",
    "R2Penalty",
    "RandomAffine",
    "RandomColor",
    "SpectralNorm",
    "TopK",
    "VirtualBatchNorm",
    "WeightClipping",
    "WeightDecay",
    "WeightNorm",
]
