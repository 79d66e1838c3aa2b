"""Finding layers with weights, and drawing weights that may be parametrised."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from lightning_gans.networks import StochasticLinear, initialize, initialize_orthogonal, redraw, weighted_layers


def test_linear_layers_and_convolutions_are_found_and_embeddings_on_demand():
    network = nn.Sequential(
        nn.Linear(2, 2), nn.Conv2d(2, 2, 1), nn.ConvTranspose2d(2, 2, 1), nn.Embedding(2, 2), nn.BatchNorm2d(2)
    )
    network.append(StochasticLinear(2, 2))
    assert [name for name, _ in weighted_layers(network)] == ["0", "1", "2"]
    assert [name for name, _ in weighted_layers(network, embeddings=True)] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("training", [True, False])
def test_behind_a_spectral_norm_the_original_is_drawn_and_its_norm_is_known_at_once(training):
    layer = spectral_norm(nn.Linear(40, 30)).train(training)
    redraw(layer, lambda weight: nn.init.normal_(weight, std=3.0))
    original = layer.parametrizations.weight.original
    assert original.std() > 2 and not layer.bias.any() and layer.training is training
    layer.eval()
    torch.testing.assert_close(torch.linalg.matrix_norm(layer.weight, 2), torch.tensor(1.0), atol=0.1, rtol=0)


def test_behind_a_weight_norm_length_and_direction_are_drawn():
    layer = weight_norm(nn.Linear(5, 3))
    redraw(layer, nn.init.ones_)
    torch.testing.assert_close(layer.weight, torch.ones(3, 5))


def test_a_weight_in_half_precision_is_drawn_in_single():
    layer = nn.Linear(4, 4).bfloat16()
    initialize_orthogonal(nn.Sequential(layer), 1.0)  # for which torch has no half precision
    assert layer.weight.dtype == torch.bfloat16
    torch.testing.assert_close(layer.weight.float() @ layer.weight.float().T, torch.eye(4), atol=0.03, rtol=0)


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 3, 3), nn.Linear(3, 8)])
def test_orthogonal_weights_have_orthonormal_rows_or_columns(layer):
    initialize_orthogonal(layer, 2.0)
    matrix = layer.weight.detach().flatten(1)
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    torch.testing.assert_close(gram, 4 * torch.eye(len(gram)), atol=1e-5, rtol=1e-5)
    assert not layer.bias.any()


def test_embeddings_can_be_left_as_they_are():
    network = nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 4))
    before = network[0].weight.clone()
    initialize(network, embeddings=False)
    assert torch.equal(network[0].weight, before) and network[1].weight.abs().max() < 0.1
    initialize(network)
    assert not torch.equal(network[0].weight, before)
