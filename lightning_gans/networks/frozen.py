"""A network that a module uses but does not own: frozen, and hidden from checkpoints, optimizers and initialization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


class HiddenNetwork(nn.Module):
    """A module with a frozen network that is in none of its `parameters`, `state_dict` and `modules`.

    The network stays in evaluation mode, gets no gradients, and follows the module to devices and dtypes. Call `hide`
    once in the constructor, after `super().__init__()`.
    """

    _hidden: tuple[nn.Module, ...] = ()  # nn.Module does not look into a tuple

    def hide(self, network: nn.Module) -> None:
        """Freeze a network and keep it."""
        self._hidden = (network.eval().requires_grad_(False),)

    @property
    def network(self) -> nn.Module:
        """The network itself.

        Raises:
            AttributeError: where none was hidden.
        """
        if not self._hidden:
            raise AttributeError(f"{type(self).__name__} has no network of its own.")
        return self._hidden[0]

    def _apply(self, fn: Callable[[Any], Any], *args: Any, **kwargs: Any) -> Any:
        for network in self._hidden:
            network._apply(fn, *args, **kwargs)
        return super()._apply(fn, *args, **kwargs)
