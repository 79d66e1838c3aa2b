"""Objectives over the costs of another objective."""

from torch import Tensor
from typing_extensions import override

from lightning_gans.distributed import mean
from lightning_gans.objectives.simple import Minimax, NonSaturating, Objective


class _OverBase(Objective):
    """An objective over the costs of another one, whose generator loss needs real logits."""

    needs_real_logits = True

    def __init__(self, base: Objective | None = None):
        self.base = NonSaturating() if base is None else base
        self.needs_whole_batch = type(self).needs_whole_batch or self.base.needs_whole_batch

    @override
    def real(self, logits: Tensor) -> Tensor:
        return self.base.real(logits)

    @override
    def fake(self, logits: Tensor) -> Tensor:
        return self.base.fake(logits)

    def _given(self, real_logits: Tensor | None) -> Tensor:
        if real_logits is None:
            raise ValueError(
                f"{type(self).__name__}.generator_loss needs real_logits too, as it compares fakes with real samples; "
                "pass the discriminator's logits of a real batch."
            )
        return real_logits

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base})"


class ZeroSum(_OverBase):
    """The zero-sum game with the discriminator's whole loss: L_G = −L_D.

    With a fixed discriminator the real samples add nothing to the generator's gradient, and over `NonSaturating` this
    is `Minimax`. They do if the discriminator depends on the generator, as in unrolling, whose authors use this saddle.
    The generator's loss has hard targets.

    Args:
        base: the objective that the discriminator minimises; None is `NonSaturating`.

    Reference:
        Metz et al., Unrolled Generative Adversarial Networks, ICLR 2017, arXiv 1611.02163, equations 1–9.
    """

    @override
    def discriminator_loss(
        self,
        real_logits: Tensor,
        fake_logits: Tensor,
        real_targets: Tensor | None = None,
        fake_targets: Tensor | None = None,
    ) -> Tensor:
        return self.base.discriminator_loss(real_logits, fake_logits, real_targets, fake_targets)

    @override
    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -self.base.discriminator_loss(self._given(real_logits), fake_logits)


class Relativistic(_OverBase):
    """How much more real a real sample looks than a fake one, by the costs of another objective.

    The i-th real sample is paired with the i-th fake: with d = l_real − l_fake, the pair's target
    t = (1 + t_real − t_fake)/2 and the base's cost `real`,

        L_D = mean[(1 − t) real(−d) + t real(d)],    L_G = mean real(−d): the same with the roles swapped.

    A difference changes its sign with the roles, so what it costs as fake is what its opposite costs as real. The costs
    of cross-entropy, hinge and Wasserstein are such by themselves; those of `LeastSquares` become ½(d − 1)² and
    ½(d + 1)², the paper's but for the factor ½. Over `NonSaturating` this is R3GAN's loss,
    mean softplus(−(D(x) − D(G(z)))).

    Args:
        base: the objective whose cost `real` applies to the difference; None is `NonSaturating`. The mirrored generator
            loss never saturates, so `Minimax` is refused (it would silently be `NonSaturating`).

    Raises:
        ValueError: for `Minimax`, `ZeroSum` or a relativistic base; in use, for batches of different sizes.

    Reference:
        Jolicoeur-Martineau, The relativistic discriminator, ICLR 2019, arXiv 1807.00734; Huang et al.,
        The GAN is dead; long live the GAN! A Modern Baseline GAN, NeurIPS 2024, arXiv 2501.05441.
    """

    def __init__(self, base: Objective | None = None):
        super().__init__(base)
        if isinstance(self.base, Minimax | ZeroSum | Relativistic):
            raise ValueError(
                f"{type(self).__name__}(base={self.base}): expected a plain, non-saturating objective; use "
                "NonSaturating, LeastSquares, Hinge or Wasserstein."
            )

    @override
    def fake(self, logits: Tensor) -> Tensor:
        return self.base.real(-logits)

    @override
    def discriminator_loss(
        self,
        real_logits: Tensor,
        fake_logits: Tensor,
        real_targets: Tensor | None = None,
        fake_targets: Tensor | None = None,
    ) -> Tensor:
        if len(real_logits) != len(fake_logits):
            raise ValueError(
                f"Relativistic pairs each real sample with a fake one, but got {len(real_logits)} real and "
                f"{len(fake_logits)} fake logits; use RelativisticAverage for unequal batches."
            )
        difference = real_logits - fake_logits
        if real_targets is None and fake_targets is None:
            return self.real(difference).mean()
        real_targets = real_logits.new_ones(len(real_logits)) if real_targets is None else real_targets
        fake_targets = fake_logits.new_zeros(len(fake_logits)) if fake_targets is None else fake_targets
        return self.cost(difference, (1 + real_targets - fake_targets) / 2).mean()

    @override
    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return self.discriminator_loss(fake_logits, self._given(real_logits))  # with the roles swapped


class RelativisticAverage(Relativistic):
    """How much more real a sample looks than the average sample of the other kind.

        L_D = mean cost(l_real − mean l_fake, t_real) + mean cost(l_fake − mean l_real, t_fake)
        L_G = the same with the roles of real and fake swapped,
        cost(d, t) = (1 − t) real(−d) + t real(d), with the base's cost `real`.

    Over `LeastSquares` it is half of the paper's RaLSGAN, equations 13 and 14:
    L_D = ½ mean (l_real − mean l_fake − 1)² + ½ mean (l_fake − mean l_real + 1)². Means are over the batch of all
    processes; in validation over that of one. It is not a mean over samples, so a batch cannot be taken in parts
    (`discriminator_accumulation`, `generator_accumulation`).

    Args:
        base: as in `Relativistic`.

    Reference:
        Jolicoeur-Martineau, The relativistic discriminator, ICLR 2019, arXiv 1807.00734.
    """

    needs_whole_batch = ("discriminator", "generator")

    @override
    def discriminator_loss(
        self,
        real_logits: Tensor,
        fake_logits: Tensor,
        real_targets: Tensor | None = None,
        fake_targets: Tensor | None = None,
    ) -> Tensor:
        real, fake = real_logits - mean(fake_logits.mean()), fake_logits - mean(real_logits.mean())
        return Objective.discriminator_loss(self, real, fake, real_targets, fake_targets)
