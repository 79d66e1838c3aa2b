"""What passes through a training step: the batch, and the record of one player's step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

Batch = Tensor | tuple[Tensor, Tensor] | list[Tensor]

# names of metrics, as `GAN.metrics` returns them
PROGRESS_METRICS = ("progress/generator_updates", "progress/discriminator_updates", "progress/images")
LOGIT_METRICS = ("discriminator/real_logit", "discriminator/fake_logit", "discriminator/separation")


def per_sample(logits: Tensor) -> Tensor:
    """Return one logit for each sample, (N,): the mean of several, such as those of a discriminator of patches."""
    return logits if logits.dim() == 1 else logits.flatten(1).mean(1)


@dataclass
class Step:
    """The record of one player's step: for stabilizers, with its graph, and detached for callbacks.

    Attributes:
        loss: what the player minimises, a scalar.
        fake: generated samples as the discriminator saw them, (N, …).
        fake_logits: (N,), or (N, …) where a sample has several, such as (N, 1, H, W) of patches; (N/m,) of packs.
        real: real samples as the discriminator saw them, (N, …); in the generator's step only where the
            objective or a stabilizer reads them.
        real_logits: the same of real samples; in the generator's step only where the objective needs them.
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

    @classmethod
    def of_parts(cls, steps: Sequence[Step], shares: Sequence[float]) -> Step:
        """Return the step of a batch from the detached steps of its parts and their shares of the samples."""

        def joined(name: str) -> Any:
            tensors = [getattr(step, name) for step in steps]
            return None if tensors[0] is None else torch.cat(tensors)

        def mean(values: Sequence[Tensor]) -> Tensor:
            return torch.stack([value * share for value, share in zip(values, shares, strict=True)]).sum(0)

        names, nothing = dict.fromkeys(name for step in steps for name in step.terms), torch.zeros_like(steps[0].loss)
        return replace(
            steps[-1],
            loss=mean([step.loss for step in steps]),
            fake=joined("fake"),
            fake_logits=joined("fake_logits"),
            real=joined("real"),
            real_logits=joined("real_logits"),
            labels=joined("labels"),
            terms={name: mean([step.terms.get(name, nothing) for step in steps]) for name in names},
        )

    def logit_metrics(self) -> dict[str, Tensor]:
        """Return the mean logits and how well they separate real samples from fakes; empty without real logits.

        `discriminator/separation` is the share of pairs (real, fake), taken in the order of the batch, in which the
        real sample has the higher logit: 0.5 where the discriminator cannot tell, 1 where it always can, whatever the
        objective. Ties count one half. Of several logits of a sample the mean counts.
        """
        if self.real_logits is None:
            return {}
        real, fake = per_sample(self.real_logits), per_sample(self.fake_logits)
        pairs = min(len(real), len(fake))
        margins = real[:pairs] - fake[:pairs]
        return {
            "discriminator/real_logit": real.mean(),
            "discriminator/fake_logit": fake.mean(),
            "discriminator/separation": 0.5 + 0.5 * margins.sign().mean(),
        }
