"""The modes of the data that a survey counts: classes, separate clusters of points, or bins of a continuum."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_gans.callbacks.health.space import PointSpace

_BINS = 10  # k-means clusters where the data have neither classes nor separate modes
_SCATTERED = 0.1  # share of points in no cluster, above which these are not the modes of the data
_REACH = 1.5  # how far a mode reaches, as a multiple of the distance from its centre that .95 of its real points have


@dataclass(frozen=True)
class Modes:
    """Where samples of the data gather.

    Attributes:
        kind: what they are: "classes", "modes" or "clusters".
        names: of each, for people.
        space: reads classes from features.
        centres: (K, D), of modes and clusters; None for classes.
        reach: (K,), distance from its centre beyond which a sample is outside of a mode; infinite for clusters.
    """

    kind: str
    names: tuple[str, ...]
    space: PointSpace
    centres: Tensor | None = None
    reach: Tensor | None = None

    def of(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """Return the mode (N,) of each sample, its label where there are any; −1 outside of all, or unsure."""
        if labels is not None:
            return torch.where(labels < len(self.names), labels, -1)  # −1: a class of which no real sample is known
        if self.centres is None:
            return self.space.classify(features)
        assert self.reach is not None
        distance, nearest = torch.cdist(features, self.centres).min(1)
        return torch.where(distance <= self.reach[nearest], nearest, -1)


def modes_of(features: Tensor, labels: Tensor | None, space: PointSpace) -> Modes:
    """Find the modes of real samples.

    They are the classes where there are labels or the space knows them; else the clusters that HDBSCAN (Campello 2013)
    finds in points of at most three dimensions, if nearly all points are in one; else ten bins by k-means.

    Args:
        features: of the samples, (N, D).
        labels: (N,), or None.
        space: of the features.
    """
    from sklearn.cluster import HDBSCAN, KMeans

    if labels is not None or space.classes:
        number = space.classes if labels is None else int(labels.max()) + 1
        kind = "digit" if labels is None else "class"
        return Modes("classes", tuple(f"{kind} {index}" for index in range(number)), space)
    x = features.cpu().numpy()
    if x.shape[1] <= 3:
        found = torch.from_numpy(HDBSCAN(min_cluster_size=max(5, len(x) // 100), copy=True).fit(x).labels_)
        found = found.to(features.device)
        if found.max() >= 1 and (found < 0).float().mean() < _SCATTERED:
            clusters = [features[found == index] for index in range(int(found.max()) + 1)]
            centres = torch.stack([cluster.mean(0) for cluster in clusters])
            reach = [
                (cluster - centre).norm(dim=1).quantile(0.95) for cluster, centre in zip(clusters, centres, strict=True)
            ]
            names = tuple(f"({', '.join(f'{value:.2g}' for value in centre.tolist())})" for centre in centres)
            return Modes("modes", names, space, centres, _REACH * torch.stack(reach))
    bins = min(_BINS, len(torch.unique(features, dim=0)))
    centres = torch.from_numpy(KMeans(bins, n_init=4, random_state=0).fit(x).cluster_centers_).to(features)
    names = tuple(f"cluster {index}" for index in range(bins))
    return Modes("clusters", names, space, centres, torch.full((bins,), torch.inf, device=features.device))
