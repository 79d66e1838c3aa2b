"""One look at each batch for scores that see through equal networks, each of which is an object of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from lightning_gans.callbacks.evaluation.real_statistics import describe, fingerprint, weights
from lightning_gans.metrics import Score


class SharedNetworks:
    """Scores whose networks have equal settings and weights; of each such group one network does the work.

    Configs give every score a feature network of its own, which would see every sample as often as there are scores.

    Args:
        scores: all scores.
    """

    def __init__(self, scores: Sequence[Score]):
        self.scores = scores
        groups: dict[str, list[Any]] = {}
        for score in scores:
            if score.network is not None:
                key = f"{describe(score.network)} {fingerprint(weights(score.network))}"
                groups.setdefault(key, []).append(score.network)
        self._groups = [group for group in groups.values() if len(group) > 1]

    @contextmanager
    def looking_once(self) -> Iterator[None]:
        """Meanwhile a group looks at samples once, if its scores are shown them one after the other."""
        for group in self._groups:
            look = _Look(group[0].forward)
            for network in group:
                network.forward = look
        try:
            yield
        finally:
            for group in self._groups:
                for network in group:
                    vars(network).pop("forward", None)  # it may be the object of several scores


class _Look:
    """A forward that is not repeated on the samples that it has just seen."""

    def __init__(self, forward: Callable[[Tensor], Tensor]):
        self.forward = forward
        self.last: tuple[Any, Tensor, Tensor] | None = None  # the samples too, lest others come to lie in their place

    def __call__(self, x: Tensor) -> Tensor:
        place = (x.data_ptr(), x.shape, x.stride(), x.dtype)
        if self.last is None or self.last[0] != place:
            self.last = (place, x, self.forward(x))
        return self.last[2]
