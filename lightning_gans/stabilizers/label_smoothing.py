"""Label smoothing: soft targets for the discriminator."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from lightning_gans.gan import GAN
from lightning_gans.objectives import Objective, Wasserstein
from lightning_gans.stabilizer import Stabilizer


class LabelSmoothing(Stabilizer):
    """Move the discriminator's targets from 1 to `real` and from 0 to `fake`.

        t' = fake + t · (real − fake)

    Real samples have the target 0.9, so the discriminator gains nothing from logits that grow without bound, and
    still gives the generator a gradient. It costs nothing. The map is affine, so it also fits targets that
    `LabelFlipping`, given before it, has flipped.

    Leave `fake` at 0, which is one-sided smoothing. With two-sided smoothing the optimal discriminator is

        D(x) = (real · p_data(x) + fake · p_model(x)) / (p_data(x) + p_model(x)):

    where there are no data it tends to `fake` and not to 0, and wrong samples of the generator there are reinforced,
    as p_model in the numerator gives them no reason to move.

    Under `Hinge` the best logit stays at the margin, and only logits beyond it are pulled back. An objective that is
    linear in the logit is refused: a target rescales a term, so the real and the fake term no longer balance, and the
    critic drifts.

    Args:
        real: target of real samples, in (0, 1]; or a range [low, high] from which one is drawn for every sample,
            such as [0.7, 1.2]. A range may go beyond 1 as long as its mean does not: a cross-entropy towards more
            than 1 on average has no minimum.
        fake: target of fakes, at least 0 and below `real`; above 0 is two-sided smoothing.

    Raises:
        ValueError: for targets out of range; for an objective that is linear in the logit.

    Reference:
        Salimans et al., Improved Techniques for Training GANs, NeurIPS 2016, arXiv 1606.03498, section 3.4; Szegedy et
        al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016, arXiv 1512.00567.
    """

    def __init__(self, real: float | list[float] = 0.9, fake: float = 0.0):
        ends = list(real) if isinstance(real, list | tuple) else [real, real]
        if len(ends) != 2 or not 0 < ends[0] <= ends[1] or not sum(ends) <= 2:
            raise ValueError(
                f"LabelSmoothing(real={real}): expected a number in (0, 1], such as 0.9, or a range [low, high] above "
                "0 with a mean of at most 1, such as [0.7, 1.2]."
            )
        if not 0 <= fake < ends[0]:
            raise ValueError(
                f"LabelSmoothing(fake={fake}): expected a number of at least 0 and below real={real}; 0 is one-sided."
            )
        self.real = real
        self.fake = fake

    @override
    def apply_to(self, gan: GAN) -> None:
        """Refuse objectives that are linear in the logit."""
        base: Objective = gan.objective
        while isinstance(inner := getattr(base, "base", None), Objective):
            base = inner
        if isinstance(base, Wasserstein):
            raise ValueError(
                f"{self} with {gan.objective}: its cost is linear in the logit, so that smoothing only rescales a term "
                "and the critic drifts; leave LabelSmoothing out, or use NonSaturating, LeastSquares or Hinge."
            )

    @override
    def on_targets(self, gan: GAN, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        if self.real == 1 and self.fake == 0:
            return real, fake
        return self._smoothed(real), self._smoothed(fake)

    def _smoothed(self, targets: Tensor) -> Tensor:
        if isinstance(self.real, list | tuple):
            low, high = self.real
            return self.fake + targets * (low + (high - low) * torch.rand_like(targets) - self.fake)
        return self.fake + targets * (self.real - self.fake)
