"""The models: the papers' hyperparameters are their defaults, and every argument has an effect."""

import inspect
from functools import partial

import pytest
import torch
from torch import nn

from lightning_gans import DCGAN, GAN, WGAN, WGANGP, VanillaGAN
from lightning_gans.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    Gaussian,
    Maxout,
    MLPDiscriminator,
    MLPGenerator,
    Uniform,
)
from lightning_gans.objectives import Hinge, NonSaturating, Wasserstein
from lightning_gans.optimizers import SGD, Adam
from lightning_gans.stabilizers import GradientPenalty, WeightClipping

IMAGE, POINT = (1, 16, 16), (2,)
SMALL = {
    VanillaGAN: {"latent_dim": 3, "generator_width": 8, "discriminator_width": 8, "maxout_pieces": 2},
    DCGAN: {"latent_dim": 3, "width": 2},
    WGAN: {"latent_dim": 3, "width": 8},
    WGANGP: {"latent_dim": 3, "width": 8},
}
MODELS = [(VanillaGAN, POINT), (VanillaGAN, IMAGE), (DCGAN, IMAGE)]
MODELS += [(kind, shape) for kind in (WGAN, WGANGP) for shape in (POINT, IMAGE)]
every_model = pytest.mark.parametrize(("kind", "shape"), MODELS)

OTHER_OPTIMIZERS = {"generator_optimizer": partial(SGD, lr=0.3), "discriminator_optimizer": partial(Adam, lr=0.3)}
CHANGES = {
    VanillaGAN: {
        "latent_dim": 4,
        "generator_width": 9,
        "discriminator_width": 9,
        "maxout_pieces": 3,
        "dropout": 0.25,
        "input_dropout": 0.25,
        "num_classes": 3,
        **OTHER_OPTIMIZERS,
    },
    DCGAN: {"latent_dim": 4, "width": 3, "num_classes": 3, **OTHER_OPTIMIZERS},
    WGAN: {"latent_dim": 4, "width": 5, "clip": 0.02, "n_critic": 2, "num_classes": 3, **OTHER_OPTIMIZERS},
    WGANGP: {"latent_dim": 4, "width": 5, "gradient_penalty": 1.0, "n_critic": 2, "num_classes": 3, **OTHER_OPTIMIZERS},
}
KWARGS = {
    "generator_clip": 1.0,
    "discriminator_clip": 1.0,
    "generator_accumulation": 2,
    "discriminator_accumulation": 2,
    "generator_scheduler": partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5),
    "discriminator_scheduler": partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5),
}


def modules(network, kind):
    return [module for module in network.modules() if isinstance(module, kind)]


def optimizers(gan):
    return gan.configure_optimizers()[0]


def settings(optimizer, **expected):
    return expected.items() <= optimizer.defaults.items()


# ---------------------------------------------------------------- the papers


def test_the_first_gan():
    torch.manual_seed(0)
    gan = VanillaGAN((1, 28, 28))
    g, d = gan.generator, gan.discriminator
    assert g.latents == Uniform(100) and isinstance(gan.objective, NonSaturating) and gan.n_critic == 1
    assert [(m.in_features, m.out_features) for m in modules(g, nn.Linear)] == [(100, 1200), (1200, 1200), (1200, 784)]
    assert [(m.linear.in_features, m.linear.out_features, m.pieces) for m in modules(d, Maxout)] == [
        (784, 240 * 5, 5),
        (240, 240 * 5, 5),
    ]
    assert d.num_features == 240 and len(modules(g, nn.ReLU)) == 2 and len(modules(g, nn.Tanh)) == 1
    assert [m.p for m in modules(d, nn.Dropout)] == [0.2, 0.5, 0.5]
    for network, bound in ((g, 0.05), (d, 0.005)):
        for linear in modules(network, nn.Linear):
            assert 0.97 * bound < linear.weight.abs().max() <= bound and not linear.bias.any()
            assert linear.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1), "uniform"
    for optimizer in optimizers(gan):
        assert isinstance(optimizer, torch.optim.SGD) and settings(optimizer, lr=0.1, momentum=0.5)


def test_the_deep_convolutional_gan():
    torch.manual_seed(0)
    gan = DCGAN(IMAGE)
    g, d = gan.generator, gan.discriminator
    assert g.latents == Uniform(100) and isinstance(gan.objective, NonSaturating) and gan.n_critic == 1
    assert [m.out_channels for m in modules(d, nn.Conv2d)] == [128, 256], "width next to the image, then doubled"
    assert [m.out_channels for m in modules(g, nn.ConvTranspose2d)] == [128, 1]
    assert len(modules(g, nn.BatchNorm2d)) == 2 and len(modules(d, nn.BatchNorm2d)) == 1
    assert modules(g, nn.Tanh) and modules(g, nn.ReLU) and not modules(d, nn.ReLU)
    assert {m.negative_slope for m in modules(d, nn.LeakyReLU)} == {0.2}
    for conv in modules(gan, nn.Conv2d | nn.ConvTranspose2d):
        assert conv.weight.std().item() == pytest.approx(0.02, rel=0.1)
    for optimizer in optimizers(gan):
        assert isinstance(optimizer, torch.optim.Adam) and settings(optimizer, lr=2e-4, betas=(0.5, 0.999))


@pytest.mark.parametrize("shape", [IMAGE, POINT])
def test_the_wasserstein_gan(shape):
    gan = WGAN(shape)
    assert gan.generator.latents == Gaussian(100) and isinstance(gan.objective, Wasserstein) and gan.n_critic == 5
    (clipping,) = gan.active_stabilizers
    assert isinstance(clipping, WeightClipping) and clipping.limit == 0.01
    for optimizer in optimizers(gan):
        assert isinstance(optimizer, torch.optim.RMSprop) and settings(optimizer, lr=5e-5, alpha=0.99)
    assert len(modules(gan.discriminator, nn.BatchNorm2d)) == (shape == IMAGE)


@pytest.mark.parametrize("shape", [IMAGE, POINT])
def test_the_wasserstein_gan_with_gradient_penalty(shape):
    gan = WGANGP(shape)
    assert gan.generator.latents == Gaussian(128) and isinstance(gan.objective, Wasserstein) and gan.n_critic == 5
    (penalty,) = gan.active_stabilizers
    assert isinstance(penalty, GradientPenalty) and (penalty.weight, penalty.target) == (10.0, 1.0)
    for optimizer in optimizers(gan):
        assert isinstance(optimizer, torch.optim.Adam) and settings(optimizer, lr=1e-4, betas=(0.0, 0.9))
    assert not modules(gan.discriminator, nn.modules.batchnorm._BatchNorm), "which does not fit the penalty"
    assert len(modules(gan.generator, nn.BatchNorm2d)) == 2 * (shape == IMAGE)


@pytest.mark.parametrize("kind", [WGAN, WGANGP])
def test_critics_of_points_are_mlps_with_three_relu_layers(kind):
    gan = kind(POINT)
    for network in (gan.generator, gan.discriminator):
        assert [m.out_features for m in modules(network, nn.Linear) if m.out_features > 2] == [64] * 3
        assert len(modules(network, nn.ReLU)) == 3


# ---------------------------------------------------------------- every model


@every_model
def test_images_have_convolutions_and_points_mlps(kind, shape):
    gan = kind(shape, **SMALL[kind])
    convolutional = shape == IMAGE and kind is not VanillaGAN
    networks = (DCGANGenerator, DCGANDiscriminator) if convolutional else (MLPGenerator, MLPDiscriminator)
    assert (type(gan.generator), type(gan.discriminator)) == networks
    assert gan.generator.sample_shape == gan.discriminator.sample_shape == shape


@every_model
@pytest.mark.parametrize("num_classes", [0, 3])
def test_every_model_trains(fit, weights, kind, shape, num_classes):
    torch.manual_seed(0)
    gan = kind(shape, **SMALL[kind], num_classes=num_classes)
    before = [weights(player) for player in (gan.generator, gan.discriminator)]
    fit(gan, 5)
    after = [weights(player) for player in (gan.generator, gan.discriminator)]
    assert all(new.isfinite().all() and not torch.equal(new, old) for new, old in zip(after, before, strict=True))


@every_model
def test_labels_change_samples_and_logits_of_a_conditional_model(kind, shape):
    torch.manual_seed(0)
    gan = kind(shape, **SMALL[kind], num_classes=3).eval()
    zero, one = torch.zeros(4, dtype=torch.long), torch.ones(4, dtype=torch.long)
    z, x = gan.generator.latents.sample(4), torch.rand(4, *shape)
    assert not torch.equal(gan(z, zero), gan(z, one))
    assert not torch.equal(gan.discriminator(x, zero), gan.discriminator(x, one))


def fingerprint(gan):
    """All that a model's arguments decide."""
    schedulers = [type(scheduler) for scheduler in gan.configure_optimizers()[1]]
    plain = [gan.n_critic, gan.generator_clip, gan.discriminator_clip]
    plain += [gan.generator_accumulation, gan.discriminator_accumulation]
    return repr([gan, gan.generator.latents, gan.objective, optimizers(gan), schedulers, gan.stabilizers, plain])


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in CHANGES for name in [*CHANGES[kind], *KWARGS]])
def test_every_argument_changes_something(kind, name):
    changed = {**SMALL[kind], name: (CHANGES[kind] | KWARGS)[name]}
    assert fingerprint(kind(IMAGE, **changed)) != fingerprint(kind(IMAGE, **SMALL[kind]))


@pytest.mark.parametrize("kind", CHANGES)
def test_every_argument_is_tested(kind):
    own = set(inspect.signature(kind).parameters) - {"sample_shape", "image_shape", "kwargs"}
    assert own == set(CHANGES[kind])
    taken = {"generator", "discriminator", "objective"}
    assert set(inspect.signature(GAN).parameters) - taken - own <= {*KWARGS, "n_critic"}


@pytest.mark.parametrize("kind", [VanillaGAN, DCGAN])
def test_the_objective_and_n_critic_can_be_chosen_where_the_paper_is_not_about_them(kind):
    gan = kind(IMAGE, **SMALL[kind], objective=Hinge(), n_critic=2)
    assert isinstance(gan.objective, Hinge) and gan.n_critic == 2


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="image_shape"):
        DCGAN((2,))
    with pytest.raises(ValueError, match="at least 8"):
        DCGAN((1, 4, 4))
    with pytest.raises(TypeError, match="objective"):
        WGAN(POINT, objective=Hinge())
    with pytest.raises(TypeError, match="widht"):
        DCGAN(IMAGE, widht=3)
    with pytest.raises(ValueError, match=r"WeightClipping\(limit=0"):
        WGAN(POINT, clip=0)
