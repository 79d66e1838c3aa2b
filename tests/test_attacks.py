"""Adversarial attacks, against what is known of them in closed form."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_gans.attacks import projected_gradient


def linear(weight):
    """Return a classifier of two classes, whose logits differ by the product with a weight."""

    def network(x):
        score = x.flatten(1) @ weight
        return torch.stack([torch.zeros_like(score), score], 1)

    return network


@pytest.mark.parametrize(("norm", "steps"), [("L2", 1), ("L2", 7), ("Linf", 1), ("Linf", 7)])
def test_of_a_linear_classifier_it_finds_the_worst_image(norm, steps):
    weight = torch.tensor([0.5, -2.0, 0.25, 1.0])
    x = torch.full((3, 1, 2, 2), 0.1)
    y = torch.tensor([0, 1, 0])
    towards = torch.where(y == 0, 1.0, -1.0)[:, None] * (weight.sign() if norm == "Linf" else weight / weight.norm())
    worst = x + 0.3 * towards.reshape(3, 1, 2, 2)
    assert torch.allclose(projected_gradient(linear(weight), x, y, 0.3, steps, norm), worst, atol=1e-6)


@pytest.mark.parametrize(("norm", "order"), [("L2", 2), ("Linf", math.inf)])
def test_changes_stay_in_the_ball_and_images_in_their_range(norm, order):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.Tanh(), nn.Linear(16, 5))
    x, y = torch.rand(20, 3, 4, 4) * 2 - 1, torch.randint(5, (20,))
    found = projected_gradient(network, x, y, 0.5, 10, norm)
    assert found.abs().max() <= 1
    sizes = torch.linalg.vector_norm((found - x).flatten(1), order, dim=1)
    assert sizes.max() <= 0.5 + 1e-5 and sizes.max() > 0.4
    before, after = (F.cross_entropy(network(one), y, reduction="none") for one in (x, found))
    assert (after > before).all()
    assert not found.requires_grad


def test_more_steps_and_a_larger_ball_mislead_more():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 5))
    x, y = torch.rand(50, 1, 4, 4) * 2 - 1, torch.randint(5, (50,))

    def loss(epsilon, steps):
        return float(F.cross_entropy(network(projected_gradient(network, x, y, epsilon, steps)), y).detach())

    assert loss(1.0, 1) < loss(1.0, 20) < loss(2.0, 20)


def test_an_image_without_a_gradient_stays_as_it_is():
    x = torch.rand(2, 1, 3, 3)
    assert torch.equal(projected_gradient(linear(torch.zeros(9)), x, torch.tensor([0, 1]), 1.0, 3), x)
