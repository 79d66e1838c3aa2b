"""Every remedy of the SEPGAN, its targets, and the unrolled GAN works when it is done."""

import pytest
import torch
from helpers import small_gan
from remedied import command, each_row
from small import trained
from torch import nn

from lightning_gans import SEPGAN, UnrolledGAN, networks, optimizers, targets
from lightning_gans import stabilizers as st
from lightning_gans.networks import (
    Constant,
    DCGANDiscriminator,
    DCGANGenerator,
    Discriminator,
    MLPGenerator,
    StochasticEnsembleMLPGenerator,
)
from lightning_gans.optimizers import SGD, Adam

pytestmark = [pytest.mark.untrusted]

SHAPE = (1, 8, 8)


class Classifier(nn.Sequential):
    """A classifier of four classes without BatchNorm, far from linear."""

    input_shape = SHAPE

    def __init__(self):
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(7)
            super().__init__(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 4))
            self[1].weight *= 3
            self[3].weight *= 2


def sepgan(target=None, *stabilizers, generator=None, steps=1, **settings):
    """Train a SEPGAN for a few steps."""
    gan = SEPGAN(generator or MLPGenerator(SHAPE, 3, 4), Classifier(), target or targets.OwnGuess(), **settings)
    for one in stabilizers:
        gan.stabilizers.append(one)
        one.apply_to(gan)
    (optimizer,), _ = gan.configure_optimizers()
    for _ in range(steps):
        gan.metrics(gan.train_batch(torch.zeros(4, *gan.generator.sample_shape), optimizer))
    return gan


def from_seed(seed=2, lr=1.0, target=0):
    """Train from a seed, at a rate at which the output of some is soon saturated, and stays."""
    torch.manual_seed(seed)
    generator = MLPGenerator(SHAPE, Constant(2), 8)
    optimizer = lambda params: Adam(params, lr=lr)  # noqa: E731
    sepgan(targets.Classes([target]), generator=generator, steps=22, generator_optimizer=optimizer)


def with_labels(*options):
    command(
        *("fit", "--model=SEPGAN", "--model.generator=StochasticEnsembleGenerator", "--model.generator.width=2"),
        *("--model.classifier=DigitClassifier", "--model.target=Labels", "--data=Digits", "--data.size=28", *options),
        *("--data.batch_size=8", "--trainer.max_epochs=1", "--trainer.limit_train_batches=1"),
        *("--trainer.limit_val_batches=0", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"),
        *("--trainer.enable_model_summary=false", "--samples.every_n_epochs=0", "--report.enabled=false"),
    )


def steps_of_routes(*fake):
    generator = StochasticEnsembleMLPGenerator(SHAPE, 3, 4, groups=2)
    gan = SEPGAN(generator, Classifier(), targets.PerRoute())
    gan.generator_step(torch.zeros(4, *SHAPE), *fake).loss.backward()


class Remembers(Discriminator):
    """Keeps a running mean of its input, as a buffer or as an attribute."""

    def __init__(self, registered):
        super().__init__((2,), 2)
        self.features = self.centred
        if registered:
            self.register_buffer("mean", torch.zeros(2))
        else:
            self.mean = torch.zeros(2)

    def centred(self, x):
        self.mean = torch.lerp(self.mean, x.detach().mean(0), 0.1)
        return x - self.mean


def remembering(registered=False, unroll_steps=2):
    trained(UnrolledGAN(MLPGenerator((2,), 3, 4), Remembers(registered), unroll_steps=unroll_steps))


def unrolled(optimizer, **settings):
    """Train a batch with an optimizer of the discriminator, unless the model refuses it."""
    gan = small_gan(kind=UnrolledGAN, unroll_steps=1, discriminator_optimizer=optimizer, **settings)
    both, _ = gan.configure_optimizers()
    gan.train_batch(torch.rand(4, 2), *both)


def amsgrad(params):
    return torch.optim.Adam(params, lr=1e-3, amsgrad=True)


def lookahead(norm, detached=False):
    shape = (1, 16, 16)
    discriminator = DCGANDiscriminator(shape, width=2, norm=norm)
    return UnrolledGAN(DCGANGenerator(shape, 3, width=2), discriminator, unroll_steps=2, detached=detached)


def penalised(norm=nn.BatchNorm2d, detached=False):
    if torch.__version__ < "2.7":
        pytest.skip("this version of torch has the derivative")
    trained(lookahead(norm, detached), st.GradientPenalty())


REMEDIES = {
    # ---------------------------------------------------------------- SEPGAN
    "has no BatchNorm whose statistics could be matched": (
        lambda: sepgan(batch_norm_statistics=1.0),
        {"set it to {}": lambda value: sepgan(batch_norm_statistics=float(value))},
    ),
    "expected images (C, H, W) to classify": (
        lambda: sepgan(generator=MLPGenerator((2,), 3, 4)),
        {"expected images (C, H, W)": lambda: sepgan(generator=MLPGenerator((1, 4, 4), 3, 4))},
    ),
    "asks for a conditional generator": (
        with_labels,
        {"give it data with such labels (--data.labels {})": lambda value: with_labels(f"--data.labels={value}")},
    ),
    "asks for a generator with routes": (
        lambda: sepgan(targets.PerRoute()),
        {"use {}": lambda name: sepgan(targets.PerRoute(), generator=getattr(networks, name)((1, 16, 16), width=2))},
    ),
    "acts on the discriminator, and SEPGAN has none": (
        lambda: sepgan(None, st.HistoricalAveraging()),
        {
            "leave out this stabilizer": lambda: sepgan(),
            "or the part of it that is for the discriminator": lambda: sepgan(
                None, st.HistoricalAveraging(discriminator_weight=0.0)
            ),
        },
    ),
    "needs the routes of the fakes": (
        lambda: steps_of_routes(torch.zeros(4, *SHAPE)),
        {"let the step make them": lambda: steps_of_routes()},
    ),
    "SEPGAN is stuck": (
        lambda: from_seed(),
        {
            "Start again with a lower learning rate": lambda: from_seed(lr=0.1),
            "another seed": lambda: from_seed(seed=0),
            "or a target that the generator can reach": lambda: from_seed(target=1),
        },
    ),
    # ---------------------------------------------------------------- targets
    "Classes(classes=[]): expected at least one class": (
        lambda: sepgan(targets.Classes([])),
        {
            "expected at least one class": lambda: sepgan(targets.Classes([0])),
            "leave it out for all of them": lambda: sepgan(targets.Classes()),
        },
    ),
    "the classifier has no class": (
        lambda: sepgan(targets.Classes([4])),
        {"give classes from {} to {}": lambda *ends: sepgan(targets.Classes([int(end) for end in ends]))},
    ),
    # ---------------------------------------------------------------- the unrolled GAN
    "cannot be unrolled: a lookahead changed its": (
        lambda: remembering(),
        {
            "keep state that a forward changes in a buffer (register_buffer)": lambda: remembering(registered=True),
            "or use unroll_steps {}": lambda steps: remembering(unroll_steps=int(steps)),
        },
    ),
    "the lookahead cannot be differentiated": (
        lambda: penalised(),
        {
            "Leave out what lacks the derivative": lambda: trained(lookahead(nn.BatchNorm2d)),
            "of a gradient penalty: norm: null": lambda: penalised(norm=None),
            "or use detached: true": lambda: penalised(detached=True),
        },
    ),
    "its derivative is not implemented": (
        lambda: unrolled(amsgrad),
        {
            "Give the discriminator {}, {} or {}": lambda *names: [
                unrolled(lambda params, name=name: getattr(optimizers, name)(params, lr=1e-3)) for name in names
            ],
            "or give the model such an inner_optimizer": lambda: unrolled(
                amsgrad, inner_optimizer=lambda params: Adam(params, lr=1e-3)
            ),
        },
    ),
    "cannot be unrolled…: its derivative is not implemented": (
        lambda: unrolled(lambda params: SGD([{"params": [one]} for one in params], lr=1e-3)),
        {"with one group of parameters": lambda: unrolled(lambda params: SGD(params, lr=1e-3))},
    ),
}


test_a_remedy_works = each_row(REMEDIES)
