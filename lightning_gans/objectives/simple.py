"""The base class of objectives, and those that read one logit at a time."""

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from lightning_gans.overriding import check_names


class Objective(ABC):
    """The losses of both players, from the discriminator's costs of a logit as real and as fake.

    With costs per sample `real(l)` and `fake(l)` and targets t (1 is real, 0 is fake)

        L_D = mean[(1 − t) fake(l) + t real(l)] over the real samples + the same over the fake samples
        L_G = mean[real(l)] over the fake samples

    A soft target gives the expected cost under label noise. For the cross-entropy that is exactly the soft-label
    cross-entropy; for least squares it has the gradient of the squared distance to t. Smoothing and flipping of
    labels therefore mean the same under every objective.

    Logits are (N,), or (N, …) where a sample has several, as that of a discriminator of patches, (N, 1, H, W): a mean
    is then over all of them. Targets are (N,), one for all logits of a sample. Costs are per logit, losses are scalars.
    A subclass defines `real` and `fake`, and overrides `generator_loss` if the generator's cost is not `real`.
    """

    needs_real_logits = False
    """Whether the generator's loss reads the logits of real samples (relativistic objectives do)."""

    needs_whole_batch: tuple[str, ...] = ()
    """The players whose loss is another function of the batch than a mean, so that it cannot be taken in parts."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a misspelled part, where the class is defined."""
        super().__init_subclass__(**kwargs)
        parts = (
            "real",
            "fake",
            "cost",
            "discriminator_loss",
            "generator_loss",
            "needs_real_logits",
            "needs_whole_batch",
        )
        check_names(cls, Objective, parts)

    @abstractmethod
    def real(self, logits: Tensor) -> Tensor:
        """Return the discriminator's cost of each logit with the target 1, of the logits' shape."""

    @abstractmethod
    def fake(self, logits: Tensor) -> Tensor:
        """Return the discriminator's cost of each logit with the target 0, of the logits' shape."""

    def cost(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the cost of each logit with its sample's target, which stabilizers may move out of [0, 1]."""
        if targets.dim() < logits.dim():
            targets = targets.view(*targets.shape, *[1] * (logits.dim() - targets.dim()))
        return torch.lerp(self.fake(logits), self.real(logits), targets.to(logits.dtype))

    def discriminator_loss(
        self,
        real_logits: Tensor,
        fake_logits: Tensor,
        real_targets: Tensor | None = None,
        fake_targets: Tensor | None = None,
    ) -> Tensor:
        """Return the discriminator's loss; targets left out are 1 for real samples and 0 for fakes."""
        real = self.real(real_logits) if real_targets is None else self.cost(real_logits, real_targets)
        fake = self.fake(fake_logits) if fake_targets is None else self.cost(fake_logits, fake_targets)
        return real.mean() + fake.mean()

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Return the generator's loss; `real_logits` are required where `needs_real_logits` is True."""
        return self.real(fake_logits).mean()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class NonSaturating(Objective):
    """Cross-entropy for the discriminator; the generator maximises log σ(l) on its fakes.

    real(l) = softplus(−l) = −log σ(l), fake(l) = softplus(l) = −log(1 − σ(l)), L_G = mean softplus(−l).

    Reference:
        Goodfellow et al., Generative Adversarial Nets, NeurIPS 2014, arXiv 1406.2661.
    """

    @override
    def real(self, logits: Tensor) -> Tensor:
        return F.softplus(-logits)

    @override
    def fake(self, logits: Tensor) -> Tensor:
        return F.softplus(logits)


class Minimax(NonSaturating):
    """The zero-sum game: the generator minimises log(1 − σ(l)), which saturates where D recognises the fakes.

    The discriminator's cost is that of `NonSaturating`; L_G = −mean softplus(l).

    Reference:
        Goodfellow et al., Generative Adversarial Nets, NeurIPS 2014, arXiv 1406.2661.
    """

    @override
    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -self.fake(fake_logits).mean()


class Wasserstein(Objective):
    """The difference of mean logits, which is the Wasserstein-1 distance under the best Lipschitz critic.

    real(l) = −l, fake(l) = l, L_G = −mean l. It requires a constraint on the critic: `WeightClipping`,
    `GradientPenalty` or spectral normalisation.

    Reference:
        Arjovsky, Chintala and Bottou, Wasserstein GAN, ICML 2017, arXiv 1701.07875.
    """

    @override
    def real(self, logits: Tensor) -> Tensor:
        return -logits

    @override
    def fake(self, logits: Tensor) -> Tensor:
        return logits


class LeastSquares(Objective):
    """Squared distance of the discriminator's output to 1 on real and to 0 on fake.

    real(l) = ½(l − 1)², fake(l) = ½l², L_G = mean ½(l − 1)².

    Reference:
        Mao et al., Least Squares Generative Adversarial Networks, ICCV 2017, arXiv 1611.04076.
    """

    @override
    def real(self, logits: Tensor) -> Tensor:
        return 0.5 * (logits - 1).square()

    @override
    def fake(self, logits: Tensor) -> Tensor:
        return 0.5 * logits.square()


class Hinge(Objective):
    """The discriminator's cost is 0 beyond a margin of 1; the generator's cost is linear.

    real(l) = max(0, 1 − l), fake(l) = max(0, 1 + l), L_G = −mean l.

    Reference:
        Lim and Ye, Geometric GAN, 2017, arXiv 1705.02894; Miyato et al., Spectral Normalization for
        Generative Adversarial Networks, ICLR 2018, arXiv 1802.05957.
    """

    @override
    def real(self, logits: Tensor) -> Tensor:
        return F.relu(1 - logits)

    @override
    def fake(self, logits: Tensor) -> Tensor:
        return F.relu(1 + logits)

    @override
    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -fake_logits.mean()
