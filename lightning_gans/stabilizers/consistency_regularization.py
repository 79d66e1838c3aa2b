"""Consistency regularisation: the discriminator finds an augmented image as real as the image."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.schedules import Schedule, bounds, value
from lightning_gans.stabilizer import Stabilizer
from lightning_gans.stabilizers.augmentations import Augmenting, augmented, flip_and_shift
from lightning_gans.step import Step, per_sample


class ConsistencyRegularization(Augmenting):
    """Penalise what augmentations change in the discriminator's logits of real samples, and of fakes.

        real · mean (D(x) − D(T(x)))² + fake · mean (D(G(z)) − D(T(G(z))))²

    The term is added to the discriminator's loss, T drawn for each sample. With `real` alone it is CR: D is to read
    what is in an image and not where. D then accepts augmented fakes as well, so the generator may make some; with
    `fake` too (bCR, both 10) it does not. Unlike with `AdaptiveAugmentation`, the loss itself sees the images as they
    are. It does not replace a penalty or a norm of D's weights: the paper has it beside spectral normalisation.

    D(x) is one number: the mean logit, where a sample has several, as of patches. x is D's input, with the noise or
    augmentation of other stabilizers. It costs another forward and backward of D for each of the two that is above 0.

    Args:
        augmentations: T, stabilizers that change D's input, such as `RandomAffine`, in this order. None is the
            paper's: mirror images, and shifts by whole pixels up to ⅛ of each side. For points give noise.
        real: weight of the term of real samples, at least 0, or a schedule; 10 in both papers.
        fake: weight of the term of fakes, at least 0, or a schedule; 0 in CR, 10 in bCR.

    Raises:
        ValueError: for a weight out of range, what is no augmentation, or samples that an augmentation does not take.

    Reference:
        Zhang, Zhang, Odena, Lee, Consistency Regularization for Generative Adversarial Networks, ICLR 2020,
        arXiv 1910.12027; Zhao et al., Improved Consistency Regularization for GANs, AAAI 2021, arXiv 2002.04724, bCR.
    """

    def __init__(
        self, augmentations: list[Stabilizer] | None = None, real: float | Schedule = 10.0, fake: float | Schedule = 0.0
    ):
        arguments.at_least(self, 0, real=real, fake=fake)
        super().__init__(augmentations)
        self.real = real
        self.fake = fake

    @property
    def loss_terms(self) -> list[str]:
        """The names of what it adds to losses, which are logged as `loss/<name>`."""
        weights = {"real_consistency": self.real, "fake_consistency": self.fake}
        return [name for name, weight in weights.items() if bounds(weight)[1] > 0]

    @override
    def on_discriminator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        seen = (
            ("real_consistency", self.real, step.real, step.real_logits),
            ("fake_consistency", self.fake, step.fake, step.fake_logits),
        )
        for name, strength, x, logits in seen:
            weight = value(strength, gan.generator_updates)
            if weight == 0:
                continue
            assert x is not None and logits is not None and step.discriminator is not None
            changed = gan.discriminate(step.discriminator, augmented(self.chosen(gan), gan, x), step.labels)
            term = weight * (per_sample(logits) - per_sample(changed)).square().mean()
            step.terms[name] = term.detach()
            loss = loss + term
        return loss

    @override
    def by_default(self, shape: tuple[int, ...]) -> list[Stabilizer]:
        return flip_and_shift(shape)
