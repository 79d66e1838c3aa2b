"""Mode coverage of a Gaussian mixture: how many modes samples cover, how evenly, and how many samples are noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.metrics.score import Score


class ModeCoverage(Score):
    """Coverage of a mixture of K equal, round Gaussians whose means and σ are known, such as `GaussianRing`.

        high_quality  share of fakes within `radius` σ of the nearest mean, 0–1
        modes         number of means that are the nearest of at least one high-quality fake
        reverse_kl    ln K − H(histogram of the high-quality fakes over the modes), in nats; ln K where there are none
        sigma_ratio   their σ within the modes, about their own means, over the true σ; NaN unless a mode has two

    Samples of the mixture itself do not score 1: in the plane 0.9889 of them lie within 3σ, and the σ of these is 0.974
    of the true one. A larger share of high quality, or a lower ratio, means modes that are too narrow. Their reverse KL
    is about (K − 1) / 2N for N fakes, reported as `reverse_kl_floor`. The number of modes alone is misleading: one
    sample is enough, and a broad cloud covers modes at random. Real samples are ignored. The cost is negligible.

    Args:
        means: the K centres (K, D); None takes `means` of the data module.
        sigma: standard deviation of a mode along each axis, above 0; None takes `sigma` of the data module.
        radius: largest distance of a high-quality sample from its mean, in units of σ, above 0.

    Raises:
        ValueError: if an argument is out of its range, the data module has no `means` and `sigma`, or samples have
            another dimension.

    Reference:
        Srivastava, Valkov, Russell, Gutmann, Sutton, "VEEGAN: Reducing Mode Collapse in GANs using Implicit
        Variational Learning", NeurIPS 2017, arXiv 1705.07761; Lin, Khetan, Fanti, Oh, "PacGAN: The Power of Two
        Samples in Generative Adversarial Networks", NeurIPS 2018, arXiv 1712.04086.
    """

    name = "modes"
    figure_names = ("modes", "high_quality", "reverse_kl", "reverse_kl_floor", "sigma_ratio")
    captions: ClassVar[dict[str, str]] = {
        "modes": "How many modes of the distribution the generator finds. Higher is better.",
        "high_quality": "The share of samples close to a mode. Higher is better, up to what real samples reach.",
        "reverse_kl": "How unevenly samples are spread over the modes, in nats. Lower is better; the floor is what a "
        "perfect generator reaches.",
        "sigma_ratio": "Spread of samples within a mode over the true one. 1 is right; below 1 is too narrow.",
    }
    least_samples = 1
    uses_real = False
    fake_counts: Tensor
    fake_sums: Tensor
    fake_squares: Tensor
    fake_total: Tensor

    def __init__(
        self, means: Sequence[Sequence[float]] | None = None, sigma: float | None = None, radius: float = 3.0
    ) -> None:
        super().__init__()
        arguments.positive(self, sigma=sigma, radius=radius)
        self.means = means
        self.sigma = sigma
        self.radius = radius
        self._sigma = sigma
        self._centres: Tensor | None = None
        if means is not None:
            self._allocate(means)

    @override
    def fit_data(self, data: Any) -> None:
        """Read the means and σ that were not given from the data module."""
        for name in ("means", "sigma"):
            if getattr(self, name) is None and getattr(data, name, None) is None:
                raise ValueError(
                    f"ModeCoverage: {type(data).__name__} has no {name}; use it on GaussianRing or GaussianGrid, "
                    "or give means and sigma."
                )
        if self.means is None:
            self._allocate(data.means)
        if self.sigma is None:
            self._sigma = float(data.sigma)
        if hasattr(data, "sample_shape"):
            self._check_shape(tuple(data.sample_shape))

    @override
    def update(self, samples: Tensor, real: bool) -> None:
        if real:
            return
        self.check_samples(samples, real)
        if self._centres is None or self._sigma is None:
            raise ValueError("ModeCoverage: the modes are not known; give means and sigma, or call fit_data first.")
        self._check_shape(tuple(samples.shape[1:]))
        x, centres = samples.detach().double(), self._centres.to(samples.device)
        distances, nearest = torch.cdist(x, centres, compute_mode="donot_use_mm_for_euclid_dist").min(1)
        good = distances <= self.radius * self._sigma
        offsets, nearest = (x - centres[nearest])[good], nearest[good]
        self.fake_total += len(x)
        self.fake_counts += torch.bincount(nearest, minlength=len(centres))
        self.fake_sums.index_add_(0, nearest, offsets)
        self.fake_squares += offsets.square().sum()

    @override
    def compute(self) -> dict[str, Tensor]:
        self.check_count("fake", int(self.fake_total))
        counts = self.fake_counts.double()
        good, captured, modes, sigma = counts.sum(), counts > 0, len(counts), self._sigma or math.nan
        shares = counts[captured] / good
        within = self.fake_squares - (self.fake_sums[captured].square().sum(1) / counts[captured]).sum()
        variance = within / (self.fake_sums.shape[1] * (good - captured.sum()))
        entropy = -(shares * shares.log()).sum()
        return {
            "modes": captured.sum(),
            "high_quality": good / self.fake_total,
            "reverse_kl": (math.log(modes) - entropy).clamp(min=0),
            "reverse_kl_floor": (modes - 1) / (2 * self.fake_total.double()),
            "sigma_ratio": variance.clamp(min=0).sqrt() / sigma,
        }

    def _allocate(self, means: Any) -> None:
        self._centres = torch.as_tensor(means, dtype=torch.float64).detach().cpu()
        if self._centres.dim() != 2 or not self._centres.numel() or not self._centres.isfinite().all():
            raise ValueError(
                f"ModeCoverage(means={means}): expected finite centres (K, D); give a list of points, one a mode."
            )
        modes, dimensions = self._centres.shape
        self.add_state("fake_counts", torch.zeros(modes, dtype=torch.long, device=self.device), dist_reduce_fx="sum")
        zeros = torch.zeros(modes, dimensions, dtype=torch.float64, device=self.device)
        self.add_state("fake_sums", zeros, dist_reduce_fx="sum")
        self.add_state("fake_squares", zeros.new_zeros(()), dist_reduce_fx="sum")
        self.add_state("fake_total", torch.zeros((), dtype=torch.long, device=self.device), dist_reduce_fx="sum")

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        expected = tuple(self.fake_sums.shape[1:])
        if shape != expected:
            raise ValueError(
                f"ModeCoverage: samples have shape {shape} and the modes {expected}; give means of as many dimensions, "
                "or leave this score out if samples are no points."
            )
