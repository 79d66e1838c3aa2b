"""The Fréchet distance: scipy's matrix square root, and closed forms."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn

from lightning_gans.metrics import FrechetDistance, KernelDistance
from lightning_gans.networks import InceptionFeatures


def distance(real, fake, *args):
    score = FrechetDistance(*args)
    for kind, x in (True, real), (False, fake):
        for part in torch.as_tensor(x).split(37):
            score.update(part, real=kind)
    return float(score.compute())


def moments(n, mean, deviations):
    """Return samples with exactly this mean and an exactly diagonal covariance."""
    x = np.random.default_rng(0).normal(size=(n, len(mean)))
    x -= x.mean(0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T)).T) * deviations + mean


def test_it_equals_the_formula_with_the_square_root_of_scipy():
    rng = np.random.default_rng(1)
    real = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6)) + 1
    fake = rng.normal(size=(150, 6)) @ rng.normal(size=(6, 6)) - 1
    root = sqrtm(np.cov(real.T) @ np.cov(fake.T)).real
    expected = np.square(real.mean(0) - fake.mean(0)).sum() + np.trace(np.cov(real.T) + np.cov(fake.T) - 2 * root)
    assert distance(real, fake) == pytest.approx(expected, rel=1e-5)


def test_it_equals_the_closed_form_for_diagonal_covariances():
    real, fake = moments(50, [1, 2, 3], [1, 2, 0.5]), moments(50, [0, 2, 5], [3, 2, 1])
    assert distance(real, fake) == pytest.approx(1 + 0 + 4 + 4 + 0 + 0.25, rel=1e-5)
    assert distance(real, real) == pytest.approx(0, abs=1e-5)


def test_it_compares_features():
    class Half(nn.Module):
        num_features = 2

        def forward(self, x):
            return x[:, :2]

    real, fake = moments(50, [1, 2, 3], [1, 2, 0.5]), moments(50, [0, 2, 5], [3, 2, 1])
    assert distance(real, fake, Half()) == pytest.approx(1 + 0 + 4 + 0, rel=1e-5)


class UntrainedInception(InceptionFeatures):
    """Inception features without the weights, which would be downloaded."""

    def __init__(self):
        nn.Module.__init__(self)


def test_only_with_inception_features_it_is_called_fid():
    features = UntrainedInception()
    assert (FrechetDistance(features).name, FrechetDistance().name) == ("fid", "fd")
    assert (KernelDistance(features).name, KernelDistance().name) == ("kid", "kd")
    assert FrechetDistance(features).least_samples == 2049


def test_fewer_samples_than_features_are_refused():
    score = FrechetDistance()
    score.update(torch.randn(3, 3), real=True)
    score.update(torch.randn(9, 3), real=False)
    with pytest.raises(ValueError, match="FrechetDistance: 3 real samples; expected at least 4; give more"):
        score.compute()


def test_samples_of_two_sizes_are_refused():
    score = FrechetDistance()
    score.update(torch.randn(3, 3), real=True)
    with pytest.raises(ValueError, match="samples have 4 numbers each, and earlier ones 3; give samples of one size"):
        score.update(torch.randn(3, 4), real=False)
