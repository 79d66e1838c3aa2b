"""The kernel distance against an explicit sum of a polynomial kernel."""

import itertools

import pytest
import torch

from lightning_gans.metrics import KernelDistance


def figures(real, fake, **kwargs):
    score = KernelDistance(**kwargs)
    score.update(real, real=True)
    score.update(fake, real=False)
    return {name: float(value) for name, value in score.figures().items()}


def kernel(x, y):
    return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3


def test_it_equals_an_explicit_sum():
    torch.manual_seed(0)
    real, fake = torch.randn(12, 3), torch.randn(12, 3) * 0.5 + 1
    x, y = real.tolist(), fake.tolist()
    within = sum(kernel(a, b) for z in (x, y) for a, b in itertools.permutations(z, 2)) / (12 * 11)
    between = sum(kernel(a, b) for a in x for b in y) / 144
    found = figures(real, fake, subsets=1, subset_size=12)
    assert found["kd"] == pytest.approx(within - 2 * between, rel=1e-5) and found["kd_std"] == 0


def test_it_is_unbiased_and_detects_a_difference():
    torch.manual_seed(0)
    settings = {"subsets": 50, "subset_size": 100}
    same = figures(torch.randn(1000, 4), torch.randn(1000, 4), **settings)
    other = figures(torch.randn(1000, 4), torch.randn(1000, 4) + 0.3, **settings)
    assert abs(same["kd"]) < 0.05 < 0.2 < other["kd"] and other["kd_std"] > 0


def test_subsets_and_seed_change_it():
    torch.manual_seed(0)
    real, fake = torch.randn(60, 4), torch.randn(60, 4)
    settings = {"subsets": 3, "subset_size": 20}
    plain = figures(real, fake, **settings)["kd"]
    for change in {"subsets": 4}, {"subset_size": 21}, {"seed": 1}:
        assert figures(real, fake, **{**settings, **change})["kd"] != plain


@pytest.mark.parametrize("settings", [{"subsets": 0}, {"subset_size": 1}, {"seed": -1}, {"subsets": 1.5}])
def test_arguments_out_of_range_are_refused(settings):
    name, value = next(iter(settings.items()))
    with pytest.raises(ValueError, match=rf"KernelDistance\({name}={value}\): expected a whole number of at least"):
        KernelDistance(**settings)


def test_fewer_samples_than_a_subset_are_refused():
    with pytest.raises(ValueError, match="KernelDistance: 60 real samples; expected at least 1000; give more"):
        figures(torch.randn(60, 4), torch.randn(60, 4))
