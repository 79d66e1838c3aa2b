"""Every remedy of a stabilizer, and of an objective, works when it is done."""

from pydoc import locate

import pytest
import torch
import yaml
from helpers import linear_gan, small_gan, small_image_gan
from lightning.pytorch import callbacks as lightning_callbacks
from remedied import each_row, fit
from small import mlp, trained
from torch import nn

from lightning_gans import GAN, SEPGAN, networks, stabilizers, targets
from lightning_gans import objectives as obj
from lightning_gans import stabilizers as st
from lightning_gans.networks import (
    DCGANGenerator,
    DigitClassifier,
    MLPDiscriminator,
    MLPGenerator,
    R3GANDiscriminator,
    R3GANGenerator,
)
from lightning_gans.stabilizers.rules import ByAccuracy, ByLossRatio, Fixed
from lightning_gans.targets import PerRoute

pytestmark = [pytest.mark.untrusted]


def under(objective, *added, **settings):
    """Train under an objective, of which the class is named or which is given."""
    objective = getattr(obj, objective)() if isinstance(objective, str) else objective
    return trained(mlp((2,), objective, **settings), *added)


def by_loss_ratio(objective):
    return under(objective, st.BalancedUpdates(ByLossRatio()))


def fitted(*callbacks, gan=None):
    fit(small_gan() if gan is None else gan, [torch.rand(8, 2)], callbacks=list(callbacks))


def on_images(*added, norm=None, size=8):
    return trained(small_image_gan(size=16, norm=norm), *added, size=size)


def r3gan():
    return GAN(R3GANGenerator((1, 8, 8), 3, 4, blocks=1), R3GANDiscriminator((1, 8, 8), 4, blocks=1))


def conditional():
    return GAN(MLPGenerator((1, 28, 28), 3, 4, num_classes=10), MLPDiscriminator((1, 28, 28), 4, num_classes=10))


def guided_by(target):
    return st.ClassifierGuidance(target=target)


def acgan(discriminator=None, classes=2):
    discriminator = MLPDiscriminator((2,), 4) if discriminator is None else discriminator
    return GAN(MLPGenerator((2,), 3, 4, num_classes=classes), discriminator)


def classified(gan, *others):
    batch = torch.rand(8, 2), torch.arange(8) % 2
    fit(gan, [batch if gan.generator.num_classes else batch[0]], callbacks=[st.AuxiliaryClassifier(), *others])


def informed(latents, **arguments):
    trained(small_gan(latents=latents), st.InformationMaximization(**arguments))


LABELLED = [[torch.rand(8, 1, 28, 28) * 2 - 1, torch.arange(8)]]


def without_discriminator(*callbacks):
    gan = SEPGAN(DCGANGenerator((1, 28, 28), 3, width=2), DigitClassifier())
    fit(gan, [torch.rand(8, 1, 28, 28) * 2 - 1], callbacks=list(callbacks))


class Bare(nn.Module):
    """A discriminator without layers, and so without features."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return x.sum(1) * self.scale


def bare():
    return GAN(MLPGenerator((2,), 3, 4), Bare())


def with_activation(path):
    gan = linear_gan()
    gan.generator.linear = nn.Sequential(nn.Linear(4, 4), locate(path)(), nn.Linear(4, 3))
    return trained(gan, st.Dropout())


def logits(objective, size=4):
    """Return the losses of both players for a batch of 4 and `size` fakes."""
    real, fake = torch.randn(4, requires_grad=True), torch.randn(size, requires_grad=True)
    for loss in (objective.discriminator_loss(real, fake), objective.generator_loss(fake, real)):
        loss.backward()


REMEDIES = {
    # ---------------------------------------------------------------- objectives
    "needs real_logits too, as it compares fakes with real samples": (
        lambda: obj.Relativistic().generator_loss(torch.randn(4)),
        {"pass the discriminator's logits of a real batch": lambda: logits(obj.Relativistic())},
    ),
    "expected a plain, non-saturating objective": (
        lambda: obj.Relativistic(obj.Minimax()),
        {"use {}, {}, {} or {}": lambda *names: [under(obj.Relativistic(getattr(obj, name)())) for name in names]},
    ),
    "Relativistic pairs each real sample with a fake one": (
        lambda: logits(obj.Relativistic(), 3),
        {"use {} for unequal batches": lambda name: logits(getattr(obj, name)(), 3)},
    ),
    "ClassifierGuidance classifies images": (
        lambda: trained(small_gan(), st.ClassifierGuidance()),
        {"leave it out": lambda: trained(small_gan())},
    ),
    "routes are known in SEPGAN alone": (
        lambda: on_images(st.ClassifierGuidance(target=PerRoute())),
        {"use {}": lambda name: fit(conditional(), LABELLED, callbacks=[guided_by(getattr(targets, name)())])},
    ),
    "GiB for samples of shape": (
        lambda: trained(small_gan(), st.ImagePool(10**13)),
        {"expected a smaller size, such as {}": lambda size: trained(small_gan(), st.ImagePool(int(size)))},
    ),
    "expected at least the … fakes of a batch": (
        lambda: trained(small_gan(), st.ImagePool(4)),
        {
            "use a larger size": lambda: trained(small_gan(), st.ImagePool(8)),
            "or smaller batches": lambda: trained(small_gan(), st.ImagePool(4), size=4),
        },
    ),
    # ---------------------------------------------------------------- targets and losses
    "LabelSmoothing(real=…): expected a number in (0, 1]": (
        lambda: trained(small_gan(), st.LabelSmoothing(real=1.5)),
        {
            "such as {}, or": lambda real: trained(small_gan(), st.LabelSmoothing(float(real))),
            "such as [{}, {}]": lambda *ends: trained(small_gan(), st.LabelSmoothing([float(end) for end in ends])),
        },
    ),
    "LabelSmoothing(fake=…): expected a number of at least 0": (
        lambda: trained(small_gan(), st.LabelSmoothing(real=0.9, fake=0.9)),
        {
            "at least 0 and below real={}": lambda real: trained(
                small_gan(), st.LabelSmoothing(float(real), float(real) / 2)
            ),
            "{} is one-sided": lambda fake: trained(small_gan(), st.LabelSmoothing(0.9, float(fake))),
        },
    ),
    "its cost is linear in the logit, so that smoothing only rescales": (
        lambda: under("Wasserstein", st.LabelSmoothing()),
        {
            "leave LabelSmoothing out": lambda: under("Wasserstein"),
            "use {}, {} or {}": lambda *names: [under(name, st.LabelSmoothing()) for name in names],
        },
    ),
    "JSRegularizer with …: expected an objective": (
        lambda: under("Hinge", st.JSRegularizer()),
        {
            "use {} or {}, or": lambda *names: [under(name, st.JSRegularizer()) for name in names],
            "or {}.": lambda name: under("Hinge", getattr(st, name)()),
        },
    ),
    "leaves the generator without a loss": (
        lambda: trained(small_gan(), st.FeatureMatching(weight=0.0, replace=True)),
        {
            "expected a weight above 0": lambda: trained(small_gan(), st.FeatureMatching(weight=0.1, replace=True)),
            "or replace=False": lambda: trained(small_gan(), st.FeatureMatching(weight=0.0, replace=False)),
        },
    ),
    "FeatureMatching needs a discriminator with `features`": (
        lambda: trained(bare(), st.FeatureMatching()),
        {
            "use one of the library's discriminators": lambda: trained(
                GAN(MLPGenerator((2,), 3, 4), MLPDiscriminator((2,), 4)), st.FeatureMatching()
            ),
            "or leave it out": lambda: trained(bare()),
        },
    ),
    "needs a discriminator with `features` that are trained": (
        lambda: classified(acgan(Bare())),
        {
            "use one of the library's discriminators": lambda: classified(acgan()),
            "or leave it out": lambda: trained(bare()),
        },
    ),
    "predicts something of each sample, and the discriminator sees packs": (
        lambda: classified(acgan(), st.Packing()),
        {"leave Packing out": lambda: classified(acgan())},
    ),
    "AuxiliaryClassifier needs a conditional generator": (
        lambda: classified(acgan(classes=0)),
        {"give it num_classes": lambda: classified(acgan())},
    ),
    "InformationMaximization has no code to tell": (
        lambda: informed(3),
        {
            "give the generator {}(2, 10)": lambda name: informed(getattr(networks, name)(2, 10)),
            "continuous={}": lambda number: informed(3, continuous=int(number)),
        },
    ),
    "InformationMaximization(continuous=…): … has … continuous coordinates": (
        lambda: informed(3, continuous=4),
        {"give at most {}": lambda number: informed(3, continuous=int(number))},
    ),
    "PullingAway needs a discriminator with `features`": (
        lambda: trained(bare(), st.PullingAway()),
        {
            "use one of the library's discriminators": lambda: trained(
                GAN(MLPGenerator((2,), 3, 4), MLPDiscriminator((2,), 4)), st.PullingAway()
            ),
            "or leave it out": lambda: trained(bare()),
        },
    ),
    "the noise has the spread of each part of a batch": (
        lambda: trained(small_gan(discriminator_accumulation=2), st.DRAGANPenalty()),
        {
            "set discriminator_accumulation to {}": lambda parts: trained(
                small_gan(discriminator_accumulation=int(parts)), st.DRAGANPenalty()
            )
        },
    ),
    # ---------------------------------------------------------------- layers and weights
    "has no hidden activations that are modules": (
        lambda: trained(linear_gan(), st.Dropout()),
        {
            "set its probability to {}": lambda p: trained(linear_gan(), st.Dropout(generator=float(p))),
            "or give the network layers such as {}": with_activation,
        },
    ),
    "no BatchNorm2d in what it is to change": (
        lambda: on_images(st.InstanceNorm()),
        {
            "build the network with norm {},": lambda norm: on_images(st.InstanceNorm(), norm=locate(norm)),
            "or leave this stabilizer out": on_images,
        },
    ),
    "no BatchNorm in what it is to change": (
        lambda: on_images(st.VirtualBatchNorm(generator=False, size=4)),
        {
            "build the networks with norm {} (or": lambda norm: on_images(
                st.VirtualBatchNorm(generator=False, size=4), norm=locate(norm)
            ),
            "norm {}2d (or 1d)": lambda norm: trained(
                GAN(MLPGenerator((2,), 3, 4), MLPDiscriminator((2,), 4, norm=locate(f"{norm}1d"))),
                st.VirtualBatchNorm(generator=False, size=4),
            ),
            "or leave this stabilizer out": on_images,
        },
    ),
    "has no features and head": (
        lambda: without_discriminator(st.MinibatchDiscrimination()),
        {"leave it out": without_discriminator},
    ),
    "no linear layer or convolution in what it is to normalise": (
        lambda: trained(bare(), st.SpectralNorm()),
        {"leave it out": lambda: trained(bare())},
    ),
    "is parametrised already": (
        lambda: trained(small_gan(), st.SpectralNorm(), st.WeightNorm()),
        {
            "normalise a network's weights in one way only": lambda: [
                trained(small_gan(), one) for one in (st.SpectralNorm(), st.WeightNorm())
            ]
        },
    ),
    "starts at 0, by whose norm it would be divided": (
        lambda: trained(r3gan(), st.SpectralNorm()),
        {
            "give {} first": lambda name: trained(r3gan(), getattr(st, name)(), st.SpectralNorm()),
            "or leave this stabilizer out": lambda: trained(r3gan()),
        },
    ),
    "clamps weights that SpectralNorm or WeightNorm rescales afterwards": (
        lambda: fitted(st.SpectralNorm(), st.WeightClipping()),
        {"leave out one of the two": lambda: [fitted(one) for one in (st.SpectralNorm(), st.WeightClipping())]},
    ),
    "has no linear, convolutional or embedding layer to decay": (
        lambda: trained(bare(), st.WeightDecay()),
        {"leave it out": lambda: trained(bare())},
    ),
    "expected one average of the generator": (
        lambda: trained(small_gan(), st.GeneratorEMA(), st.GeneratorEMA(10.0)),
        {"leave out either": lambda: [trained(small_gan(), one) for one in (st.GeneratorEMA(), st.GeneratorEMA(10.0))]},
    ),
    "expected one choice of fakes": (
        lambda: trained(small_gan(), st.TopK(0.5), st.TopK(0.3)),
        {"leave out either": lambda: [trained(small_gan(), st.TopK(share)) for share in (0.5, 0.3)]},
    ),
    "which replaces the loss that TopK takes over some fakes": (
        lambda: fitted(st.TopK(0.5), st.FeatureMatching()),
        {
            "give FeatureMatching replace={}": lambda replace: fitted(
                st.TopK(0.5), st.FeatureMatching(replace=yaml.safe_load(replace))
            ),
            "or leave out either": lambda: [fitted(one) for one in (st.TopK(0.5), st.FeatureMatching())],
        },
    ),
    "let VirtualBatchNorm come before GradientNormalization": (
        lambda: on_images(st.GradientNormalization(), st.VirtualBatchNorm(size=4), norm=nn.BatchNorm2d),
        {
            "let {} come before GradientNormalization": lambda name: on_images(
                getattr(st, name)(size=4), st.GradientNormalization(), norm=nn.BatchNorm2d
            )
        },
    ),
    # ---------------------------------------------------------------- balanced updates
    "expected one of the two; leave n_critic": (
        lambda: trained(small_gan(n_critic=2), st.BalancedUpdates(Fixed(2))),
        {"leave n_critic at {}": lambda number: trained(small_gan(n_critic=int(number)), st.BalancedUpdates(Fixed(2)))},
    ),
    "expected 0 <= low <= high <= 1": (
        lambda: trained(small_gan(), st.BalancedUpdates(ByAccuracy(low=0.9, high=0.1))),
        {
            "such as {} and {}": lambda low, high: trained(
                small_gan(), st.BalancedUpdates(ByAccuracy(low=float(low), high=float(high)))
            )
        },
    ),
    "expected logits with a threshold between real and fake": (
        lambda: under("Wasserstein", st.BalancedUpdates()),
        {
            "use n_critic": lambda: under("Wasserstein", n_critic=2),
            "or {}.": lambda rule: under("Wasserstein", st.BalancedUpdates(getattr(stabilizers.rules, rule)(2))),
        },
    ),
    "expected 0 <= least <= most": (
        lambda: trained(small_gan(), st.BalancedUpdates(ByLossRatio(9.0, 1.0))),
        {
            "such as {} and {}": lambda least, most: trained(
                small_gan(), st.BalancedUpdates(ByLossRatio(float(least), float(most)))
            )
        },
    ),
    "expected losses of at least 0": (
        lambda: by_loss_ratio("Hinge"),
        {
            "use {}, {} or": lambda *names: [by_loss_ratio(name) for name in names],
            "{}, {} or a relativistic objective of these": lambda *names: [
                by_loss_ratio(obj.Relativistic(getattr(obj, name)())) for name in names
            ],
        },
    ),
}

# of a second message with the words of a row above, or of one that the finder does not know
MORE = {
    "MinibatchStdDev(): FrozenClassifier has no features and head": (
        lambda: without_discriminator(st.MinibatchStdDev()),
        {"leave it out": without_discriminator},
    ),
    "is a PackedDiscriminator already": (
        lambda: trained(small_gan(), st.Packing(2), st.Packing(4)),
        {"pack once": lambda: [trained(small_gan(), st.Packing(samples)) for samples in (2, 4)]},
    ),
    "is a ReferencedDiscriminator already": (
        lambda: on_images(st.VirtualBatchNorm(size=4), st.Packing(2), norm=nn.BatchNorm2d),
        {"before {}": lambda other: on_images(st.Packing(2), getattr(st, other)(size=4), norm=nn.BatchNorm2d)},
    ),
    "is a NormalizedDiscriminator already; pack once": (
        lambda: trained(small_gan(), st.GradientNormalization(), st.Packing(2)),
        {"before VirtualBatchNorm and {}": lambda other: trained(small_gan(), st.Packing(2), getattr(st, other)())},
    ),
    "R1Penalty with BatchNorm in the discriminator": (
        lambda: on_images(st.R1Penalty(), norm=nn.BatchNorm2d),
        {
            "Use norm: {},": lambda norm: on_images(st.R1Penalty(), norm=yaml.safe_load(norm)),
            "or a per-sample norm such as {}": lambda norm: on_images(st.R1Penalty(), norm=locate(norm)),
        },
    ),
    "R1Penalty with MinibatchStdDevLayer in the discriminator": (
        lambda: fitted(st.MinibatchStdDev(), st.R1Penalty()),
        {"Leave out one of the two": lambda: [fitted(one) for one in (st.MinibatchStdDev(), st.R1Penalty())]},
    ),
}
if hasattr(lightning_callbacks, "EMAWeightAveraging"):
    AVERAGE = lightning_callbacks.EMAWeightAveraging
    MORE["beside EMAWeightAveraging: expected one average"] = (
        lambda: fitted(st.GeneratorEMA(), AVERAGE()),
        {"leave out either": lambda: [fitted(one) for one in (st.GeneratorEMA(), AVERAGE())]},
    )


test_a_remedy_works = each_row(REMEDIES | MORE)
