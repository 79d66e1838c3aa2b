"""Adaptive augmentation: as much of it as keeps the discriminator from memorising the data."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from torch import Tensor
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.gan import GAN
from lightning_gans.objectives import Wasserstein, ZeroSum
from lightning_gans.stabilizer import Stabilizer
from lightning_gans.stabilizers.augmentations import Augmenting, augmented, moves_and_colors
from lightning_gans.stabilizers.rules import ByAccuracy
from lightning_gans.step import Step
from lightning_gans.training import TrainingLog


class AdaptiveAugmentation(Augmenting):
    """Augment the discriminator's input with a probability p that rises while the discriminator memorises real images.

        p ← p + sign(r − target) · n / images,  clamped to [0, 1],    r = mean sign D(x)

    after every `every` updates of D, where r is over the n real images of these, as D saw them. Each augmentation is
    applied to each image, real or fake, with probability p. With many images D is unsure, r stays below the target and
    p at 0; with few D comes to know them, r rises to 1, and p follows. While some images stay as they are, the
    generator learns the data and not the augmented images, which the authors found to hold up to p = 0.8. Gradients
    pass through the augmentations to the generator.

    The sign is of the side on which D places an image: above ½ under `LeastSquares`, above the mean logit of the fakes
    under relativistic objectives. Several processes share p. Given to the Trainer, p is logged as
    `discriminator/augmentation`. Validation augments with the present p. It costs the augmentations from the first time
    that r exceeds the target, and the CPU waits for the device at every `every`-th update of D.

    Attributes:
        probability: p, which a checkpoint keeps.

    Args:
        augmentations: stabilizers that change D's input, such as `RandomAffine`, applied in this order; their
            schedules count the generator's updates. None is what the paper uses, moves and colours: mirror images,
            quarter turns, sizes and shifts, turns and stretches, brightness, contrast, luma flips, hue, saturation.
        target: r above which p rises, in [−1, 1]; at 1 it stays 0.
        every: updates of D after which p moves, at least 1.
        images: real images after which p has moved from 0 to 1, above 0. The paper has 500,000 in runs of 25 million;
            the default is for runs of a few hundred thousand, such as 100 digits for a few minutes.

    Raises:
        ValueError: for a number out of range, what is no augmentation, a `Wasserstein` objective, whose logits have no
            threshold, or samples that an augmentation does not take.

    Reference:
        Karras et al., Training Generative Adversarial Networks with Limited Data, NeurIPS 2020, arXiv 2006.06676,
        section 3.
    """

    def __init__(
        self,
        augmentations: list[Stabilizer] | None = None,
        target: float = 0.6,
        every: int = 4,
        images: float = 20_000.0,
    ):
        arguments.between(self, -1, 1, target=target)
        arguments.whole(self, 1, every=every)
        arguments.positive(self, images=images)
        super().__init__(augmentations)
        self.target = target
        self.every = every
        self.images = images
        self.probability = 0.0
        self._updates = 0  # of D since p moved
        self._sums = torch.zeros(2)  # over the real images of these, of all processes: the signs, and the images
        self._own = torch.zeros(2)  # the same of this step and process

    @override
    def apply_to(self, gan: GAN) -> None:
        """Refuse an objective whose logits have no threshold, and samples that an augmentation does not take."""
        objective = gan.objective.base if isinstance(gan.objective, ZeroSum) else gan.objective
        if isinstance(objective, Wasserstein):
            raise ValueError(
                f"AdaptiveAugmentation with {gan.objective}: expected logits with a threshold between real and fake; "
                "use an augmentation without it, such as DifferentiableAugmentation, or another objective, such as "
                "NonSaturating."
            )
        super().apply_to(gan)

    @property
    def loss_terms(self) -> list[str]:
        """The names of what it adds to losses, which are logged as `loss/<name>`."""
        return []

    def metric_names(self, trainer: Trainer) -> list[str]:
        """Return the name of what it logs."""
        return ["discriminator/augmentation"]

    @override
    def on_discriminator_input(self, gan: GAN, x: Tensor) -> Tensor:
        return augmented(self.chosen(gan), gan, x, self.probability)

    @override
    def on_discriminator_loss(self, gan: GAN, step: Step, loss: Tensor) -> Tensor:
        if not gan.looking_ahead:
            assert step.real is not None
            share = ByAccuracy().discriminator_figures(gan.objective, step)["real"].detach()  # of a positive sign
            images = len(step.real)
            part = torch.stack([(2 * share - 1) * images, torch.full_like(share, images)])
            self._own = self._own.to(part) + part
        return loss

    @override
    def on_discriminator_step_end(self, gan: GAN) -> None:
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(self._own)
        self._sums, self._own = self._sums.to(self._own) + self._own, torch.zeros_like(self._own)
        self._updates += 1
        if self._updates < self.every:
            return
        signs, images = self._sums.tolist()  # the CPU waits for the device
        ratio = signs / max(images, 1)
        direction = (ratio > self.target) - (ratio < self.target)
        self.probability = min(1.0, max(0.0, self.probability + direction * images / self.images))
        self._updates, self._sums = 0, torch.zeros_like(self._sums)

    @override
    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if TrainingLog.is_due(trainer, pl_module):
            pl_module.log("discriminator/augmentation", self.probability, batch_size=1)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"probability": self.probability, "updates": self._updates, "sums": self._sums.clone()}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.probability, self._updates = state_dict["probability"], state_dict["updates"]
        self._sums = state_dict["sums"].clone()

    @override
    def by_default(self, shape: tuple[int, ...]) -> list[Stabilizer]:
        return moves_and_colors(shape)
