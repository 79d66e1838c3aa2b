"""Scores, data and a Trainer for the tests of Evaluation."""

import csv

import torch
from lightning.pytorch import Trainer
from torch import nn

from lightning_gans import generation
from lightning_gans.callbacks import Evaluation
from lightning_gans.data import GANData, GaussianRing, Samples
from lightning_gans.metrics import Score
from lightning_gans.randomness import seeded


def close(one, other):
    return torch.allclose(one, other, atol=1e-6)


class Shift(Score):
    """Distance of the means of real samples and fakes, from sums."""

    name = "shift"

    def __init__(self, features=None, scale=1.0, least=2):
        super().__init__()
        self.features, self.scale, self.least = features, scale, least
        self.least_samples = least
        for kind in ("real", "fake"):
            self.add_state(f"{kind}_sum", torch.zeros(2), dist_reduce_fx="sum")
            self.add_state(f"{kind}_count", torch.zeros(()), dist_reduce_fx="sum")

    @property
    def network(self):
        return self.features

    def update(self, samples, real):
        self.check_samples(samples)
        x = (samples if self.features is None else self.features(samples)).sum(0)
        kind = "real" if real else "fake"
        setattr(self, f"{kind}_sum", getattr(self, f"{kind}_sum") + x)
        setattr(self, f"{kind}_count", getattr(self, f"{kind}_count") + len(samples))

    def compute(self):
        means = self.real_sum / self.real_count, self.fake_sum / self.fake_count
        return self.scale * torch.linalg.vector_norm(means[0] - means[1])


class Kept(Score):
    """Keeps every sample in `seen`."""

    def __init__(self):
        super().__init__()
        self.add_state("real_points", [], dist_reduce_fx="cat")
        self.add_state("fake_points", [], dist_reduce_fx="cat")
        self.seen = []

    def update(self, samples, real):
        (self.real_points if real else self.fake_points).append(samples)

    def compute(self):
        real, fake = (torch.cat(x) if isinstance(x, list) else x for x in (self.real_points, self.fake_points))
        self.seen.append((real.clone(), fake.clone()))
        return {"reals": torch.tensor(float(len(real))), "fakes": torch.tensor(float(len(fake)))}


class Fails(Score):
    """A score that takes samples and cannot be computed."""

    name = "fails"

    def update(self, samples, real):
        pass

    def compute(self):
        raise ValueError("Fails: all samples are equal; give others.")


class Twice(nn.Module):
    """A feature network that counts its samples in `shown`."""

    num_features = 2

    def __init__(self, factor=2.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(float(factor)), requires_grad=False)
        self.shown = 0

    def forward(self, x):
        self.shown += len(x)
        return x * self.weight


def ring(**settings):
    return GaussianRing(
        **{"num_samples": 64, "num_val_samples": 40, "num_test_samples": 24, "batch_size": 16, **settings}
    )


class Points(GANData):
    """Fixed points, which a test may replace."""

    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))

    @property
    def sample_shape(self):
        return (2,)

    def load(self, split):
        return Samples(self.x)


def fit_ring(quiet, gan, *callbacks, data=None, ckpt_path=None, **settings):
    """Fit a GAN with callbacks on a small ring, and return the Trainer."""
    trainer = Trainer(**{**quiet, **settings}, callbacks=list(callbacks))
    trainer.fit(gan, datamodule=data or ring(), ckpt_path=ckpt_path)
    return trainer


def evaluation(*metrics, num_samples=48, **settings):
    return Evaluation(list(metrics) or [Shift()], num_samples=num_samples, **settings)


def history(trainer, name):
    with open(f"{trainer.log_dir}/metrics.csv") as file:
        return {int(row["epoch"]): float(row[name]) for row in csv.DictReader(file) if row.get(name)}


def fakes_of(gan, num, seed=0):
    """Return the samples that an evaluation generates, (num, 2)."""
    with seeded(seed):
        z = gan.generator.latents.sample(num)
    with torch.no_grad():
        return gan.eval()(z, generation.class_labels(gan, num))


def first_of_tuples(gan):
    """Return the gan, changed for a data set that gives tuples of one."""
    gan.unpack_batch = lambda batch: (batch[0] if isinstance(batch, list | tuple) else batch, None)
    return gan
