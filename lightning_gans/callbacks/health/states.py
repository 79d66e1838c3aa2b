"""The states of a training that the monitor names, and what is recommended against each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lightning_gans.gan import GAN


@dataclass(frozen=True)
class Remedy:
    """What a source recommends, and how to do it here.

    Attributes:
        advice: what to do, with the source.
        option: what to add to the command line.
        present: classes, or precisions of the Trainer, whose use makes the advice pointless.
    """

    advice: str
    option: str
    present: tuple[str, ...] = ()


@dataclass(frozen=True)
class State:
    """A state of a training.

    Attributes:
        name: what the field calls it.
        remedies: what is recommended against it, the most likely to help first.
    """

    name: str
    remedies: tuple[Remedy, ...] = ()

    def advice(self, present: Iterable[str] = (), at_most: int = 3) -> list[str]:
        """Return the remedies, in words, that a run with these classes and this precision does not use yet."""
        left = [remedy for remedy in self.remedies if not set(present) & set(remedy.present)]
        return [f"{remedy.advice}: {remedy.option}" for remedy in left[:at_most]]


def _file(name: str) -> str:
    return f"--config configs/stabilizers/{name}.yaml"


_GRADIENT_PENALTY = Remedy(
    "bound D's slope (Gulrajani 2017, arXiv 1704.00028)", _file("gradient_penalty"), ("GradientPenalty",)
)
_R1 = Remedy(
    "penalise D's slope at real samples (Mescheder 2018, arXiv 1801.04406)", _file("r1_penalty"), ("R1Penalty",)
)
_NOISE = Remedy(
    "add noise to real and generated samples, so that they overlap (Sønderby 2016, arXiv 1610.04490)",
    _file("instance_noise"),
    ("InstanceNoise",),
)
_SPECTRAL_NORM = Remedy(
    "normalise D's weights (Miyato 2018, arXiv 1802.05957)", _file("spectral_norm"), ("SpectralNorm",)
)
_PACKING = Remedy("let D see several samples at once (Lin 2018, arXiv 1712.04086)", _file("packing"), ("Packing",))
_STDDEV = Remedy(
    "show D how much a batch varies (Karras 2018, arXiv 1710.10196)", _file("minibatch_stddev"), ("MinibatchStdDev",)
)
_CODE = Remedy(
    "give the latents a one-hot code, or unroll D (Metz 2017, arXiv 1611.02163)",
    "see configs/mixed_ring.yaml and configs/unrolled_ring.yaml",
    ("UnrolledGAN",),
)
_AVERAGE = Remedy("average the generator (Yazıcı 2019, arXiv 1806.04498)", _file("generator_ema"), ("GeneratorEMA",))
_AUGMENTATION = Remedy(
    "augment what D sees (Zhao 2020, arXiv 2006.10738)",
    _file("differentiable_augmentation"),
    ("DifferentiableAugmentation",),
)
_CLIP = Remedy("clip D's gradient (Pascanu 2013, arXiv 1211.5063)", "--model.discriminator_clip 1.0")
_LOWER_RATES = Remedy(
    "lower both learning rates", "--model.generator_optimizer.lr and --model.discriminator_optimizer.lr"
)
_WIDE = ("32-true", "64-true", "bf16-mixed", "bf16-true")  # precisions with the range of float32, or more

HEALTHY = State("healthy")
MODE_COLLAPSE = State("mode collapse (hard)", (_PACKING, _STDDEV, _NOISE, _CODE))
PARTIAL_COLLAPSE = State("partial collapse", (_PACKING, _STDDEV, _CODE))
COLLAPSE_IN_CLASSES = State("collapse inside classes", (_PACKING, _STDDEV, _R1, _LOWER_RATES))
LATENTS_IGNORED = State(
    "latents ignored",
    (
        Remedy("check that the generator reads z, at a scale like that of its other inputs", "in the code of yours"),
        _PACKING,
        _STDDEV,
    ),
)
LABELS_IGNORED = State(
    "labels ignored",
    (
        Remedy("check that labels and samples belong together", "in the code of your own data and networks"),
        Remedy("train for longer: classes are learned after strokes and colours", "--trainer.max_epochs"),
    ),
)
SOFT_COLLAPSE = State(
    "soft collapse / oscillation",
    (
        _R1,
        Remedy("unroll some of D's steps (Metz 2017, arXiv 1611.02163)", "--model UnrolledGAN", ("UnrolledGAN",)),
        Remedy(
            "lower both learning rates, G's more (Heusel 2017, arXiv 1706.08500)",
            "--model.generator_optimizer.lr and --model.discriminator_optimizer.lr",
        ),
        _AVERAGE,
    ),
)
VANISHING_GRADIENT = State(
    "vanishing generator gradient (D too strong)",
    (
        Remedy(
            "let G maximise D(G(z)) (Goodfellow 2014, arXiv 1406.2661)",
            "--model.objective NonSaturating",
            ("NonSaturating",),
        ),
        _NOISE,
        Remedy(
            "use a loss that does not saturate, and bound D's slope (Gulrajani 2017, arXiv 1704.00028)",
            f"--model.objective Wasserstein {_file('gradient_penalty')}",
            ("Wasserstein",),
        ),
        Remedy(
            "lower D's learning rate, or make fewer of its updates (Heusel 2017, arXiv 1706.08500)",
            "--model.discriminator_optimizer.lr, --model.n_critic 1",
        ),
    ),
)
WEAK_DISCRIMINATOR = State(
    "D too weak (generator fools it with garbage)",
    (
        Remedy("check whether real and fake targets are swapped", "in the code of your own steps and stabilizers"),
        Remedy("raise D's learning rate (Heusel 2017, arXiv 1706.08500)", "--model.discriminator_optimizer.lr"),
        Remedy("make more updates of D for each of G (Arjovsky 2017, arXiv 1701.07875)", "--model.n_critic 5"),
        Remedy("use a larger D", "raise its width or depth"),
    ),
)
MEMORISING_DISCRIMINATOR = State(
    "D memorises the training set",
    (_AUGMENTATION, _R1, Remedy("drop units of D (Srivastava 2014)", _file("dropout"), ("Dropout",))),
)
EXPLODING_GRADIENTS = State("exploding gradients", (_GRADIENT_PENALTY, _SPECTRAL_NORM, _CLIP, _LOWER_RATES))
BLURRED = State(
    "samples blurred or smeared",
    (
        Remedy("raise D's learning rate (Heusel 2017, arXiv 1706.08500)", "--model.discriminator_optimizer.lr"),
        Remedy("let both learning rates fall", "configs/best/ring.yaml has the schedules"),
        _R1,
    ),
)
NOISY = State("samples noisy", (_AVERAGE, _R1, _LOWER_RATES))
COPIES = State(
    "copies of training samples", (_AUGMENTATION, Remedy("use more data", "--data.flips true adds mirrored"))
)
STALLED = State(
    "learning has stalled far from the data",
    (
        Remedy("check that samples and data have one range", "data in [-1, 1] for a generator that ends in tanh"),
        _R1,
        Remedy("lower D's learning rate (Heusel 2017, arXiv 1706.08500)", "--model.discriminator_optimizer.lr"),
    ),
)
NON_FINITE = State(
    "NaN or infinity",
    (
        Remedy("train in bfloat16 or float32 instead of float16", "--trainer.precision bf16-mixed", _WIDE),
        _LOWER_RATES,
        _CLIP,
        Remedy("find the operation that makes the first NaN", "--trainer.detect_anomaly true"),
    ),
)
STATES = (
    HEALTHY,
    MODE_COLLAPSE,
    PARTIAL_COLLAPSE,
    COLLAPSE_IN_CLASSES,
    LATENTS_IGNORED,
    LABELS_IGNORED,
    SOFT_COLLAPSE,
    VANISHING_GRADIENT,
    WEAK_DISCRIMINATOR,
    MEMORISING_DISCRIMINATOR,
    EXPLODING_GRADIENTS,
    BLURRED,
    NOISY,
    COPIES,
    STALLED,
    NON_FINITE,
)


def classes_of(gan: GAN) -> set[str]:
    """Return the names of the classes in use, beside which some remedies are pointless."""
    parts = (gan, gan.objective, *gan.active_stabilizers)
    return {kind.__name__ for part in parts for kind in type(part).__mro__}
