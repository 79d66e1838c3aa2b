"""What every score here shares: one signature, one way to be logged, real statistics that can be kept."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class Score(Metric):
    """A figure of generated samples beside real ones, a `torchmetrics.Metric` of one signature.

        score.update(real_samples, real=True); score.update(fake_samples, real=False); score.compute()

    Samples are (N, …), images in [−1, 1]. `compute` returns a scalar, or several by name. States of real samples are
    called `real_…` and those of fakes `fake_…`, and each declares how processes combine it: summed, or concatenated.

    To add a score, define `update` (which begins with `check_samples`), `compute`, `name` and, where two samples of
    a kind are too few, `least_samples`.
    """

    full_state_update = False
    is_differentiable = False

    name: str
    """What a scalar is called in logs and tables, such as `fd`; several bring names of their own."""

    least_samples = 2
    """The fewest samples of either kind that give a figure."""

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
                setattr(self, name, value.to(self.device))
        self._update_count = 1  # so that torchmetrics does not warn of a score that has seen nothing

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """A score's networks and statistics stay out of checkpoints."""
