"""Conditional GANs vary inside their classes."""

import itertools

import pytest
import torch

from lightning_gans import DCGAN
from lightning_gans.data import Digits
from lightning_gans.networks import (
    DCGANGenerator,
    MLPGenerator,
    StochasticEnsembleGenerator,
    StochasticEnsembleMLPGenerator,
)
from lightning_gans.optimizers import Adam


def spread(x, y):
    """Return the mean distance between two samples of a class, averaged over classes."""
    return torch.stack([torch.pdist(x[y == label].flatten(1)).mean() for label in range(10)]).mean()


def fast(parameters):
    return Adam(parameters, lr=1e-3, beta1=0.5)


def trained(gan, data, updates):
    """Return how much a conditional GAN varies inside its classes after training, as a share of the data's."""
    data.setup("fit")
    optimizers, _ = gan.configure_optimizers()
    loader = itertools.chain.from_iterable(itertools.repeat(data.train_dataloader()))
    for batch in itertools.islice(loader, updates):
        gan.train_batch(batch, *optimizers)
    real, labels = (torch.cat(parts) for parts in zip(*data.train_dataloader(), strict=True))
    classes = torch.arange(500) % 10
    with torch.no_grad():
        fakes = gan.eval()(gan.sample_latents(500), classes)
    return float(spread(fakes, classes) / spread(real, labels))


def test_a_conditional_gan_does_not_begin_with_one_picture_a_class():
    torch.manual_seed(0)
    gan = DCGAN((1, 8, 8), 32, width=8, num_classes=10, generator_optimizer=fast, discriminator_optimizer=fast)
    assert trained(gan, Digits(size=8, labels=True), 100) > 0.15, "0.29, and 0.02 with an embedding as wide as z"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_a_conditional_gan_varies_in_its_classes_as_digits_do(seed):
    torch.manual_seed(seed)
    gan = DCGAN((1, 16, 16), 64, num_classes=10, width=32, generator_optimizer=fast)
    assert trained(gan, Digits(size=16, labels=True), 700) > 0.6, "0.04 with an embedding as wide as z"


@pytest.mark.parametrize(
    "generator",
    [
        lambda: DCGANGenerator((1, 16, 16), 64, width=8, num_classes=10),
        lambda: MLPGenerator((2,), 64, num_classes=10),
        lambda: StochasticEnsembleGenerator((1, 16, 16), width=8, num_classes=10),
        lambda: StochasticEnsembleMLPGenerator((2,), 64, num_classes=10),
    ],
)
def test_at_the_start_the_label_weighs_less_than_the_latents(generator):
    torch.manual_seed(0)
    network = generator()
    z, label = network.latents.sample(2000), torch.arange(2000) % 10
    joined = network.condition(z, label)
    own, of_label = joined[:, : network.latent_dim], joined[:, network.latent_dim :]
    assert of_label.var(0).sum() < 0.2 * own.var(0).sum()
