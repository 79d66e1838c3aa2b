"""Small GANs and their training, for the tables of remedies."""

import torch
from helpers import sgds

from lightning_gans import GAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator


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
