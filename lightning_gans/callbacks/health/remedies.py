"""What is recommended against the failures of a training, in words, and how a trial of it is made."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

OF_POINTS, OF_IMAGES = "points", "images"
"""Stand among the names of classes for what a training is on, see `Remedy.needs`."""


def kind_of(shape: Sequence[int]) -> set[str]:
    """Return what samples of a shape are, points or images; neither for other shapes."""
    return {1: {OF_POINTS}, 3: {OF_IMAGES}}.get(len(shape), set())


@dataclass(frozen=True)
class Remedy:
    """What a source recommends, and how to do it here.

    Attributes:
        advice: what to do, with the source.
        option: what to add to the command line.
        present: classes, or precisions of the Trainer, whose use makes the advice pointless.
        needs: the class without whose use it is pointless, or what it must be trained on; "" for none.
        name: of a trial of it, such as `lightning-gans rescue` makes; "" where a person must act.
        arguments: what such a trial adds to the command line.
        rates: factors of G's and D's learning rates in it.
        restarts: whether the networks change, so that a trial starts anew and not from a checkpoint.
    """

    advice: str
    option: str
    present: tuple[str, ...] = ()
    name: str = ""
    arguments: tuple[str, ...] = ()
    rates: tuple[float, float] = (1.0, 1.0)
    restarts: bool = False
    needs: str = ""

    def fits(self, used: Collection[str]) -> bool:
        """Return whether it is of use in a run with these classes and this precision."""
        return not set(used) & set(self.present) and (not self.needs or self.needs in used)


def _stabilizer(advice: str, file: str, kind: str, *options: str, restarts: bool = False) -> Remedy:
    """Return the remedy of adding a stabilizer of D: advice, its config, its class, and the options of a trial."""
    arguments = f"--trainer.callbacks+={kind}", *(f"--trainer.callbacks.{option}" for option in options)
    option, without = f"--config configs/stabilizers/{file}.yaml", (kind, "SEPGAN")
    return Remedy(advice, option, without, kind, arguments, restarts=restarts)


R1 = _stabilizer(
    "penalise D's slope at real samples (Mescheder 2018, arXiv 1801.04406)", "r1_penalty", "R1Penalty", "weight=1.0"
)
PACKING = _stabilizer(
    "let D see several samples at once (Lin 2018, arXiv 1712.04086)", "packing", "Packing", restarts=True
)
STDDEV = _stabilizer(
    "show D how much a batch varies (Karras 2018, arXiv 1710.10196)",
    "minibatch_stddev",
    "MinibatchStdDev",
    restarts=True,
)
CODE = Remedy(
    "give the latents a one-hot code (Metz 2017, arXiv 1611.02163, unrolls D instead)",
    "see configs/mixed_ring.yaml and configs/unrolled_ring.yaml",
    ("UnrolledGAN", "SEPGAN", "GaussianWithCode"),
    "one-hot code",
    ("--model.generator.latents=GaussianWithCode",),
    restarts=True,
)
_PLAYERS = ("generator", "discriminator")
_FADING = ("weight=Exponential", "weight.start=1.0", "weight.end=3.0e-4", "weight.updates=2000")
POINTS = Remedy(
    "take what gave the best points here: a code, R3GAN's loss (Huang 2024, arXiv 2501.05441), noise and penalties "
    "that fade, large batches",
    "see configs/best/ring.yaml",
    ("SEPGAN", "Relativistic"),
    "recipe for points",
    (
        *("--model=GAN", "--model.n_critic=1", "--model.objective=Relativistic", "--data.batch_size=512"),
        *("--model.generator=MLPGenerator", "--model.generator.width=128", "--model.generator.depth=3"),
        *("--model.generator.latents=GaussianWithCode", "--model.discriminator=MLPDiscriminator"),
        *("--model.discriminator.width=128", "--model.discriminator.depth=2"),
        *("--model.discriminator.fourier_frequencies=16", "--model.discriminator.max_frequency=100.0"),
        *(f"--model.{player}_optimizer=lightning_gans.optimizers.Adam" for player in _PLAYERS),
        *(f"--model.{player}_optimizer.{one}" for player in _PLAYERS for one in ("beta1=0.0", "beta2=0.99")),
        *("--model.generator_optimizer.lr=2e-4", "--model.discriminator_optimizer.lr=2e-3"),
        *("--trainer.callbacks+=InstanceNoise", "--trainer.callbacks.sigma=Linear"),
        *(f"--trainer.callbacks.sigma.{one}" for one in ("start=0.4", "end=0.0", "updates=2000")),
        *("--trainer.callbacks+=R1Penalty", *(f"--trainer.callbacks.{one}" for one in _FADING)),
        *("--trainer.callbacks+=R2Penalty", *(f"--trainer.callbacks.{one}" for one in _FADING)),
    ),
    restarts=True,
    needs=OF_POINTS,
)
IMAGES = Remedy(
    "take what gave the best images here: labels, if the data have them, R3GAN's loss (Huang 2024, arXiv 2501.05441) "
    "with R1, no norm in D, an average of G",
    "--data.labels true; see configs/best/mnist.yaml",
    ("SEPGAN", "Relativistic"),
    "recipe for labelled images",
    (
        *("--model=GAN", "--model.n_critic=1", "--model.objective=Relativistic", "--data.labels=true"),
        *("--model.generator=DCGANGenerator", "--model.generator.width=16", "--model.generator.latents=64"),
        *("--model.discriminator=DCGANDiscriminator", "--model.discriminator.width=16"),
        "--model.discriminator.norm=torch.nn.Identity",
        *(f"--model.{player}_optimizer=lightning_gans.optimizers.Adam" for player in _PLAYERS),
        *(f"--model.{player}_optimizer.{one}" for player in _PLAYERS for one in ("lr=1e-3", "beta1=0.5", "beta2=0.99")),
        *("--trainer.callbacks+=R1Penalty", "--trainer.callbacks.weight=0.2"),
        *("--trainer.callbacks+=GeneratorEMA", "--trainer.callbacks.half_life=200"),
    ),
    restarts=True,
    needs=OF_IMAGES,
)
MORE_ROUTES = Remedy(
    "give the ensemble more routes (Chaplygin 2018, arXiv 1802.02436)",
    "--model.generator.groups 64",
    name="64 groups",
    arguments=("--model.generator.groups=64",),
    restarts=True,
    needs="SEPGAN",
)
AVERAGE = _stabilizer("average the generator (Yazıcı 2019, arXiv 1806.04498)", "generator_ema", "GeneratorEMA")
AUGMENTATION = _stabilizer(
    "augment what D sees (Zhao 2020, arXiv 2006.10738)", "differentiable_augmentation", "DifferentiableAugmentation"
)
DROPOUT = _stabilizer(
    "drop units of D (Srivastava 2014)", "dropout", "Dropout", "discriminator=0.3", "generator=0.0", restarts=True
)
CLIP = Remedy(
    "clip D's gradient (Pascanu 2013, arXiv 1211.5063)",
    "--model.discriminator_clip 1.0",
    name="clipped gradient",
    arguments=("--model.discriminator_clip=1.0",),
)
LOWER_RATES = Remedy(
    "lower both learning rates",
    "--model.generator_optimizer.lr and --model.discriminator_optimizer.lr",
    ("SEPGAN",),
    name="both rates a quarter",
    rates=(0.25, 0.25),
)
USUAL_RATES = Remedy(
    "give both players a usual learning rate, such as 5e-4 with Adam (Radford 2016, arXiv 1511.06434, has 2e-4)",
    "--model.generator_optimizer.lr 5e-4 --model.discriminator_optimizer.lr 5e-4",
    ("SEPGAN",),
    "both rates 5e-4",
    ("--model.generator_optimizer.lr=5e-4", "--model.discriminator_optimizer.lr=5e-4"),
)
_WIDE = ("32-true", "64-true", "bf16-mixed", "bf16-true")  # precisions with the range of float32, or more
NON_SATURATING = Remedy(
    "let G maximise D(G(z)) (Goodfellow 2014, arXiv 1406.2661)",
    "--model.objective NonSaturating",
    ("NonSaturating",),
    "NonSaturating",
    ("--model.objective=NonSaturating",),
)
FALLING_RATES = Remedy(
    "let both learning rates fall",
    "configs/best/ring.yaml has the schedules",
    name="rates that fall",
    arguments=(
        "--model.generator_scheduler=torch.optim.lr_scheduler.ExponentialLR",
        "--model.generator_scheduler.gamma=0.999",
        "--model.discriminator_scheduler=torch.optim.lr_scheduler.ExponentialLR",
        "--model.discriminator_scheduler.gamma=0.999",
    ),
)
WIDER_FLOATS = Remedy(
    "train in bfloat16 or float32 instead of float16",
    "--trainer.precision bf16-mixed",
    _WIDE,
    "bfloat16",
    ("--trainer.precision=bf16-mixed",),
)
FIND_NAN = Remedy("find the operation that makes the first NaN", "--trainer.detect_anomaly true")
SWAPPED = Remedy("check whether real and fake targets are swapped", "in the code of your own steps and stabilizers")
LARGER_D = Remedy("use a larger D", "raise its width or depth")
READ_LATENTS = Remedy(
    "check that the generator reads z, at a scale like that of its other inputs", "in the code of yours"
)
CHECK_LABELS = Remedy("check that labels and samples belong together", "in the code of your own data and networks")
TRAIN_LONGER = Remedy("train for longer: classes are learned after strokes and colours", "--trainer.max_epochs")
CHECK_RANGE = Remedy("check that samples and data have one range", "data in [-1, 1] for a generator that ends in tanh")
MORE_DATA = Remedy("use more data", "--data.flips true adds mirrored")
