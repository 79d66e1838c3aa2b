"""Features at several depths of a frozen classifier: maps of edges, of parts, and of whole shapes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from lightning_gans.networks.classifier import FrozenClassifier


class LayerFeatures(nn.Module):
    """What some layers of a classifier return, frozen: images (N, C, H, W) in [−1, 1] in, a list of tensors out.

    Images are resized to the network's input as in `FrozenClassifier`, and gradients reach them. The network is hidden
    from `parameters`, `state_dict` and `modules`, and stays in evaluation mode. A `FeatureDiscriminator` has a head for
    each layer. The names of a network's layers are printed by `print(network)`.

    Args:
        network: maps images of its `input_shape` to logits, see `FrozenClassifier`; or such a `FrozenClassifier`.
        layers: names of its layers, as in `get_submodule`, such as "layers.5".

    Raises:
        ValueError: for no layer, one that the network does not have, or one that takes no part in its forward.
    """

    def __init__(self, network: nn.Module, layers: Sequence[str]) -> None:
        super().__init__()
        self._frozen = network if isinstance(network, FrozenClassifier) else FrozenClassifier(network)
        self.layers = list(layers)
        known = [name for name, _ in self.network.named_modules() if name]
        for name in self.layers or [""]:
            if name not in known:
                raise ValueError(
                    f"LayerFeatures(layers={self.layers}): {type(self.network).__name__} has no layer {name!r}; give "
                    f"names such as {known[-1]!r}."
                )

    @property
    def network(self) -> nn.Module:
        """The frozen classifier."""
        return self._frozen.network

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map images (N, C, H, W) in [−1, 1] to the outputs of the layers, one for each."""
        found: dict[str, Any] = {}

        def keep(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
            found[name] = output.clone() if isinstance(output, Tensor) else output  # a later layer may work in place

        handles = [self.network.get_submodule(name).register_forward_hook(partial(keep, name)) for name in self.layers]
        try:
            self._frozen(x)
        finally:
            for handle in handles:
                handle.remove()
        unused = [name for name in self.layers if name not in found]
        if unused:
            raise ValueError(
                f"LayerFeatures(layers={self.layers}): {unused[0]!r} takes no part in the forward of "
                f"{type(self.network).__name__}; leave it out."
            )
        return [found[name] for name in self.layers]
