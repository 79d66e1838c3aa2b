"""What the two players pay: objectives as two per-sample functions of a logit."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans.distributed import mean


class Objective(ABC):
    """What the discriminator pays for a logit as real and as fake, and what the generator pays for it.

    With per-sample costs `real(l)` and `fake(l)` and targets t (1 is real, 0 is fake)

        L_D = mean[(1 − t) fake(l) + t real(l)] over the real samples + the same over the fake samples
        L_G = mean[real(l)] over the fake samples

    A soft target is the expected cost under label noise. For the cross-entropy that is the soft-label
    cross-entropy exactly; for least squares it has the gradient of the squared distance to t. Smoothing
    and flipping of labels therefore mean the same under every objective.

    Logits and targets are tensors of shape (N,); costs are returned per sample, losses as scalars.
    To write an objective, define `real` and `fake`, and override `generator_loss` where the generator
    does not pay `real`.
    """

    needs_real_logits = False
    """Whether the generator's loss reads the logits of real samples (relativistic objectives do)."""

    @abstractmethod
    def real(self, logits: Tensor) -> Tensor:
        """What the discriminator pays for each logit if its sample is called real."""

    @abstractmethod
    def fake(self, logits: Tensor) -> Tensor:
        """What the discriminator pays for each logit if its sample is called fake."""

    def cost(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The cost per sample under targets in [0, 1], or beyond where a stabilizer says so."""
        return torch.lerp(self.fake(logits), self.real(logits), targets.to(logits.dtype))

    def discriminator_loss(
        self,
        real_logits: Tensor,
        fake_logits: Tensor,
        real_targets: Tensor | None = None,
        fake_targets: Tensor | None = None,
    ) -> Tensor:
        """The discriminator's loss; targets left out are 1 for real samples and 0 for fakes."""
        real = self.real(real_logits) if real_targets is None else self.cost(real_logits, real_targets)
        fake = self.fake(fake_logits) if fake_targets is None else self.cost(fake_logits, fake_targets)
        return real.mean() + fake.mean()

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """The generator's loss; `real_logits` are given where `needs_real_logits` asks for them."""
        return self.real(fake_logits).mean()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class NonSaturating(Objective):
    """Cross-entropy for the discriminator; the generator maximises log σ(l) on its fakes.

    real(l) = softplus(−l) = −log σ(l), fake(l) = softplus(l) = −log(1 − σ(l)), L_G = mean softplus(−l).

    Reference:
        Goodfellow et al., Generative Adversarial Nets, NeurIPS 2014, arXiv 1406.2661.
    """

    def real(self, logits: Tensor) -> Tensor:
        """−log σ(l)."""
        return F.softplus(-logits)

    def fake(self, logits: Tensor) -> Tensor:
        """−log(1 − σ(l))."""
        return F.softplus(logits)


class Minimax(NonSaturating):
    """The zero-sum game: the generator minimises log(1 − σ(l)), which saturates where D is sure of fakes.

    The discriminator's cost is that of `NonSaturating`; L_G = −mean softplus(l).

    Reference:
        Goodfellow et al., Generative Adversarial Nets, NeurIPS 2014, arXiv 1406.2661.
    """

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Mean log(1 − σ(l))."""
        return -self.fake(fake_logits).mean()


class ZeroSum(Objective):
    """What one player wins the other loses, the discriminator's whole loss: L_G = −L_D.

    Against a fixed discriminator the real samples add nothing to the generator's gradient, and over
    `NonSaturating` this is `Minimax`. They do where the discriminator depends on the generator, as in
    unrolling, whose authors play this saddle. L_D is that of hard targets.

    Args:
        base: the objective that the discriminator minimises; None is `NonSaturating`.

    Reference:
        Metz et al., Unrolled Generative Adversarial Networks, ICLR 2017, arXiv 1611.02163, equations 1–9.
    """

    needs_real_logits = True

    def __init__(self, base: Objective | None = None):
        self.base = NonSaturating() if base is None else base

    def real(self, logits: Tensor) -> Tensor:
        """What the base charges a logit as real."""
        return self.base.real(logits)

    def fake(self, logits: Tensor) -> Tensor:
        """What the base charges a logit as fake."""
        return self.base.fake(logits)

    def discriminator_loss(
        self,
        real_logits: Tensor,
        fake_logits: Tensor,
        real_targets: Tensor | None = None,
        fake_targets: Tensor | None = None,
    ) -> Tensor:
        """The base's."""
        return self.base.discriminator_loss(real_logits, fake_logits, real_targets, fake_targets)

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Minus the discriminator's loss."""
        return -self.base.discriminator_loss(_given(self, real_logits), fake_logits)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base})"


class Wasserstein(Objective):
    """The difference of means that a Lipschitz critic turns into the Wasserstein-1 distance.

    real(l) = −l, fake(l) = l, L_G = −mean l. It needs a constraint on the critic: `WeightClipping`,
    `GradientPenalty` or spectral normalisation.

    Reference:
        Arjovsky, Chintala and Bottou, Wasserstein GAN, ICML 2017, arXiv 1701.07875.
    """

    def real(self, logits: Tensor) -> Tensor:
        """−l."""
        return -logits

    def fake(self, logits: Tensor) -> Tensor:
        """The logit itself."""
        return logits


class LeastSquares(Objective):
    """Squared distance of the discriminator's output to 1 on real and to 0 on fake.

    real(l) = ½(l − 1)², fake(l) = ½l², L_G = mean ½(l − 1)².

    Reference:
        Mao et al., Least Squares Generative Adversarial Networks, ICCV 2017, arXiv 1611.04076.
    """

    def real(self, logits: Tensor) -> Tensor:
        """½(l − 1)²."""
        return 0.5 * (logits - 1).square()

    def fake(self, logits: Tensor) -> Tensor:
        """½l²."""
        return 0.5 * logits.square()


class Hinge(Objective):
    """The discriminator pays within a margin of 1 only; the generator's cost is linear.

    real(l) = max(0, 1 − l), fake(l) = max(0, 1 + l), L_G = −mean l.

    Reference:
        Lim and Ye, Geometric GAN, 2017, arXiv 1705.02894; Miyato et al., Spectral Normalization for
        Generative Adversarial Networks, ICLR 2018, arXiv 1802.05957.
    """

    def real(self, logits: Tensor) -> Tensor:
        """max(0, 1 − l)."""
        return F.relu(1 - logits)

    def fake(self, logits: Tensor) -> Tensor:
        """max(0, 1 + l)."""
        return F.relu(1 + logits)

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """−mean l: no margin for the generator."""
        return -fake_logits.mean()


class Relativistic(Objective):
    """How much more real a real sample looks than a fake one, judged by another objective.

    The i-th real sample is paired with the i-th fake: with d = l_real − l_fake and the pair's target
    t = (1 + t_real − t_fake)/2,

        L_D = mean[(1 − t) fake(d) + t real(d)],    L_G = mean real(−d): the same with the roles swapped.

    Over `NonSaturating` this is R3GAN's loss, mean softplus(−(D(x) − D(G(z)))).

    Args:
        base: the objective that judges the difference. The mirrored generator loss never saturates, so
            `Minimax` is refused (it would silently be `NonSaturating`).

    Raises:
        ValueError: for a base that is itself relativistic, or `Minimax`.

    Reference:
        Jolicoeur-Martineau, The relativistic discriminator, ICLR 2019, arXiv 1807.00734; Huang et al.,
        The GAN is dead; long live the GAN! A Modern Baseline GAN, NeurIPS 2024, arXiv 2501.05441.
    """

    needs_real_logits = True

    def __init__(self, base: Objective | None = None):
        self.base = NonSaturating() if base is None else base
        if isinstance(self.base, Minimax | ZeroSum | Relativistic):
            raise ValueError(
                f"{type(self).__name__}(base={self.base}): the base must be a plain, non-saturating objective; "
                "use NonSaturating, LeastSquares, Hinge or Wasserstein."
            )

    def real(self, logits: Tensor) -> Tensor:
        """What the base charges a difference of logits as real."""
        return self.base.real(logits)

    def fake(self, logits: Tensor) -> Tensor:
        """What the base charges a difference of logits as fake."""
        return self.base.fake(logits)

    def discriminator_loss(
        self,
        real_logits: Tensor,
        fake_logits: Tensor,
        real_targets: Tensor | None = None,
        fake_targets: Tensor | None = None,
    ) -> Tensor:
        """The cost of the pairs; batches of real and fake must be of one size."""
        if len(real_logits) != len(fake_logits):
            raise ValueError(
                f"Relativistic pairs each real sample with a fake one, but got {len(real_logits)} real and "
                f"{len(fake_logits)} fake logits; use RelativisticAverage for unequal batches."
            )
        difference = real_logits - fake_logits
        if real_targets is None and fake_targets is None:
            return self.real(difference).mean()
        real_targets = torch.ones_like(real_logits) if real_targets is None else real_targets
        fake_targets = torch.zeros_like(fake_logits) if fake_targets is None else fake_targets
        return self.cost(difference, (1 + real_targets - fake_targets) / 2).mean()

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """The discriminator's loss with real and fake swapped."""
        return self.discriminator_loss(fake_logits, _given(self, real_logits))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base})"


class RelativisticAverage(Relativistic):
    """How much more real a sample looks than the average sample of the other kind.

        L_D = mean cost(l_real − mean l_fake, t_real) + mean cost(l_fake − mean l_real, t_fake)
        L_G = the same with the roles of real and fake swapped.

    Means are over the batch of all processes; in validation over that of one.

    Reference:
        Jolicoeur-Martineau, The relativistic discriminator, ICLR 2019, arXiv 1807.00734.
    """

    def discriminator_loss(
        self,
        real_logits: Tensor,
        fake_logits: Tensor,
        real_targets: Tensor | None = None,
        fake_targets: Tensor | None = None,
    ) -> Tensor:
        """The cost of each sample relative to the mean of the other kind."""
        return Objective.discriminator_loss(
            self,
            real_logits - mean(fake_logits.mean()),
            fake_logits - mean(real_logits.mean()),
            real_targets,
            fake_targets,
        )


def _given(objective: Objective, real_logits: Tensor | None) -> Tensor:
    if real_logits is None:
        raise ValueError(
            f"{type(objective).__name__}.generator_loss needs real_logits too: the generator is judged "
            "against real samples; pass the discriminator's logits of a real batch."
        )
    return real_logits
