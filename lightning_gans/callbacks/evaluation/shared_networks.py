"""One forward per batch for scores with equal feature networks, each of which is an object of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from lightning_gans.callbacks.evaluation.real_statistics import describe, fingerprint, weights
from lightning_gans.metrics import Score


class SharedNetworks:
    """Scores whose feature networks have equal settings and weights; one network of each such group does the work.

    Configs give every score a feature network of its own, which would see every sample once per score.

    Args:
        scores: all scores.
    """

    def __init__(self, scores: Sequence[Score]):
        self.scores = scores
        groups: dict[str, list[Any]] = {}
        self._repeats: list[Score] = []
        for score in scores:
            if score.network is not None:
                key = f"{describe(score.network)} {fingerprint(weights(score.network))}"
                self._repeats += [score] if key in groups else []
                groups.setdefault(key, []).append(score.network)
        self._groups = [group for group in groups.values() if len(group) > 1]

    def repeats(self, score: Score) -> bool:
        """Return whether an earlier score's network does the work of this one's."""
        return any(score is one for one in self._repeats)

    @contextmanager
    def shared_forward(self) -> Iterator[None]:
        """Compute the features of a batch once per group inside the block, if its scores get it one after another."""
        for group in self._groups:
            forward = _LastForward(group[0].forward)
            for network in group:
                network.forward = forward
        try:
            yield
        finally:
            for group in self._groups:
                for network in group:
                    vars(network).pop("forward", None)  # two scores may have the same object


class _LastForward:
    """A forward that keeps its last output, for the same samples."""

    def __init__(self, forward: Callable[[Tensor], Tensor]):
        self.forward = forward
        self.last: tuple[Any, Tensor, Tensor] | None = None  # with the samples, so that their memory is not reused

    def __call__(self, x: Tensor) -> Tensor:
        place = (x.data_ptr(), x.shape, x.stride(), x.dtype)
        if self.last is None or self.last[0] != place:
            self.last = (place, x, self.forward(x))
        return self.last[2]
