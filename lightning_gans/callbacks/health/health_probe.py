"""Measures the health of a training from its steps, its gradients and a small batch of fixed latents."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lightning_gans import generation
from lightning_gans.callbacks.health.pool import RealPool
from lightning_gans.callbacks.health.readings import NAN, Reading
from lightning_gans.callbacks.health.real_reference import RealReference, mean_of_pairs
from lightning_gans.callbacks.health.survey import Survey
from lightning_gans.gan import GAN
from lightning_gans.networks import StochasticGenerator
from lightning_gans.randomness import seeded
from lightning_gans.step import Batch, Step, per_sample
from lightning_gans.training.gradients import gradient_norms, total_norm

_LAST_STEPS = 8  # steps whose logits are kept, so that D's figures rest on more than one batch
_SLOPES_AT = 16  # samples of each kind at which D is differentiated
_WHOLE = 8  # samples of which packs take a whole number
_HELD = 64  # validation samples, beside as many of the training, at which D is compared


class HealthProbe:
    """Measures a `Reading` from what training computes anyway and one small batch of samples; training is unaffected.

    Args:
        num_samples: fakes per reading, from latents that stay the same; they are compared with four times as many real
            samples. A survey has more of both.
        seed: of the latents.
    """

    def __init__(self, num_samples: int = 64, seed: int = 0):
        self.num_samples = num_samples
        self.seed = seed
        self.pool = RealPool(4 * num_samples)
        self.latents: Tensor | None = None
        self.held = RealPool(_HELD, _HELD)  # of the validation set
        self._reference: RealReference | None = None
        self._survey: Survey | None = None
        self._losses: dict[str, list[Tensor]] = {"discriminator": [], "generator": []}
        self._gradients: dict[str, list[Tensor]] = {"discriminator": [], "generator": []}
        self._logits: deque[tuple[Tensor, Tensor]] = deque(maxlen=_LAST_STEPS)
        self._step: Step | None = None
        self._guess: Tensor | None = None  # D's loss at the best constant logit
        self._before: tuple[Tensor, Tensor] | None = None  # the last fakes, and their mean distance

    # ---------------------------------------------------------------- what is kept of every batch

    def note_steps(self, steps: dict[str, Step]) -> None:
        """Keep the losses of a batch, and the logits of the last few batches."""
        for player, step in steps.items():
            self._losses[player].append(step.loss)
        step_of_d = steps.get("discriminator")
        if step_of_d is not None and step_of_d.real_logits is not None:
            self._logits.append((step_of_d.real_logits, step_of_d.fake_logits))
            self._step = step_of_d

    def note_gradient(self, gan: GAN, optimizer: Optimizer) -> None:
        """Keep the norm of a player's gradient."""
        _, norms = gradient_norms(optimizer)
        if norms:
            self._gradients[gan.player_of(optimizer)].append(total_norm(norms))

    def note_real(self, gan: GAN, batch: Batch) -> None:
        """Keep real samples until there are enough to compare with."""
        self.pool.note(gan, batch)

    def note_held(self, gan: GAN, batch: Batch) -> None:
        """Keep the first batch of the validation set."""
        self.held.note(gan, batch)
        self.held.close()

    # ---------------------------------------------------------------- checkpoints

    def state_dict(self) -> dict[str, Any]:
        """Return what the next readings depend on, so that a resumed run has those of an uninterrupted one."""
        return {
            "pool": self.pool.state_dict(),
            "held": self.held.state_dict(),
            "losses": {player: list(losses) for player, losses in self._losses.items()},
            "gradients": {player: list(norms) for player, norms in self._gradients.items()},
            "logits": list(self._logits),
            "before": self._before,
        }

    def load_state_dict(self, state_dict: dict[str, Any], device: torch.device | str = "cpu") -> None:
        """Restore what `state_dict` returned, on the device of the training."""

        def moved(kept: Any) -> Any:
            return [x.to(device) if isinstance(x, Tensor) else tuple(moved(x)) for x in kept]

        if isinstance(state_dict["pool"], dict):  # else it is of an earlier version: the samples are collected anew
            self.pool.load_state_dict(state_dict["pool"], device)
            self.held.load_state_dict(state_dict["held"], device)
        self._losses = {player: moved(losses) for player, losses in state_dict["losses"].items()}
        self._gradients = {player: moved(norms) for player, norms in state_dict["gradients"].items()}
        self._logits.extend(moved(state_dict["logits"]))
        before = state_dict["before"]
        self._before = None if before is None else tuple(moved(before))

    # ---------------------------------------------------------------- a reading

    def measure(self, gan: GAN, batch: int, survey: bool = False) -> Reading:
        """Return the reading after `batch` batches, with a survey or not; losses and gradients are collected anew."""
        figures = self._of_losses() | self._of_logits(gan) | self._of_samples(gan) | self._of_slopes(gan)
        figures["finite"] = self._finite(figures.pop("samples"))
        for kept in (*self._losses.values(), *self._gradients.values()):
            kept.clear()
        known = dict(zip(figures, torch.stack(list(figures.values())).tolist(), strict=True))
        surveyed = self._of_survey(gan) | self._of_held(gan) if survey and known["finite"] else {}
        return Reading(batch, **known, **surveyed)

    def _finite(self, samples: Tensor) -> Tensor:
        """Return 1 where the last losses and logits, and a sum of samples, are finite, else 0."""
        losses = [losses[-1].float() for losses in self._losses.values() if losses]
        logits = [logits.float().sum() for logits in self._logits[-1]] if self._logits else []
        return torch.isfinite(torch.stack([*losses, samples, *logits])).all().float()

    def _of_losses(self) -> dict[str, Tensor]:
        """Return the figures of the losses and gradients since the last reading."""
        figures: dict[str, Tensor] = {}
        for player, losses in self._losses.items():
            if losses:
                values = torch.stack(losses).float()
                half = len(values) // 2
                figures[f"{player}_loss"] = values.mean()
                figures[f"{player}_loss_std"] = values.std(correction=0)
                if player == "generator" and half:
                    figures["generator_loss_change"] = values[half:].mean() - values[:half].mean()
        for player, norms in self._gradients.items():
            if norms:
                figures[f"{player}_gradient"] = torch.stack(norms).float().median()
        return figures

    def _of_logits(self, gan: GAN) -> dict[str, Tensor]:
        """Return how well the discriminator told real samples from fakes in the last steps."""
        if not self._logits:
            return {}
        logits = [(per_sample(real), per_sample(fake)) for real, fake in self._logits]
        real, fake = (torch.cat([pair[kind] for pair in logits]).float() for kind in (0, 1))
        spread = ((real.var(correction=0) + fake.var(correction=0)) / 2).sqrt()
        if self._guess is None:
            constant = torch.linspace(-4, 4, 81, device=real.device).unsqueeze(1)
            self._guess = torch.stack([gan.objective.discriminator_loss(logit, logit) for logit in constant]).min()
        loss = torch.stack([gan.objective.discriminator_loss(*pair) for pair in self._logits]).mean()
        return {
            "advantage": torch.where(self._guess > 1e-6, 1 - loss / self._guess, NAN),
            "separation": torch.stack([_separation(*pair) for pair in logits]).mean(),
            "margin": (real.mean() - fake.mean()) / spread.clamp_min(1e-8),
            "real_score": real.sigmoid().mean(),
            "fake_score": fake.sigmoid().mean(),
        }

    @torch.no_grad()
    def _of_samples(self, gan: GAN) -> dict[str, Tensor]:
        """Return how the samples of the fixed latents compare with real ones and with those of the last reading."""
        if self.latents is None:
            source = torch.Generator().manual_seed(self.seed)
            self.latents = gan.generator.latents.sample(self.num_samples, generator=source)
        fake, labels = self._drawn(gan, self.latents)
        fake = along = fake.flatten(1)
        if isinstance(gan.generator, StochasticGenerator):
            along = self._drawn(gan, self.latents, route=0)[0].flatten(1)
        figures = {"samples": fake.sum()}
        if self._reference is None and len(self.pool) >= self.pool.least:
            known = self.pool.labels
            few = self.pool.least
            self._reference = RealReference(self.pool.x[:few], None if known is None else known[:few])
        if self._reference is not None:
            among = mean_of_pairs(torch.cdist(fake, fake))
            figures |= self._reference.figures(fake, among, self._before)
            figures["sensitivity"] = self._reference.sensitivity(along, labels)
            self._before = fake, among
        return figures

    @torch.no_grad()
    def _of_survey(self, gan: GAN) -> dict[str, Any]:
        """Return how many samples compare with many real ones, once these are complete."""
        if self._survey is None and self.pool.closed:
            self._survey = Survey(self.pool.x, self.pool.labels)
        if self._survey is None or not self._survey.number:
            return {}
        latents = gan.generator.latents.sample(
            self._survey.number, generator=torch.Generator().manual_seed(self.seed + 1)
        )
        return self._survey.compare(*self._drawn(gan, latents)) | self._survey.of_modes()

    @torch.no_grad()
    def _of_held(self, gan: GAN) -> dict[str, float]:
        """Return how far D finds validation samples less real than the training's, on the way to fakes."""
        fakes = 0 if self._step is None else len(self._step.fake)
        count = min(_HELD, len(self.held), len(self.pool), fakes) // _WHOLE * _WHOLE  # whole packs
        if self._step is None or not count:
            return {}
        labels = self.pool.labels, self.held.labels, self._step.labels
        with generation.evaluating(gan.discriminator), seeded(self.seed):
            train, held, fake = (
                gan.discriminate(
                    gan.discriminator, x[:count].to(gan.dtype), None if label is None else label[:count]
                ).mean()
                for x, label in zip((self.pool.x, self.held.x, self._step.fake), labels, strict=True)
            )
        return {"memorised": float((train - held) / (train - fake))} if train > fake else {}

    def _drawn(self, gan: GAN, latents: Tensor, route: int | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the samples of latents, of all classes in turn, and their labels."""
        labels = generation.class_labels(gan, len(latents))
        labels = None if labels is None else labels.to(gan.device)
        with seeded(self.seed), generation.showing(gan):
            return generation.from_latents(gan, latents, labels, route=route), labels

    def _of_slopes(self, gan: GAN) -> dict[str, Tensor]:
        """Return D's slopes at the last samples it saw, in evaluation mode, so that none of its buffers change."""
        step = self._step
        if step is None or step.real is None:
            return {}
        slopes, logits = [], []
        with generation.evaluating(gan.discriminator):
            for x in (step.real, step.fake):
                x = x[:_SLOPES_AT].detach().to(gan.dtype).requires_grad_()
                labels = None if step.labels is None else step.labels[:_SLOPES_AT]
                with torch.enable_grad(), seeded(self.seed):
                    logit = gan.discriminate(gan.discriminator, x, labels)
                    (slope,) = torch.autograd.grad(per_sample(logit).sum(), x)
                rows = slope[: len(x) // len(logit) * len(logit)].reshape(len(logit), -1)  # with packs one for each
                slopes.append(rows.float().norm(dim=1).mean())
                logits.append(logit.detach())
        with torch.enable_grad():
            fake = logits[1].requires_grad_()
            (pull,) = torch.autograd.grad(gan.objective.generator_loss(fake, logits[0]), fake)
        return {"real_slope": slopes[0], "fake_slope": slopes[1], "pull": pull.numel() * pull.abs().mean()}


def _separation(real: Tensor, fake: Tensor) -> Tensor:
    """Return the share of pairs of logits in which the real one is higher; equal ones count half."""
    fake = fake.sort().values
    below = torch.searchsorted(fake, real, out_int32=True) + torch.searchsorted(fake, real, out_int32=True, right=True)
    return below.float().mean() / (2 * len(fake))
