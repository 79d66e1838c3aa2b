"""What every score shares: one signature, figures by name, statistics of real samples that can be kept."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor
from torchmetrics import Metric
from typing_extensions import override

from lightning_gans.networks.frozen import HiddenNetwork
from lightning_gans.overriding import check_names
from lightning_gans.ranges import RangeWarnings, has_images, in_unit_range, is_outside, remedy_of_range, spans


class Score(HiddenNetwork, Metric):
    """Figures of generated samples beside real ones: a `torchmetrics.Metric` with one signature.

        score.update(real_samples, real=True); score.update(fake_samples, real=False); score.compute()

    Samples are (N, …), images floats in [−1, 1]. `compute` returns a scalar, or several by name. States of real samples
    are called `real_…` and those of fakes `fake_…`, and each declares how processes combine it: summed, or
    concatenated. A figure called `x_floor` is the value of `x` for samples of a perfect generator, which is above 0
    because samples are finite in number; read the two together. Figures depend on the samples, not on their order.

    To add a score, define `update` (which begins with `check_samples`), `compute`, `name` and `captions`; where there
    are several figures, `figure_names`; where two samples of a kind are too few, `least_samples`; and `fit_data` where
    the score depends on the data module. A network that the score sees samples through is passed to `hide` in the
    constructor.
    """

    full_state_update = False
    is_differentiable = False

    name: str
    """The name of a scalar in logs and tables, such as `fd`; several figures have names of their own."""

    captions: ClassVar[dict[str, str]] = {}
    """What each figure means, for a newcomer: its name, such as `fd`, → a line to be read below its curve."""

    figure_names: tuple[str, ...] = ()
    """The names of the figures where there are several; a checkpoint that monitors another name is refused."""

    least_samples = 2
    """The fewest samples of either kind that give a figure."""

    _range_warnings: RangeWarnings | None = None  # its own, or those of the run

    for_fewer_samples = ""
    """What to change where samples are too few, for the message, such as "lower its k"."""

    uses_real = True
    """Whether the figures depend on real samples; `update` ignores them otherwise."""

    reads_labels = False
    """Whether `update` also takes `labels` (N,), those that a conditional generator was given for fakes."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a misspelled part, where the class is defined."""
        super().__init_subclass__(**kwargs)
        check_names(
            cls, Score, ("update", "compute", "captions", "least_samples", "uses_real", "reads_labels", "fit_data")
        )

    @property
    @override
    def network(self) -> Any:
        """The network through which the score sees samples, an `nn.Module`; None where it sees them as they are."""
        return self._hidden[0] if self._hidden else None

    def fit_data(self, data: Any) -> None:
        """Read what the score needs from a data module before the first samples, and refuse data that does not fit."""

    @abstractmethod
    def update(self, samples: Tensor, real: bool) -> None:
        """Add samples (N, …) of one kind, real or generated."""

    def figures(self) -> dict[str, Tensor]:
        """Return what `compute` returns, always by name."""
        computed = self.compute()
        figures: dict[Any, Any] = computed if isinstance(computed, dict) else {getattr(self, "name", None): computed}
        for name, value in figures.items():
            if not isinstance(name, str):
                raise ValueError(f"{type(self).__name__} has no name for its figure; set one, such as name = 'fd'.")
            if not isinstance(value, int | float) and getattr(value, "numel", lambda: 0)() != 1:
                raise ValueError(
                    f"{type(self).__name__}.compute returned {type(value).__name__} for {name}, expected a number; "
                    "return one tensor (), or several by name."
                )
        return figures

    def check_samples(self, samples: Tensor, real: bool | None = None) -> None:
        """Raise a ValueError for samples with NaN or infinity, and for images that are certainly not in [−1, 1].

        These are images of integers, and those without a value below 0 that go beyond 2, such as bytes as floats. A
        warning tells of others out of range, and of four or more images without any value below 0, which are in [0, 1]
        or very bright.

        Args:
            samples: (N, …); images are (N, C, H, W).
            real: whether they are real or generated; None if that is not known.
        """
        kind = {True: "real ", False: "generated ", None: ""}[real]
        if has_images(samples) and not samples.is_floating_point():
            scaled = "x.float() / 127.5 - 1" if samples.dtype == torch.uint8 else "to floats of that range"
            raise ValueError(
                f"{type(self).__name__}: the {kind}images are {samples.dtype}; expected floats in [-1, 1]; scale them: "
                f"{scaled}."
            )
        if not torch.isfinite(samples).all():
            bad = int((~torch.isfinite(samples)).flatten(1).any(1).sum())
            raise ValueError(
                f"{type(self).__name__}: {bad} of {len(samples)} samples hold NaN or infinity; the generator has "
                "diverged, or the data needs cleaning."
            )
        if has_images(samples) and samples.numel():
            low, high = (float(end) for end in samples.detach().aminmax())
            self._check_range(kind, low, high, len(samples))

    def _check_range(self, kind: str, low: float, high: float, count: int) -> None:
        span = f"the {kind}images span {spans(low, high)}; expected [-1, 1]; "
        if low >= 0 and high > 2:
            raise ValueError(f"{type(self).__name__}: {span}scale them: {remedy_of_range(low, high)}.")
        self._range_warnings = self._range_warnings or RangeWarnings()
        if is_outside(low, high):
            bound = "give the generator a bound, such as a final tanh."
            others = "normalise with mean 0.5 and std 0.5, or clamp them to [-1, 1]."
            fault, remedy = "outside", bound if kind == "generated " else others
        elif in_unit_range(low, high) and count >= 4:
            fault, remedy = "unit", "none is below 0: if they are in [0, 1], scale them: x * 2 - 1."
        else:
            return
        if self._range_warnings.is_new(fault):
            rank_zero_warn(f"{type(self).__name__}: {span}{remedy}", category=UserWarning)

    def share_warnings(self, ranges: RangeWarnings) -> None:
        """Warn of ranges together with the rest of a run, so that each fault is said once in it."""
        self._range_warnings = ranges

    def check_count(self, kind: str, count: int) -> None:
        """Raise a ValueError for fewer samples of a kind than `least_samples`."""
        if count < self.least_samples:
            raise ValueError(
                f"{type(self).__name__}: {count} {kind} samples; expected at least {self.least_samples}; give more "
                "(num_samples of Evaluation, or more data)."
            )

    def real_state(self) -> dict[str, Tensor]:
        """Return the statistics of the real samples, to be kept; inside `sync_context()` those of all processes."""
        state = {}
        for name, value in self.metric_state.items():
            if name.startswith("real_"):
                state[name] = torch.cat(value) if isinstance(value, list) and value else value
        return {name: value for name, value in state.items() if isinstance(value, Tensor)}

    def load_real_state(self, state: dict[str, Tensor], rank: int = 0, processes: int = 1) -> None:
        """Restore what `real_state` returned; each of several processes takes a part, together they have all of it."""
        for name, value in state.items():
            if isinstance(self.metric_state[name], list):
                share = value[rank::processes].to(self.device)
                setattr(self, name, [share] if len(share) else [])
            elif rank == 0:
                setattr(self, name, value.to(self.device, copy=True))
        self._computed = None
        self._update_count = 1  # or torchmetrics warns that compute() is called before update()

    def joined(self, kind: str, state: list[Tensor] | Tensor) -> Tensor:
        """Return the rows that a state keeps as one tensor (N, …), in an order that does not depend on how they came.

        Args:
            kind: "real" or "fake", for the message.
            state: the kept rows: a list of batches, or one tensor where processes have joined them.

        Raises:
            ValueError: where there are too few rows.
        """
        parts = state if isinstance(state, list) else [state]
        self.check_count(kind, sum(map(len, parts)))
        return in_fixed_order(torch.cat(parts))


def in_fixed_order(x: Tensor) -> Tensor:
    """Sort the rows of x (N, …) along one fixed direction, so that random draws among them do not depend on the order.

    The direction is the vector of cos(i √2), i = 1, 2, …
    """
    flat = x.flatten(1)
    direction = torch.arange(1, flat.shape[1] + 1, device=x.device).mul(math.sqrt(2)).cos().double()
    return x[torch.cat([part.double() @ direction for part in flat.split(4096)]).argsort(stable=True)]
