"""Layers with weights: find those of a network, and draw a weight that may be parametrised."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

POWER_ITERATIONS = 15  # after the weight behind a spectral norm was replaced; torch's initialisation takes as many


def weighted_layers(network: nn.Module, embeddings: bool = False) -> Iterator[tuple[str, nn.Module]]:
    """Yield name and module of every linear layer and convolution, transposed ones included.

    A `StochasticLayer` is not among them: it has its own weight normalisation.

    Args:
        network: network or part of one.
        embeddings: whether to yield embeddings too.
    """
    kinds = (nn.Linear, nn.modules.conv._ConvNd, *((nn.Embedding,) if embeddings else ()))
    for name, module in network.named_modules():
        if isinstance(module, kinds):
            yield name, module


@torch.no_grad()
def redraw(layer: nn.Module, fill: Callable[[Tensor], object]) -> None:
    """Draw the weight of a layer anew, in single precision or better; a bias becomes 0.

    Where the weight is parametrised (spectral norm, weight norm), the tensors that it is computed from are set.

    Args:
        layer: module with a `weight`.
        fill: draws a tensor of the weight's shape in place, like `torch.nn.init.normal_`.
    """
    weight, bias = layer.weight, getattr(layer, "bias", None)
    assert isinstance(weight, Tensor)
    fresh = torch.empty_like(weight, dtype=torch.promote_types(weight.dtype, torch.float32))
    fill(fresh)
    if is_parametrized(layer, "weight"):
        layer.weight = fresh.to(weight.dtype)
        training = layer.training
        layer.train()
        for _ in range(POWER_ITERATIONS):  # reading the weight runs one power iteration of a spectral norm
            layer.weight  # noqa: B018
        layer.train(training)
    else:
        weight.copy_(fresh)
    if isinstance(bias, Tensor):
        nn.init.zeros_(bias)
