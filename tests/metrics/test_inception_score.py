"""The inception score of given predictions."""

import numpy as np
import pytest
import torch
from torch import nn

from lightning_gans.metrics import InceptionScore


class Predictions(nn.Module):
    """Logits that are the pixels times 20."""

    input_shape = (1, 1, 5)

    def forward(self, x):
        return 20 * x.flatten(1)


def images(logits):
    return (logits / 20).view(-1, 1, 1, 5)


def figures(fake, real=None, **kwargs):
    score = InceptionScore(Predictions(), **kwargs)
    score.update(images(fake), real=False)
    if real is not None:
        score.update(images(real), real=True)
    return {name: float(value) for name, value in score.figures().items()}


def test_it_equals_the_formula_in_numpy():
    logits = torch.randn(50, 5, generator=torch.Generator().manual_seed(0)) * 2
    p = np.exp(logits.double().numpy())
    p /= p.sum(1, keepdims=True)
    expected = np.exp(np.mean([sum(a * np.log(a / b) for a, b in zip(row, p.mean(0), strict=True)) for row in p]))
    found = figures(logits, real=logits.flip(0), splits=1)
    assert found == {"is": pytest.approx(expected, rel=1e-5), "is_real": pytest.approx(expected, rel=1e-5)}


def test_its_limits_are_one_and_the_number_of_classes():
    confident = 20 * torch.eye(5).repeat(4, 1)
    assert figures(confident, splits=1)["is"] == pytest.approx(5, rel=1e-3)
    assert figures(confident[:1].repeat(20, 1), splits=1)["is"] == pytest.approx(1)
    assert figures(torch.zeros(20, 5), splits=1)["is"] == pytest.approx(1)


def test_splits_and_seed_change_it():
    logits = torch.randn(50, 5, generator=torch.Generator().manual_seed(0)) * 2
    plain = figures(logits, splits=5)
    assert plain["is_std"] > 0 and "is_std" not in figures(logits, splits=1)
    assert plain["is"] < figures(logits, splits=1)["is"]
    assert figures(logits, splits=5, seed=1)["is"] != plain["is"]


@pytest.mark.parametrize("size", [21, 25, 41, 50])
def test_there_are_as_many_splits_as_asked_and_the_deviation_is_over_them(size, monkeypatch):
    """The score and the deviation of Salimans et al.'s program: np.mean and np.std of the scores of ten parts."""
    logits = torch.randn(size, 5, generator=torch.Generator().manual_seed(0)) * 2
    order, drawn = torch.randperm, []
    monkeypatch.setattr(torch, "randperm", lambda n, **kwargs: drawn.append(order(n, **kwargs)) or drawn[-1])
    kept = []
    joined = InceptionScore.joined
    monkeypatch.setattr(InceptionScore, "joined", lambda *args: kept.append(joined(*args)) or kept[-1])
    found = figures(logits, splits=10)
    p = np.exp(kept[0].double().numpy()[drawn[0].numpy()])
    p /= p.sum(1, keepdims=True)
    scores = []
    for part in np.array_split(p, 10):
        scores.append(np.exp(np.mean(np.sum(part * (np.log(part) - np.log(part.mean(0))), 1))))
    assert len(scores) == 10
    assert found == {"is": pytest.approx(np.mean(scores), rel=1e-6), "is_std": pytest.approx(np.std(scores), rel=1e-5)}


def test_classes_that_no_sample_has_are_no_nan():
    assert figures(torch.tensor([[900.0, -900.0, 0.0, 0.0, 0.0]]).repeat(20, 1), splits=2) == {"is": 1, "is_std": 0}


def test_arguments_out_of_range_and_too_few_samples_are_refused():
    with pytest.raises(
        ValueError, match=r"^InceptionScore\(splits=0\): expected a whole number of at least 1, such as 10\.$"
    ):
        InceptionScore(Predictions(), splits=0)
    with pytest.raises(
        ValueError, match=r"^InceptionScore\(seed=-1\): expected a whole number of at least 0, such as 0\.$"
    ):
        InceptionScore(Predictions(), seed=-1)
    with pytest.raises(ValueError, match="InceptionScore: 19 fake samples; expected at least 20"):
        figures(torch.zeros(19, 5))
