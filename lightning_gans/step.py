"""What passes through a training step: the batch, and the record of one player's step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

Batch = Tensor | tuple[Tensor, Tensor] | list[Tensor]

# names of metrics, as `GAN.metrics` returns them
PROGRESS_METRICS = ("progress/generator_updates", "progress/discriminator_updates", "progress/images")
LOGIT_METRICS = ("discriminator/real_logit", "discriminator/fake_logit", "discriminator/separation")


@dataclass
class Step:
    """The record of one player's step: for stabilizers, with its graph, and detached for callbacks.

    Attributes:
        loss: what the player minimises, a scalar.
        fake: generated samples as the discriminator saw them, (N, …).
        fake_logits: (N,).
        real: real samples as the discriminator saw them, (N, …); in the generator's step only where the
            objective or a stabilizer reads them.
        real_logits: (N,); in the generator's step only where the objective needs them.
        labels: (N,) integers of a conditional GAN, else None.
        discriminator: the module or function that returned the logits; None after `detached` if it is a function.
        terms: what stabilizers added to the loss, by name, for the log.
        batch: the batch of a detached step, counted from 1; 0 without a Trainer.
    """

    loss: Tensor
    fake: Tensor
    fake_logits: Tensor
    real: Tensor | None = None
    real_logits: Tensor | None = None
    labels: Tensor | None = None
    discriminator: Callable[..., Tensor] | None = None
    terms: dict[str, Tensor] = field(default_factory=dict)
    batch: int = 0

    def detached(self, batch: int = 0) -> Step:
        """Return the same record without its graph, with the number of its batch."""
        return replace(
            self,
            loss=self.loss.detach(),
            fake=self.fake.detach(),
            fake_logits=self.fake_logits.detach(),
            real=None if self.real is None else self.real.detach(),
            real_logits=None if self.real_logits is None else self.real_logits.detach(),
            discriminator=self.discriminator if isinstance(self.discriminator, nn.Module) else None,
            terms={name: term.detach() for name, term in self.terms.items()},
            batch=batch,
        )

    def logit_metrics(self) -> dict[str, Tensor]:
        """Return the mean logits and how well they separate real samples from fakes; empty without real logits.

        `discriminator/separation` is the share of pairs (real, fake), taken in the order of the batch, in which the
        real sample has the higher logit: 0.5 where the discriminator cannot tell, 1 where it always can, whatever the
        objective. Ties count one half.
        """
        if self.real_logits is None:
            return {}
        pairs = min(len(self.real_logits), len(self.fake_logits))
        margins = self.real_logits[:pairs] - self.fake_logits[:pairs]
        return {
            "discriminator/real_logit": self.real_logits.mean(),
            "discriminator/fake_logit": self.fake_logits.mean(),
            "discriminator/separation": 0.5 + 0.5 * margins.sign().mean(),
        }
