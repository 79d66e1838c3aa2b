"""What the tests of all stabilizers need to know of each class; the rest they find out."""

import importlib
import inspect
import pkgutil

import lightning_gans.stabilizers
from lightning_gans import Stabilizer
from lightning_gans.networks import DigitClassifier, GaussianWithCode
from lightning_gans.objectives import Hinge, LeastSquares, Relativistic, RelativisticAverage, Wasserstein
from lightning_gans.stabilizers import (
    AdaptiveAugmentation,
    AuxiliaryClassifier,
    BalancedUpdates,
    CheckpointSwap,
    ClassifierGuidance,
    ConsistencyRegularization,
    DifferentiableAugmentation,
    DRAGANPenalty,
    Dropout,
    ExperienceReplay,
    FeatureMatching,
    GeneratorEMA,
    GradientNormalization,
    GradientPenalty,
    HistoricalAveraging,
    ImagePool,
    InformationMaximization,
    InstanceNoise,
    InstanceNorm,
    JSRegularizer,
    LabelFlipping,
    LabelSmoothing,
    LatentConsistency,
    LeCamRegularizer,
    MinibatchDiscrimination,
    MinibatchStdDev,
    NormalInitialization,
    OrthogonalInitialization,
    Packing,
    PullingAway,
    R1Penalty,
    R2Penalty,
    RandomAffine,
    RandomColor,
    SpectralNorm,
    TopK,
    VirtualBatchNorm,
    WeightClipping,
    WeightDecay,
    WeightNorm,
)
from lightning_gans.stabilizers.rules import ByAccuracy, Fixed
from lightning_gans.targets import OwnGuess


class OneOfItsKind(DigitClassifier):
    """A classifier that equals its copies."""

    def __eq__(self, other):
        return type(self) is type(other)

    def __hash__(self):
        return id(self)


class EqualNoise(InstanceNoise):
    """Noise that equals its copies."""

    def __eq__(self, other):
        return type(self) is type(other)

    def __hash__(self):
        return id(self)


NEUTRAL = {  # arguments with which it does nothing; None for a class that has no such arguments
    AdaptiveAugmentation: {"target": 1.0},
    AuxiliaryClassifier: {"weight": 0.0, "generator_weight": 0.0},
    BalancedUpdates: {"rule": ByAccuracy(low=0.0, high=1.0)},
    CheckpointSwap: {"probability": 0.0},
    ClassifierGuidance: {"weight": 0.0},
    ConsistencyRegularization: {"real": 0.0, "fake": 0.0},
    DRAGANPenalty: {"weight": 0.0},
    DifferentiableAugmentation: {"color": 0.0, "translation": 0.0, "cutout": 0.0},
    Dropout: {"discriminator": 0.0, "generator": 0.0},
    ExperienceReplay: {"share": 0.0},
    FeatureMatching: {"weight": 0.0, "replace": False},
    GeneratorEMA: {"half_life": 0.0},
    GradientNormalization: None,
    GradientPenalty: {"weight": 0.0},
    HistoricalAveraging: {"generator_weight": 0.0, "discriminator_weight": 0.0},
    ImagePool: {"probability": 0.0},
    InformationMaximization: {"weight": 0.0},
    InstanceNoise: {"sigma": 0.0},
    InstanceNorm: {"discriminator": False, "generator": False},
    JSRegularizer: {"weight": 0.0},
    LabelFlipping: {"probability": 0.0},
    LabelSmoothing: {"real": 1.0, "fake": 0.0},
    LeCamRegularizer: {"weight": 0.0},
    LatentConsistency: {"discriminator": 0.0, "generator": 0.0},
    MinibatchDiscrimination: None,
    MinibatchStdDev: None,
    NormalInitialization: {"discriminator": False, "generator": False},
    OrthogonalInitialization: {"discriminator": False, "generator": False},
    Packing: {"samples": 1},
    R1Penalty: {"weight": 0.0},
    R2Penalty: {"weight": 0.0},
    SpectralNorm: {"discriminator": False, "generator": False},
    PullingAway: {"weight": 0.0},
    RandomAffine: {"rotation": 0.0, "zoom": 0.0, "shift": 0.0},
    TopK: {"share": 1.0},
    RandomColor: {"brightness": 0.0, "contrast": 0.0, "luma_flip": 0.0, "hue": 0.0, "saturation": 0.0},
    VirtualBatchNorm: {"discriminator": False, "generator": False},
    WeightClipping: {"limit": 1e9},
    WeightDecay: {"weight": 0.0},
    WeightNorm: {"discriminator": False, "generator": False},
}
SMALL: dict[type, dict] = {  # arguments that show an effect in runs of a few batches of 8, in place of defaults
    AdaptiveAugmentation: {"target": -1.0, "every": 1, "images": 16.0},
    BalancedUpdates: {"rule": ByAccuracy(low=0.3, high=0.43), "smoothing": 0.5},
    CheckpointSwap: {"every": 1, "keep": 2, "probability": 1.0, "updates": 1},
    ExperienceReplay: {"size": 8},
    GeneratorEMA: {"half_life": 2.0, "ramp_up": 0.5},
    ImagePool: {"size": 8},
    LabelFlipping: {"probability": 0.5},
    MinibatchDiscrimination: {"dimensions": 30},
    TopK: {"share": 0.5},
    VirtualBatchNorm: {"size": 4},
}
OTHER: dict[type, dict] = {  # other values in range, by argument, where `altered` finds none
    AdaptiveAugmentation: {"augmentations": [EqualNoise(0.3)], "target": 1.0},
    BalancedUpdates: {"rule": Fixed(2, 1)},
    ClassifierGuidance: {"classifier": OneOfItsKind(), "target": OwnGuess()},
    ConsistencyRegularization: {"augmentations": [EqualNoise(0.3)], "fake": 1.0},
    Dropout: {"discriminator": 0.5},
    GeneratorEMA: {"half_life_images": 4.0},
    LabelSmoothing: {"fake": 0.1},
    Packing: {"samples": 4},
    R1Penalty: {"sigma": 0.1},
    R2Penalty: {"sigma": 0.1},
    RandomAffine: {"flip": 0.5, "quarter_turns": 0.5, "stretch": 0.2},
}
ON_IMAGES: set[type] = {  # tested on images with BatchNorm, which it changes, or as it refuses points
    AdaptiveAugmentation,
    ClassifierGuidance,
    ConsistencyRegularization,
    DifferentiableAugmentation,
    InstanceNorm,
    RandomAffine,
    RandomColor,
    VirtualBatchNorm,
}
IN_COLOR: set[type] = {RandomColor}  # these of three channels, as it has arguments that change no grey ones
NETWORKS: dict[type, dict] = {  # what the networks of a GAN need to have for it, as arguments of `small_gan`
    AuxiliaryClassifier: {"num_classes": 2},
    InformationMaximization: {"latents": GaussianWithCode(2, 3)},
}
REFUSES: dict[type, set[type]] = {  # objectives that it refuses
    AdaptiveAugmentation: {Wasserstein},
    BalancedUpdates: {Wasserstein},
    JSRegularizer: {Hinge, LeastSquares, Relativistic, RelativisticAverage, Wasserstein},
    LabelSmoothing: {Wasserstein},
}
ALONE: set[type] = {GeneratorEMA, TopK}  # refuses a second of its class


def find_stabilizers():
    for module in pkgutil.walk_packages(lightning_gans.stabilizers.__path__, "lightning_gans.stabilizers."):
        for kind in vars(importlib.import_module(module.name)).values():
            own = inspect.isclass(kind) and issubclass(kind, Stabilizer) and kind.__module__ == module.name
            if own and not inspect.isabstract(kind):
                yield kind


EVERY = sorted(find_stabilizers(), key=lambda kind: kind.__name__)


def parameters(kind):
    return inspect.signature(kind).parameters


def small(kind, **arguments):
    return kind(**{**SMALL.get(kind, {}), **arguments})
