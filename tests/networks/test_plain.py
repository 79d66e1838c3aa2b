"""Plain torch modules as networks of a GAN: what is found, what is left as it was, and what is refused."""

import copy
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer
from torch import nn
from torch.utils.data import DataLoader

from lightning_gans import GAN, UnrolledGAN
from lightning_gans.callbacks import FailureMonitor, SampleGrid
from lightning_gans.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    MLPGenerator,
    PlainDiscriminator,
    PlainGenerator,
    Uniform,
)
from lightning_gans.objectives import LeastSquares
from lightning_gans.stabilizers import (
    FeatureMatching,
    GeneratorEMA,
    GradientPenalty,
    InstanceNorm,
    MinibatchDiscrimination,
    MinibatchStdDev,
    NormalInitialization,
    Packing,
    R1Penalty,
    SpectralNorm,
    VirtualBatchNorm,
    WeightClipping,
)


class ConvG(nn.Module):
    """As in PyTorch's DCGAN example: z of shape (N, nz, 1, 1)."""

    def __init__(self, nz=6):
        super().__init__()
        self.main = nn.Sequential(
            *(nn.ConvTranspose2d(nz, 4, 4), nn.BatchNorm2d(4), nn.ReLU(True)),
            *(nn.ConvTranspose2d(4, 1, 4, 2, 1), nn.Tanh()),
        )

    def forward(self, input):
        return self.main(input)


class ConvD(nn.Module):
    def __init__(self, last=4, end=nn.Identity):
        super().__init__()
        self.main = nn.Sequential(
            *(nn.Conv2d(1, 4, 4, 2, 1), nn.BatchNorm2d(4), nn.LeakyReLU(0.2)), *(nn.Conv2d(4, 1, last), end())
        )

    def forward(self, input):
        return self.main(input)


class ConditionalG(nn.Module):
    def __init__(self, width=5, classes=3, embedding=4):
        super().__init__()
        self.embed = nn.Embedding(classes, embedding)
        self.layers = nn.Sequential(nn.Linear(width + embedding, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, z, labels):
        return self.layers(torch.cat([z, self.embed(labels)], 1))


class OneHotD(nn.Module):
    def __init__(self, num_classes=3):
        super().__init__()
        self.num_classes = num_classes
        self.layers = nn.Sequential(nn.Linear(2 + num_classes, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, x, y):
        return self.layers(torch.cat([x, F.one_hot(y, self.num_classes)], 1))


def mlp(*widths, end=None):
    layers = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())][:-1]
    return nn.Sequential(*layers, *([end] if end else []))


def points():
    return GAN(mlp(4, 8, 2), mlp(2, 8, 1))


def images():
    return GAN(ConvG(), ConvD())


def conditional():
    return GAN(ConditionalG(), OneHotD())


# ---------------------------------------------------------------- what is found


def test_a_multilayer_perceptron(fit):
    gan = points()
    assert type(gan.generator) is PlainGenerator and type(gan.discriminator) is PlainDiscriminator
    assert gan.generator.latent_dim == 4 and gan.generator.sample_shape == gan.discriminator.sample_shape == (2,)
    fit(gan)
    assert gan.generate(5).shape == (5, 2) and gan.discriminator(torch.rand(5, 2)).shape == (5,)


def test_the_networks_of_the_dcgan_example(fit):
    gan = images()
    assert gan.generator.latent_dim == 6 and gan.generator.latent_shape == (6, 1, 1)
    assert gan.generator.sample_shape == (1, 8, 8)
    fit(gan)
    assert gan.generate(5).shape == (5, 1, 8, 8) and gan.discriminator(torch.rand(5, 1, 8, 8)).shape == (5,)


def test_conditional_modules(fit):
    gan = conditional()
    assert gan.generator.latent_dim == 5, "the first layer's width, less that of the embedding"
    assert gan.generator.num_classes == gan.discriminator.num_classes == 3
    fit(gan)
    labels = torch.tensor([0, 1, 2])
    z = torch.randn(3, 5)
    assert torch.equal(gan(z, labels), gan.generator.module(z, labels))


def test_a_module_names_the_width_of_its_latents(fit):
    class Named(nn.Module):
        latent_dim = 3

        def __init__(self):
            super().__init__()
            self.unused_first = nn.Linear(7, 7)
            self.layer = nn.Linear(3, 2)

        def forward(self, z):
            return self.layer(z)

    assert GAN(Named(), mlp(2, 1)).generator.latent_dim == 3


def test_only_one_of_the_networks_is_plain(fit):
    fit(GAN(DCGANGenerator((1, 8, 8), 3, width=2), ConvD()))
    fit(GAN(ConvG(), DCGANDiscriminator((1, 8, 8), width=2)))


def test_other_networks_are_left_as_they_are():
    generator, discriminator = DCGANGenerator((1, 8, 8), 3, width=2), DCGANDiscriminator((1, 8, 8), width=2)
    gan = GAN(generator, discriminator)
    assert gan.generator is generator and gan.discriminator is discriminator


class Squeezes(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.layer, self.shape = nn.Linear(64, 1), shape

    def forward(self, x):
        return self.layer(x.flatten(1)).reshape(len(x), *self.shape)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1)], ids=str)
def test_logits_of_one_number_per_sample(shape):
    module = Squeezes(shape)
    x = torch.rand(5, 1, 8, 8)
    logits = PlainDiscriminator(module, (1, 8, 8))(x)
    assert logits.shape == (5,) and torch.equal(logits, module(x).flatten())


def test_logits_of_patches_are_let_in(fit):
    gan = GAN(ConvG(), ConvD(last=2), LeastSquares())
    assert gan.discriminator(torch.rand(5, 1, 8, 8)).shape == (5, 1, 3, 3)
    fit(gan)
    assert gan.generator_updates == 2


def test_explicit_settings():
    generator = PlainGenerator(ConvG(6), Uniform(24), latent_shape=(6, 2, 2))
    assert generator.sample_shape == (1, 10, 10)
    z = generator.latents.sample(3)
    assert torch.equal(generator(z), generator.module(z.reshape(3, 6, 2, 2)))


# ---------------------------------------------------------------- what is left as it was


class Noisy(nn.Module):
    """Draws random numbers and counts its forwards, whatever its mode."""

    def __init__(self, wide, narrow):
        super().__init__()
        self.layer = nn.Linear(wide, narrow)
        self.norm = nn.BatchNorm1d(narrow)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.norm(self.layer(x)) + torch.randn(len(x), 1)


def test_finding_the_shapes_disturbs_nothing(weights):
    generator, discriminator = Noisy(4, 2), Noisy(2, 1)
    generator.norm.eval()
    before = weights(generator), weights(discriminator), torch.get_rng_state()
    gan = GAN(generator, discriminator)
    after = weights(generator), weights(discriminator), torch.get_rng_state()
    assert all(map(torch.equal, before, after))
    assert generator.training and generator.layer.training and not generator.norm.training
    assert gan.training and all(parameter.grad is None for parameter in gan.parameters())


def test_training_is_that_of_the_modules_themselves(make_gan, fit, weights):
    """A library's own networks, wrapped, train bit for bit as they do alone."""

    class Hidden(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, x):
            return self.network(x)

    own, wrapped = make_gan(), make_gan()
    wrapped = GAN(PlainGenerator(Hidden(wrapped.generator), 3), Hidden(wrapped.discriminator))
    fit(own, 4)
    fit(wrapped, 4)
    assert torch.equal(weights(own), weights(wrapped))


def test_lazy_layers_are_drawn_by_the_seed():
    def made(seed):
        torch.manual_seed(seed)
        gan = GAN(mlp(4, 8, 2), nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(1)))
        return gan.discriminator.module[0].weight

    assert torch.equal(made(1), made(1)) and not torch.equal(made(1), made(2))


# ---------------------------------------------------------------- use


@pytest.mark.parametrize("make", [points, images, conditional])
def test_checkpoints(fit, weights, tmp_path, make):
    gan = make()
    fit(gan).save_checkpoint(tmp_path / "a.ckpt")
    fresh = {"generator": make().generator.module, "discriminator": make().discriminator.module}
    loaded = GAN.load_from_checkpoint(tmp_path / "a.ckpt", **fresh)
    assert torch.equal(weights(loaded), weights(gan)) and loaded.generator_updates == 2
    resumed = make()
    fit(resumed, max_epochs=2, ckpt_path=tmp_path / "a.ckpt")
    assert resumed.generator_updates == 4
    assert torch.equal(weights(copy.deepcopy(gan)), weights(gan))


@pytest.mark.parametrize(
    "stabilizer",
    [
        *(SpectralNorm(), NormalInitialization(), GradientPenalty(), R1Penalty(), WeightClipping(), GeneratorEMA()),
        *(InstanceNorm(), VirtualBatchNorm(size=4, generator=True, discriminator=False)),
    ],
    ids=repr,
)
def test_stabilizers(fit, stabilizer):
    gan = images()
    fit(gan, callbacks=[stabilizer])
    assert gan.generator_updates == 2


@pytest.mark.parametrize(
    "stabilizer",
    [
        *(FeatureMatching(), MinibatchDiscrimination(), MinibatchStdDev(), Packing(2)),
        VirtualBatchNorm(size=4, generator=False, discriminator=True),
    ],
    ids=repr,
)
def test_stabilizers_that_need_features_are_refused_by_name(fit, stabilizer):
    gan = images()
    with pytest.raises(ValueError, match="features") as refused:
        fit(gan, callbacks=[stabilizer])
    assert "\n" not in str(refused.value) and gan.discriminator_updates == 0


def test_unrolling_and_callbacks(quiet, tmp_path, batches):
    gan = UnrolledGAN(mlp(4, 8, 2), mlp(2, 8, 1), unroll_steps=2)
    callbacks = [SampleGrid(num_samples=4), FailureMonitor(every_n_steps=2, num_samples=8)]
    settings = {**quiet, "logger": None, "callbacks": callbacks}
    Trainer(**settings).fit(gan, DataLoader(batches(4), batch_size=None))
    assert len(callbacks[1].readings) > 0 and list(tmp_path.rglob("epoch_0001.png"))


# ---------------------------------------------------------------- what is refused


class Two(nn.Module):
    def __init__(self, wide=2, narrow=1):
        super().__init__()
        self.layer = nn.Linear(wide, narrow)

    def forward(self, x):
        return self.layer(x), x


class TakesLabels(Two):
    def forward(self, x, labels):
        return self.layer(x)


class Wider(ConditionalG):
    def forward(self, z, labels):
        return super().forward(torch.cat([z, z.new_zeros(len(z), 2)], 1), labels)


class NoLayer(nn.Module):
    def forward(self, z):
        return z


REFUSED = {
    "sigmoid module": (lambda: (mlp(4, 2), mlp(2, 1, end=nn.Sigmoid())), "Sequential ends in a sigmoid, and obj"),
    "sigmoid image": (lambda: (ConvG(), ConvD(end=nn.Sigmoid)), "ConvD ends in a sigmoid.*leave it out"),
    "two outputs": (lambda: (mlp(4, 2), Two()), r"Two returns a tuple for two samples, expected logits \(2,\)"),
    "classes": (lambda: (mlp(4, 2), mlp(2, 10)), r"returns shape \(2, 10\) for two samples"),
    "other samples": (lambda: (mlp(4, 2), mlp(3, 1)), r"does not take samples of shape \(2,\) \(mat1 and mat2"),
    "generator's outputs": (lambda: (Two(4, 2), mlp(2, 1)), "Two returns a tuple for two latents"),
    "no width": (lambda: (NoLayer(), mlp(2, 1)), r"write GAN\(PlainGenerator\(NoLayer\(...\), latents=100\), ...\)"),
    "no width with labels": (lambda: (Wider(), mlp(2, 1)), r"found \(for z of shape .* num_classes=3\), ...\)"),
    "no classes": (lambda: (TakesLabels(4, 2), mlp(2, 1)), "classes cannot be found; write GAN.*num_classes=10"),
    "no module": (lambda: (torch.tanh, mlp(2, 1)), "as a network of the GAN; expected a torch.nn.Module"),
    "one conditional": (lambda: (mlp(4, 2), OneHotD()), "num_classes=0 and the discriminator num_classes=3"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_one_line(make, message):
    with pytest.raises(ValueError, match=message) as refused:
        GAN(*make())
    assert "\n" not in str(refused.value)


def test_the_code_that_a_refusal_shows_works(fit):
    gan = GAN(PlainGenerator(NoLayer(), latents=2), mlp(2, 1))
    assert gan.generator.sample_shape == (2,)
    gan = GAN(PlainGenerator(TakesLabels(4, 2), latents=4, num_classes=10), PlainDiscriminator(TakesLabels(), (2,), 10))
    fit(gan)
    assert gan.generator_updates == 2


def test_a_given_shape_is_checked():
    with pytest.raises(ValueError, match=r"sample_shape=\(3,\)\): Sequential makes samples of shape \(2,\)"):
        PlainGenerator(mlp(4, 2), 4, sample_shape=(3,))
    assert PlainGenerator(mlp(4, 2), 4, sample_shape=(2,)).sample_shape == MLPGenerator((2,), 4).sample_shape
