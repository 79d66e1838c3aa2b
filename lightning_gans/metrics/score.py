"""What every score here shares: one signature, one way to be logged, real statistics that can be kept."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchmetrics import Metric


class Score(Metric):
    """A figure of generated samples beside real ones, a `torchmetrics.Metric` of one signature.

        score.update(real_samples, real=True); score.update(fake_samples, real=False); score.compute()

    Samples are (N, …), images in [−1, 1]. `compute` returns a scalar, or several by name. States of real samples are
    called `real_…` and those of fakes `fake_…`, and each declares how processes combine it: summed, or concatenated.
    A figure called `x_floor` is what samples of a perfect generator would have for `x`, which is above 0 because
    they are finite in number; it belongs beside it. Figures depend on the samples, not on their order.

    To add a score, define `update` (which begins with `check_samples`), `compute`, `name`, `captions` and, where two
    samples of a kind are too few, `least_samples`; `fit_data` where it must know something of the data beforehand.
    """

    full_state_update = False
    is_differentiable = False

    name: str
    """What a scalar is called in logs and tables, such as `fd`; several bring names of their own."""

    captions: ClassVar[dict[str, str]] = {}
    """What each figure means, for a newcomer: its name, such as `fd`, → a line to be read below its curve."""

    least_samples = 2
    """The fewest samples of either kind that give a figure."""

    uses_real = True
    """Whether real samples matter; where they do not, those that are given are left aside."""

    _hidden: tuple[nn.Module, ...] = ()  # nn.Module does not look into a tuple

    @property
    def network(self) -> nn.Module | None:
        """The network through which it sees samples, None where it sees them as they are."""
        return self._hidden[0] if self._hidden else None

    def fit_data(self, data: Any) -> None:
        """Take from a data module what must be known before the first samples, and refuse data that does not fit."""

    @abstractmethod
    def update(self, samples: Tensor, real: bool) -> None:
        """Take in samples (N, …) of one kind."""

    def figures(self) -> dict[str, Tensor]:
        """What `compute` returns, always by name."""
        computed = self.compute()
        return computed if isinstance(computed, dict) else {self.name: computed}

    def check_samples(self, samples: Tensor) -> None:
        """Refuse samples that would spoil the figure."""
        if not torch.isfinite(samples).all():
            bad = int((~torch.isfinite(samples)).flatten(1).any(1).sum())
            raise ValueError(
                f"{type(self).__name__}: {bad} of {len(samples)} samples hold NaN or infinity; the generator has "
                "diverged, or the data needs cleaning."
            )

    def check_count(self, kind: str, count: int) -> None:
        """Refuse to give a figure of too few samples."""
        if count < self.least_samples:
            raise ValueError(
                f"{type(self).__name__}: {count} {kind} samples; expected at least {self.least_samples}; give more "
                "(num_samples of Evaluation, or more data)."
            )

    def real_state(self) -> dict[str, Tensor]:
        """The statistics of the real samples, to be kept for later; inside `sync_context()` those of all processes."""
        state = {}
        for name, value in self.metric_state.items():
            if name.startswith("real_"):
                state[name] = torch.cat(value) if isinstance(value, list) and value else value
        return {name: value for name, value in state.items() if isinstance(value, Tensor)}

    def load_real_state(self, state: dict[str, Tensor], rank: int = 0, processes: int = 1) -> None:
        """Take up what `real_state` gave; each of several processes takes its part, so that together they have it."""
        for name, value in state.items():
            if isinstance(self.metric_state[name], list):
                share = value[rank::processes].to(self.device)
                setattr(self, name, [share] if len(share) else [])
            elif rank == 0:
                setattr(self, name, value.to(self.device, copy=True))
        self._computed = None
        self._update_count = 1  # so that torchmetrics does not warn of a score that has seen nothing

    def _hide(self, network: nn.Module | None) -> None:
        """Keep a network, frozen, where no checkpoint, optimizer or initialization looks; it follows to a device."""
        self._hidden = () if network is None else (network.eval().requires_grad_(False),)

    def _apply(self, fn: Callable[[Any], Any], *args: Any, **kwargs: Any) -> nn.Module:
        for network in self._hidden:
            network._apply(fn)
        return super()._apply(fn, *args, **kwargs)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The random numbers of torch's CPU generator from a seed for a while, and as they were afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def whole(score: Score, name: str, value: int, least: int) -> int:
    """The argument, if it is a whole number of at least so much."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{type(score).__name__}({name}={value!r}): expected a whole number of at least {least}.")
    return value
