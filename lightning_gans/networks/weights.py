"""Layers with weights: which ones a network has, and how to draw a weight that may be parametrised."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

PROBES = 15  # power iterations after a weight behind a spectral norm was replaced, as many as torch's own start takes


def weighted_layers(network: nn.Module, embeddings: bool = False) -> Iterator[tuple[str, nn.Module]]:
    """Names and modules of all linear layers and convolutions, transposed ones too, and embeddings on demand.

    Banks of a `StochasticLayer` are not among them: they are weight-normalised on their own.
    """
    kinds = (nn.Linear, nn.modules.conv._ConvNd, *((nn.Embedding,) if embeddings else ()))
    for name, module in network.named_modules():
        if isinstance(module, kinds):
            yield name, module


@torch.no_grad()
def redraw(layer: nn.Module, fill: Callable[[Tensor], object]) -> None:
    """Draw the weight of a layer anew, in single precision or better; a bias becomes 0.

    Behind a parametrisation (spectral norm, weight norm) what it computes the weight from is set accordingly.

    Args:
        layer: module with a `weight`.
        fill: draws a tensor of the weight's shape in place, like `torch.nn.init.normal_`.
    """
    weight: Tensor = layer.weight  # type: ignore[assignment]
    fresh = torch.empty_like(weight, dtype=torch.promote_types(weight.dtype, torch.float32))
    fill(fresh)
    if is_parametrized(layer, "weight"):
        layer.weight = fresh.to(weight.dtype)
        training = layer.training
        layer.train()
        for _ in range(PROBES):  # each look at the weight is one power iteration of a spectral norm
            layer.weight  # noqa: B018
        layer.train(training)
    else:
        weight.copy_(fresh)
    if isinstance(getattr(layer, "bias", None), Tensor):
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
