"""Number of statistically different bins (NDB): clusters with significantly more or fewer fakes than reals."""

from __future__ import annotations

import statistics
from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.metrics.feature_score import KeptFeatures


class NDB(KeptFeatures):
    """Share of bins, clusters of the reals, in which the shares of fakes and of reals differ significantly.

        ndb     share of bins with |p_r − p_f| / √(p (1 − p) (1/N_r + 1/N_f)) above the normal quantile of α / 2
        ndb_js  Jensen–Shannon divergence of the two histograms, in nats, 0 to ln 2

    For fakes like the reals `ndb` is about α, and `ndb_js` about (num_bins − 1) (1/N_r + 1/N_f) / 8, reported as
    `ndb_floor` and `ndb_js_floor`. A dropped mode shows as bins with few fakes. The bins are found by scikit-learn's
    k-means from `seed`, which takes seconds to minutes.

    Args:
        features: the feature network; None compares the samples themselves, flattened.
        num_bins: number of bins, at least 2.
        alpha: level α of the test, above 0 and below 1.
        seed: seed of k-means, at least 0.

    Raises:
        ValueError: if an argument is out of its range, or fewer than `num_bins` real samples differ.

    Reference:
        Richardson, Weiss, "On GANs and GMMs", NeurIPS 2018, arXiv 1805.12462.
    """

    name = "ndb"
    figure_names = ("ndb", "ndb_floor", "ndb_js", "ndb_js_floor")
    for_fewer_samples = "lower its num_bins"
    captions: ClassVar[dict[str, str]] = {
        "ndb": "Share of bins that hold too many or too few generated samples. Lower is better; the floor is chance.",
        "ndb_js": "Jensen-Shannon divergence between the bins of real and of generated samples. Lower is better.",
    }

    def __init__(
        self, features: nn.Module | None = None, num_bins: int = 100, alpha: float = 0.05, seed: int = 0
    ) -> None:
        super().__init__(features)
        if not 0 < alpha < 1:
            raise ValueError(f"NDB(alpha={alpha}): expected a level above 0 and below 1, such as 0.05.")
        arguments.whole(self, 2, num_bins=num_bins)
        arguments.whole(self, 0, seed=seed)
        self.num_bins = num_bins
        self.alpha = alpha
        self.seed = seed
        self.least_samples = num_bins

    @override
    def compute(self) -> dict[str, Tensor]:
        from sklearn.cluster import KMeans

        real, fake = (features.cpu() for features in self.both())
        distinct = len(real.unique(dim=0))
        if distinct < self.num_bins:
            raise ValueError(
                f"NDB(num_bins={self.num_bins}): only {distinct} real samples differ; use fewer bins, or more data."
            )
        bins = KMeans(self.num_bins, n_init=1, random_state=self.seed).fit(real.numpy())
        counts = torch.stack(
            [
                torch.bincount(torch.from_numpy(bins.predict(x.numpy())).long(), minlength=self.num_bins).double()
                for x in (real, fake)
            ]
        )
        sizes = counts.sum(1, keepdim=True)
        shares, pooled = counts / sizes, counts.sum(0) / sizes.sum()
        error = (pooled * (1 - pooled) * (1 / sizes).sum()).sqrt()
        quantile = statistics.NormalDist().inv_cdf(1 - self.alpha / 2)
        differ = (shares[0] - shares[1]).abs() > quantile * error
        divergence = torch.special.xlogy(shares, shares / shares.mean(0)).nansum() / 2
        return {
            "ndb": differ.double().mean(),
            "ndb_floor": shares.new_tensor(self.alpha),
            "ndb_js": divergence.clamp(min=0),
            "ndb_js_floor": (self.num_bins - 1) * (1 / sizes).sum() / 8,
        }
