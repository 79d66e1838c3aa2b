"""Every remedy that a message names works when it is typed: provoke the message, find the remedy in it, and do it."""

import re

import pytest
import torch
from helpers import linear_gan, sgds, small_gan, small_image_gan
from torch import nn

from lightning_gans import DCGAN, GAN, SEPGAN, UnrolledGAN, generation
from lightning_gans import objectives as obj
from lightning_gans import stabilizers as st
from lightning_gans.callbacks import Evaluation
from lightning_gans.data import Blank, Digits, GaussianRing, ImageFolder
from lightning_gans.metrics import NDB, ClassCoverage, FrechetDistance, ModeCoverage, MultiScaleSSIM
from lightning_gans.networks import (
    Constant,
    DCGANDiscriminator,
    DCGANGenerator,
    DigitClassifier,
    Gaussian,
    MLPDiscriminator,
    MLPGenerator,
    StochasticEnsembleGenerator,
    StochasticEnsembleMLPGenerator,
    Uniform,
)
from lightning_gans.networks.latents import as_latents
from lightning_gans.optimizers import SGD as OurSGD
from lightning_gans.optimizers import Adam, RMSProp
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers.rules import ByAccuracy, ByLossRatio, Fixed

pytestmark = [pytest.mark.untrusted, pytest.mark.filterwarnings("ignore")]


def trained(gan, *stabilizers, size=8):
    """Train on one batch in a plain loop."""
    for one in stabilizers:
        gan.stabilizers.append(one)
        one.apply_to(gan)
    x, classes = torch.rand(size, *gan.generator.sample_shape) * 2 - 1, gan.generator.num_classes
    gan.train_batch((x, torch.arange(size) % classes) if classes else x, *sgds(gan))
    return gan


def mlp(shape, *args, **kwargs):
    return GAN(MLPGenerator(shape, 3, 4), MLPDiscriminator(shape, 4), *args, **kwargs)


def unrolled(optimizer=None, **kwargs):
    gan = UnrolledGAN(MLPGenerator((2,), 3, 4), MLPDiscriminator((2,), 4), unroll_steps=1, **kwargs)
    if optimizer is not None:
        gan.discriminator_optimizer = optimizer
    gan.configure_optimizers()
    return gan


def z(generator, n=2):
    return generator.latents.sample(n)


GENERATOR = MLPGenerator((2,), 3, 4)
CONDITIONAL = MLPGenerator((2,), 3, 4, num_classes=2)
ROUTED = StochasticEnsembleMLPGenerator((2,), 3, 4, 2, 3)
AMSGRAD = lambda params: torch.optim.Adam(params, lr=1e-3, amsgrad=True)  # noqa: E731

# message → what provokes it, the remedies as the message words them, and each of them done
REMEDIES = {
    "linear maxout": (
        lambda: MLPDiscriminator((2,), maxout_pieces=1),
        {
            "use 2 or more": lambda: MLPDiscriminator((2,), maxout_pieces=2),
            "or 0 for no maxout": lambda: MLPDiscriminator((2,), maxout_pieces=0),
        },
    ),
    "small images": (
        lambda: DCGANGenerator((1, 4, 4)),
        {"use MLPGenerator and MLPDiscriminator": lambda: trained(mlp((1, 4, 4)))},
    ),
    "points for convolutions": (
        lambda: DCGANDiscriminator((2,)),
        {"use MLPGenerator and MLPDiscriminator": lambda: trained(mlp((2,)))},
    ),
    "latents": (lambda: as_latents("x"), {"such as Gaussian(100)": lambda: as_latents(Gaussian(100))}),
    "z of another width": (
        lambda: GENERATOR(torch.ones(2, 5)),
        {"draw it with generator.latents.sample(n)": lambda: GENERATOR(z(GENERATOR))},
    ),
    "no labels": (
        lambda: CONDITIONAL(z(CONDITIONAL)),
        {
            "pass them": lambda: CONDITIONAL(z(CONDITIONAL), torch.tensor([0, 1])),
            "build it with num_classes=0": lambda: MLPGenerator((2,), 3, num_classes=0)(z(GENERATOR)),
        },
    ),
    "labels for none": (
        lambda: GENERATOR(z(GENERATOR), torch.tensor([0, 1])),
        {
            "num_classes above 0": lambda: CONDITIONAL(z(CONDITIONAL), torch.tensor([0, 1])),
            "leave the labels out": lambda: GENERATOR(z(GENERATOR)),
        },
    ),
    "labels of another type": (
        lambda: CONDITIONAL(z(CONDITIONAL), torch.tensor([0.0, 1.0])),
        {"convert with labels.long()": lambda: CONDITIONAL(z(CONDITIONAL), torch.tensor([0.0, 1.0]).long())},
    ),
    "a route of another type": (
        lambda: ROUTED(z(ROUTED), None, torch.zeros(2)),
        {"convert with route.long()": lambda: ROUTED(z(ROUTED), None, torch.zeros(2).long())},
    ),
    "a route out of range": (
        lambda: ROUTED(z(ROUTED), None, torch.tensor([0, 10**6])),
        {"draw it with generator.draw_routes(2)": lambda: ROUTED(z(ROUTED), None, ROUTED.draw_routes(2))},
    ),
    "a small ensemble": (
        lambda: StochasticEnsembleGenerator((1, 8, 8)),
        {"use StochasticEnsembleMLPGenerator": lambda: StochasticEnsembleMLPGenerator((1, 8, 8), 3, 4, 2, 3)},
    ),
    "too many stochastic layers": (
        lambda: StochasticEnsembleMLPGenerator((2,), 3, depth=2, stochastic_layers=3),
        {
            "lower it": lambda: StochasticEnsembleMLPGenerator((2,), 3, depth=2, stochastic_layers=2),
            "raise depth": lambda: StochasticEnsembleMLPGenerator((2,), 3, depth=3, stochastic_layers=3),
        },
    ),
    "classes of the digit classifier": (
        lambda: DigitClassifier(num_classes=5),
        {"use pretrained=False": lambda: DigitClassifier(num_classes=5, pretrained=False)},
    ),
    "networks of different shapes": (
        lambda: GAN(MLPGenerator((2,)), MLPDiscriminator((3,))),
        {"give both the same": lambda: GAN(MLPGenerator((2,)), MLPDiscriminator((2,)))},
    ),
    "a relativistic minimax": (
        lambda: obj.Relativistic(obj.Minimax()),
        {
            f"{name}": lambda name=name: obj.Relativistic(getattr(obj, name)())
            for name in ("NonSaturating", "LeastSquares", "Hinge", "Wasserstein")
        },
    ),
    "unequal batches": (
        lambda: obj.Relativistic().discriminator_loss(torch.ones(3), torch.ones(2)),
        {"use RelativisticAverage": lambda: obj.RelativisticAverage().discriminator_loss(torch.ones(3), torch.ones(2))},
    ),
    "a schedule across 0": (
        lambda: __import__("lightning_gans.schedules").schedules.Exponential(-1.0, 1.0, 5),
        {"use Linear": lambda: Linear(-1.0, 1.0, 5)},
    ),
    "smoothing of a Wasserstein critic": (
        lambda: trained(mlp((2,), obj.Wasserstein()), st.LabelSmoothing()),
        {
            "leave LabelSmoothing out": lambda: trained(mlp((2,), obj.Wasserstein())),
            **{
                f"{name}": lambda name=name: trained(mlp((2,), getattr(obj, name)()), st.LabelSmoothing())
                for name in ("NonSaturating", "LeastSquares", "Hinge")
            },
        },
    ),
    "a target out of range": (
        lambda: st.LabelSmoothing(real=1.5),
        {
            "such as 0.9": lambda: trained(small_gan(), st.LabelSmoothing(0.9)),
            "such as [0.7, 1.2]": lambda: trained(small_gan(), st.LabelSmoothing([0.7, 1.2])),
        },
    ),
    "the regulariser of another objective": (
        lambda: trained(mlp((2,), obj.Hinge()), st.JSRegularizer()),
        {
            "NonSaturating": lambda: trained(mlp((2,), obj.NonSaturating()), st.JSRegularizer()),
            "Minimax": lambda: trained(mlp((2,), obj.Minimax()), st.JSRegularizer()),
            "R1Penalty": lambda: trained(mlp((2,), obj.Hinge()), st.R1Penalty()),
        },
    ),
    "augmentation of points": (
        lambda: trained(small_gan(), st.DifferentiableAugmentation()),
        {"leave it out": lambda: trained(small_gan())},
    ),
    "a memory of fewer than a batch": (
        lambda: trained(small_gan(), st.ImagePool(4)),
        {
            "use a larger size": lambda: trained(small_gan(), st.ImagePool(8)),
            "smaller batches": lambda: trained(small_gan(), st.ImagePool(4), size=4),
        },
    ),
    "packs of another size": (
        lambda: trained(small_gan(), st.Packing(3)),
        {"a batch_size that is a multiple of 3": lambda: trained(small_gan(), st.Packing(3), size=9)},
    ),
    "packing behind spectral norm": (
        lambda: trained(small_gan(), st.SpectralNorm(), st.Packing(2)),
        {"let Packing come first": lambda: trained(small_gan(), st.Packing(2), st.SpectralNorm())},
    ),
    "two averages": (
        lambda: trained(small_gan(), st.GeneratorEMA(), st.GeneratorEMA(10.0)),
        {"leave out either": lambda: trained(small_gan(), st.GeneratorEMA(10.0))},
    ),
    "no BatchNorm for virtual ones": (
        lambda: trained(small_gan(), st.VirtualBatchNorm()),
        {"norm torch.nn.BatchNorm2d": lambda: trained(small_image_gan(size=16), st.VirtualBatchNorm(size=4))},
    ),
    "a reference larger than a batch": (
        lambda: trained(small_image_gan(size=16), st.VirtualBatchNorm(size=64)),
        {
            "lower size": lambda: trained(small_image_gan(size=16), st.VirtualBatchNorm(size=8)),
            "use larger batches": lambda: trained(small_image_gan(size=16), st.VirtualBatchNorm(size=16), size=16),
        },
    ),
    "a rule beside n_critic": (
        lambda: trained(small_gan(n_critic=2), st.BalancedUpdates(Fixed(2))),
        {"leave n_critic": lambda: trained(small_gan(), st.BalancedUpdates(Fixed(2)))},
    ),
    "an accuracy of a critic": (
        lambda: trained(mlp((2,), obj.Wasserstein()), st.BalancedUpdates()),
        {
            "use n_critic": lambda: trained(mlp((2,), obj.Wasserstein(), n_critic=2)),
            "Fixed": lambda: trained(mlp((2,), obj.Wasserstein()), st.BalancedUpdates(Fixed())),
        },
    ),
    "bounds of an accuracy": (
        lambda: ByAccuracy(low=0.9, high=0.1),
        {"such as 0.55 and 0.85": lambda: ByAccuracy(0.55, 0.85)},
    ),
    "bounds of a ratio": (lambda: ByLossRatio(9.0, 1.0), {"such as 0.5 and 8.0": lambda: ByLossRatio(0.5, 8.0)}),
    "no activations to drop": (
        lambda: trained(linear_gan(), st.Dropout()),
        {"set its probability to 0": lambda: trained(linear_gan(), st.Dropout(generator=0.0))},
    ),
    "an optimizer that cannot be unrolled": (
        lambda: unrolled(AMSGRAD),
        {
            "Adam": lambda: unrolled(lambda params: Adam(params, lr=1e-3)),
            "RMSProp": lambda: unrolled(lambda params: RMSProp(params, lr=1e-3)),
            "SGD": lambda: unrolled(lambda params: OurSGD(params, lr=1e-3)),
            "such an inner_optimizer": lambda: unrolled(AMSGRAD, inner_optimizer=lambda params: Adam(params, lr=1e-3)),
        },
    ),
    "unknown modes": (
        lambda: ModeCoverage().update(torch.ones(2, 2), real=False),
        {
            "give means and sigma": lambda: ModeCoverage([[0.0, 0.0]], 1.0).update(torch.ones(2, 2), real=False),
            "or call fit_data first": lambda: fitted(ModeCoverage()).update(torch.ones(2, 2), real=False),
        },
    ),
    "images that are too small for SSIM": (
        lambda: MultiScaleSSIM().update(torch.zeros(4, 1, 64, 64), real=True),
        {
            "[0.0448, 0.2856, 0.3001]": lambda: MultiScaleSSIM(betas=[0.0448, 0.2856, 0.3001]).update(
                torch.zeros(4, 1, 64, 64), real=True
            )
        },
    ),
    "a level of a test": (lambda: NDB(alpha=2.0), {"such as 0.05": lambda: NDB(alpha=0.05)}),
    "no scores": (lambda: Evaluation([]), {"such as FrechetDistance": lambda: Evaluation([FrechetDistance()])}),
    "a score twice": (
        lambda: Evaluation([FrechetDistance(), FrechetDistance()]),
        {"leave one out": lambda: Evaluation([FrechetDistance()])},
    ),
    "labels of data without": (lambda: GaussianRing(labels=True) and Blank.__mro__[1](4, True), {"": lambda: None}),
    "a shape of blanks": (lambda: Blank((3, 64)), {"such as (3, 64, 64)": lambda: Blank((3, 64, 64))}),
    "fractions of a folder": (
        lambda: ImageFolder("x", val_fraction=0.6, test_fraction=0.6),
        {"use smaller fractions": lambda: ImageFolder("x", val_fraction=0.4, test_fraction=0.4)},
    ),
    "a batch larger than the data": (
        lambda: first(Digits(batch_size=9999)),
        {"use batch_size <= 1445": lambda: first(Digits(batch_size=1445))},
    ),
    "routes of one network": (
        lambda: generation.draw_by_route(small_gan(), 2, 2),
        {"leave them out": lambda: generation.draw(small_gan(), 2)},
    ),
    "labels of an unconditional generator": (
        lambda: generation.draw(small_gan(), 2, labels=[1]),
        {"leave the labels out": lambda: generation.draw(small_gan(), 2)},
    ),
    "classes of images": (
        lambda: ClassCoverage(DigitClassifier(), channels=3).update(torch.zeros(2, 1, 28, 28), real=False),
        {"use channels=1": lambda: ClassCoverage(DigitClassifier()).update(torch.zeros(2, 1, 28, 28), real=False)},
    ),
    "labels for a target of SEPGAN": (
        lambda: sepgan("Labels"),
        {"give it data with such labels": lambda: sepgan("Labels", num_classes=10)},
    ),
    "a latent width of an ensemble": (
        lambda: StochasticEnsembleGenerator((1, 28, 28), Gaussian(3)),
        {"Uniform({})": lambda dim: StochasticEnsembleGenerator((1, 28, 28), Uniform(dim))}
        | {"Constant({})": lambda dim: StochasticEnsembleGenerator((1, 28, 28), Constant(dim))},
    ),
}
del REMEDIES["labels of data without"]


def fitted(score):
    score.fit_data(GaussianRing())
    return score


def first(data):
    data.setup("fit")
    return next(iter(data.train_dataloader()))


def sepgan(target, **kwargs):
    from lightning_gans import targets

    generator = StochasticEnsembleGenerator((1, 28, 28), width=2, groups=2, **kwargs)
    return SEPGAN(generator, DigitClassifier(), target=getattr(targets, target)())


@pytest.mark.parametrize("name", REMEDIES)
def test_a_remedy_works(name):
    provoke, remedies = REMEDIES[name]
    with pytest.raises(ValueError) as error:
        provoke()
    text = str(error.value)
    assert "\n" not in text
    for words, mend in remedies.items():
        if "{}" in words:
            pattern = re.escape(words).replace(r"\{\}", r"(\d+)")
            mend(int(re.search(pattern, text)[1]))
        else:
            assert words in text, f"{words!r} is not in {text!r}"
            mend()


# ---------------------------------------------------------------- of the Trainer


TRAINER = {
    "clipping": ({"gradient_clip_val": 1.0}, "discriminator_clip", {}, {"discriminator_clip": 1.0}),
    "clipping of G": ({"gradient_clip_val": 1.0}, "generator_clip", {}, {"generator_clip": 1.0}),
    "accumulation": ({"accumulate_grad_batches": 2}, "generator_accumulation", {}, {"generator_accumulation": 2}),
    "no validation": ({"val_check_interval": 0}, "limit_val_batches=0", {"limit_val_batches": 0}, {}),
    "no steps": ({"max_steps": 0}, "-1 for no limit", {"max_steps": -1}, {}),
}


@pytest.mark.parametrize("name", TRAINER)
def test_a_remedy_of_the_trainers_settings_works(name, fit):
    wrong, words, settings, arguments = TRAINER[name]
    with pytest.raises(ValueError) as error:
        fit(small_gan(), **wrong)
    assert words in str(error.value)
    fit(small_gan(**arguments), **settings)


def test_a_schedule_that_is_advised_instead_of_plateau_works(fit):
    def with_schedule(make):
        return small_gan(generator_scheduler=make)

    with pytest.raises(ValueError) as error:
        fit(with_schedule(torch.optim.lr_scheduler.ReduceLROnPlateau))
    assert "ExponentialLR --model.generator_scheduler.gamma 0.9999" in str(error.value)
    fit(with_schedule(lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9999)))


def test_images_out_of_range_are_scaled_as_the_message_says(fit):
    x = torch.rand(4, 1, 8, 8) * 255
    with pytest.raises(ValueError, match=r"x / 127\.5 - 1 for images in \[0, 255\]"):
        fit(small_image_gan(), [x])
    fit(small_image_gan(), [x / 127.5 - 1])


def test_norms_and_slopes():
    """The advice on BatchNorm beside a penalty: no norm, or one of each sample."""
    with pytest.warns(UserWarning, match="InstanceNorm2d"):
        trained(small_image_gan(size=16), st.R1Penalty())
    for norm in (None, nn.InstanceNorm2d):
        trained(small_image_gan(size=16, norm=norm), st.R1Penalty())


def test_a_model_is_given_the_shape_of_the_data(fit):
    with pytest.raises(ValueError, match="give the model the data's shape"):
        fit(DCGAN((1, 8, 8), latent_dim=3, width=2), [torch.zeros(4, 1, 16, 16)])
    fit(DCGAN((1, 16, 16), latent_dim=3, width=2), [torch.zeros(4, 1, 16, 16)])
