"""A survey: many fakes beside real samples, each figure over what real samples score against one another."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans.callbacks.health.modes import Modes, modes_of
from lightning_gans.callbacks.health.real_reference import mean_of_pairs
from lightning_gans.callbacks.health.space import space_of

_NEIGHBOURS = 5
_DRAWS = 8  # of real samples against real samples, whose mean is the floor
_IMAGES, _POINTS = 256, 512  # fakes, at most
_FEWEST = 40  # real samples below which there is no survey
_PER_CLASS = 20  # real samples for each class, on average, below which they cannot tell the class of a fake
_COPY = 0.25  # share of the usual distance between neighbours within which a fake is a copy of a real image
_REPEAT = 0.2  # the same within which two fakes are one
_EXPECTED = 12  # samples that a mode must lead to expect before its absence counts
_BINS_MISSING = 2  # bins of a continuum, below which their absence is within what a GAN's training moves
_MISSING = 0.15  # share of the expected samples below which a mode is missing

_RATIOS = ("variety", "coverage", "density", "width", "gap", "spread", "least", "contrast", "sharpness", "agreement")

Figures = dict[str, float]


class Survey:
    """Compares fakes with a pool of real samples.

    The space and the modes are found from the pool; so is the floor, the mean over eight draws of what `number` real
    samples score against the others. Ratios are to this floor, so that real samples have 1.

        distance    energy distance in the space's features, 0 to 1
        variety     mean distance of two fakes in the space's features; a ratio
        coverage    share of real samples with a fake among their five nearest neighbours; a ratio
        density     how many of these neighbourhoods a fake lies in; a ratio
        width       median distance of a fake from the nearest real sample; a ratio
        gap         median distance of a fake from the nearest other fake; a ratio
        spread      mean distance of two fakes of one mode over that of two real samples, median over the modes; a ratio
        least       the same of the mode with the least
        outside     share of fakes outside of all modes, or of no certain class
        missing     number of modes with less than .15 of those fakes of any mode that the data lead to expect, at least
                    12; of the bins of a continuum at least two
        imbalance   KL(modes of fakes ‖ modes of real samples) in nats, less the floor
        repeats     share of fakes that are the same as another fake, less the floor
        copies      share of fakes that are copies of real images, less the floor; NaN for points
        contrast    standard deviation of the pixels of an image; a ratio of medians; NaN for points
        sharpness   mean |Laplacian| of an image over its contrast, relative to the real image nearest to it; a ratio;
                    NaN for points
        agreement   share of fakes that their nearest real samples put in the class they were made for; a ratio; NaN
                    without labels, or with fewer than twenty real samples for a class

    Args:
        real: samples (P, …).
        labels: (P,), or None.

    Attributes:
        number: of fakes in `compare`; 0, for no survey, with fewer than forty real samples or without variance.
        modes: of the data.
        names: of the modes that were missing at the last comparison.

    Reference:
        Székely and Rizzo, Energy Statistics, 2013; Naeem et al., Reliable Fidelity and Diversity Metrics for
        Generative Models, 2020, arXiv 2002.09797; Arora, Risteski, Zhang, Do GANs Learn the Distribution?, 2018,
        arXiv 1706.08224 (repeats).
    """

    def __init__(self, real: Tensor, labels: Tensor | None) -> None:
        self.images = real.dim() == 4
        self.number = min(_IMAGES, len(real) // 3) if self.images else min(_POINTS, len(real) // 2)
        if len(real) < _FEWEST or not real.isfinite().all() or not (real - real[:1]).any():
            self.number = 0
            return
        self.space = space_of(real)
        features = self.space.features(real)
        self.modes = modes_of(features, labels, self.space)
        self.names: list[str] = []
        pool = _Samples(real, features, self.modes.of(features, labels), labels)
        among = torch.cdist(features, features)
        flat_among = torch.cdist(pool.flat, pool.flat) if self.images else None
        source, floors = torch.Generator().manual_seed(0), []
        for _ in range(_DRAWS):
            held, kept = torch.randperm(len(real), generator=source).to(real.device).tensor_split([self.number])
            self._real = _Reference(pool.at(kept), *_parts(kept, kept, among, flat_among), self.modes)
            if not (self._real.gap > 0 and self._real.flat_gap > 0):  # most samples are the same as another
                self.number = 0
                return
            (across, flat_across), (own, flat_own) = (_parts(rows, held, among, flat_among) for rows in (kept, held))
            floors.append(self._figures(pool.at(held), across, own, flat_across, flat_own))
        self.floor = {name: _mean([floor[name] for floor in floors]) for name in floors[0]}

    def compare(self, fake: Tensor, labels: Tensor | None = None) -> Figures:
        """Return the figures of fakes (number, …), and of their classes where they are conditional."""
        features = self.space.features(fake)
        x, real = _Samples(fake, features, self.modes.of(features, labels), labels), self._real
        distances = torch.cdist(real.features, features), torch.cdist(features, features)
        flat = (torch.cdist(real.flat, x.flat), torch.cdist(x.flat, x.flat)) if self.images else distances
        figures = self._figures(x, *distances, *flat)
        for name in _RATIOS:
            figures[name] /= self.floor[name] or math.nan
        for name in ("imbalance", "repeats", "copies"):
            figures[name] -= self.floor[name]
        return figures

    def of_modes(self) -> dict[str, Any]:
        """Return the number of modes, and the names of those missing at the last comparison, as `Reading` has them."""
        return {"modes": float(len(self.modes.names)), "missing_names": tuple(self.names)}

    def _figures(
        self, fake: _Samples, across: Tensor, among: Tensor, flat_across: Tensor, flat_among: Tensor
    ) -> Figures:
        """Return the figures of samples before they are set in relation to the floor, from their distances."""
        real, nan = self._real, torch.tensor(torch.nan)
        inside = across <= real.radii[:, None]
        counts = fake.modes[fake.modes >= 0].bincount(minlength=len(real.shares))
        expected = real.shares * counts.sum()
        missing = (counts < _MISSING * expected) & (expected >= _EXPECTED)
        if self.modes.kind == "clusters" and missing.sum() < _BINS_MISSING:
            missing = torch.zeros_like(missing)
        self.names = [self.modes.names[index] for index in missing.nonzero().flatten().tolist()]
        shares = (counts + 0.5) / (counts + 0.5).sum()
        spreads = _spreads(among, fake.modes, len(counts)) / real.spreads
        spreads = spreads[spreads.isfinite()]
        figures = {
            "distance": _energy(real.among, among, across),
            "variety": mean_of_pairs(among) / mean_of_pairs(real.among),
            "coverage": inside.any(1).float().mean(),
            "density": inside.float().sum(0).mean() / _NEIGHBOURS,
            "width": across.min(0).values.median() / real.gap,
            "gap": _gaps(among).median() / real.gap,
            "spread": spreads.median() if len(spreads) else nan,
            "least": spreads.min() if len(spreads) else nan,
            "outside": (fake.modes < 0).float().mean(),
            "missing": missing.sum(),
            "imbalance": (shares * (shares / real.shares.clamp_min(1e-6)).log()).sum(),
            "repeats": (_gaps(flat_among) < _REPEAT * real.flat_gap).float().mean(),
            **dict.fromkeys(("copies", "contrast", "sharpness", "agreement"), nan),
        }
        if self.images:
            figures["copies"] = (flat_across.min(0).values < _COPY * real.flat_gap).float().mean()
            figures["contrast"] = _contrast(fake.x).median() / real.contrast
            figures["sharpness"] = (_sharpness(fake.x) / real.sharpness[across.argmin(0)]).median()
        if fake.labels is not None and real.labels is not None and len(real.x) >= _PER_CLASS * len(counts):
            voters = real.labels[across.topk(_NEIGHBOURS, dim=0, largest=False).indices]
            figures["agreement"] = (voters.mode(0).values == fake.labels).float().mean()
        return {name: float(figure) for name, figure in figures.items()}


class _Samples:
    """Samples as a survey sees them: themselves, flattened, their features, modes and labels."""

    def __init__(self, x: Tensor, features: Tensor, modes: Tensor, labels: Tensor | None) -> None:
        self.x, self.features, self.modes, self.labels = x, features, modes, labels
        self.flat = x.flatten(1).float()

    def at(self, rows: Tensor) -> _Samples:
        """Return some of them."""
        labels = None if self.labels is None else self.labels[rows]
        return _Samples(self.x[rows], self.features[rows], self.modes[rows], labels)


class _Reference(_Samples):
    """Real samples, with what is measured of them once."""

    def __init__(self, real: _Samples, among: Tensor, flat_among: Tensor, modes: Modes) -> None:
        super().__init__(real.x, real.features, real.modes, real.labels)
        self.among = among
        apart = among.clone().fill_diagonal_(torch.inf)
        self.radii = apart.kthvalue(min(_NEIGHBOURS, len(apart) - 1), dim=1).values
        self.gap, self.flat_gap = _gaps(among).median(), _gaps(flat_among).median()
        counts = self.modes[self.modes >= 0].bincount(minlength=len(modes.names))
        self.shares = counts / counts.sum()
        self.spreads = _spreads(among, self.modes, len(counts))
        if real.x.dim() == 4:
            self.contrast = _contrast(self.x).median()
            self.sharpness = _sharpness(self.x).clamp_min(1e-6)


def _parts(rows: Tensor, columns: Tensor, among: Tensor, flat_among: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the distances between some samples in features and between the samples themselves, where they differ."""
    part = among[rows[:, None], columns]
    return part, part if flat_among is None else flat_among[rows[:, None], columns]


def _gaps(among: Tensor) -> Tensor:
    """Return the distance (N,) of each sample from the nearest other one."""
    return among.clone().fill_diagonal_(torch.inf).min(1).values


def _energy(real: Tensor, fake: Tensor, across: Tensor) -> Tensor:
    return 1 - (mean_of_pairs(real) + mean_of_pairs(fake)) / (2 * across.mean())


def _spreads(distances: Tensor, modes: Tensor, number: int) -> Tensor:
    """Return the mean distance of two samples in each mode (number,), NaN where there are fewer than four."""
    member = F.one_hot(modes.clamp_min(0), number).float() * (modes >= 0)[:, None]
    counts = member.sum(0)
    sums = (member * (distances @ member)).sum(0)
    return torch.where(counts >= 4, sums / (counts * (counts - 1)), torch.nan)


def _sharpness(x: Tensor) -> Tensor:
    """Return the mean |Laplacian| (N,) of the brightness of images, over their contrast."""
    kernel = x.new_tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])[None, None]
    return F.conv2d(x.mean(1, keepdim=True), kernel).abs().mean((1, 2, 3)) / _contrast(x).clamp_min(1e-6)


def _contrast(x: Tensor) -> Tensor:
    """Return the standard deviation (N,) of the pixels of each image."""
    return x.flatten(1).std(1, correction=0)


def _mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
