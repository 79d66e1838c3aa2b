"""What a monitor reads off a game: one row of figures every so many batches, without touching the game."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_gans import generation
from lightning_gans.gan import GAN
from lightning_gans.networks import StochasticGenerator
from lightning_gans.randomness import seeded
from lightning_gans.step import Batch, Step

NAN = math.nan
_LAST_STEPS = 8  # logits of so many steps are kept, so that D's figures rest on more than one batch
_SLOPES_AT = 16  # samples of each kind at which D is differentiated
_NEIGHBOURS = 5


@dataclass
class Reading:
    """The state of a game at one batch; what it has not, such as a discriminator that learns, is NaN.

    Attributes:
        batch: how many batches were played.
        finite: 1 while the last losses and logits and the samples of fixed latents are numbers, else 0.
        discriminator_loss: mean of the losses since the last reading.
        generator_loss: the same of the generator.
        discriminator_loss_std: standard deviation of these losses.
        generator_loss_std: the same of the generator.
        generator_loss_change: mean of the later half of these losses less that of the earlier half.
        advantage: 1 − L_D / (L_D of the best constant logit), with hard targets and without penalties: 0 for a
            discriminator that cannot tell, 1 for one that is always right, below 0 for one that is fooled. NaN for
            objectives without a scale, such as Wasserstein's.
        separation: the share of pairs of a real and a fake sample of the last batches in which D gives the real one
            the higher logit: 0.5 where it cannot tell, 1 where it always can, below 0.5 where it is fooled. It means
            the same for every objective.
        margin: mean real logit less mean fake one, in their pooled standard deviations.
        real_score: mean σ(logit) of real samples, D(x).
        fake_score: mean σ(logit) of fakes, D(G(z)).
        generator_gradient: norm of the generator's whole gradient, before clipping; the median since the last reading.
        discriminator_gradient: the same of the discriminator.
        real_slope: mean norm of ∂D/∂x at real samples.
        fake_slope: the same at fakes.
        pull: mean |N ∂L_G/∂l| over logits l of fakes: how much the generator's loss cares for them, 0 when it has
            saturated.
        diversity: mean distance of pairs of fakes, over that of pairs of reals.
        sensitivity: the same over pairs that differ in z alone, of one class and along one route.
        energy: 2E|x − y| − E|x − x'| − E|y − y'| of reals x and fakes y, over 2E|x − y|: 0 for the same distribution,
            1 for points apart (Székely and Rizzo, Energy Statistics, 2013).
        coverage: the share of reals with a fake among their nearest neighbours (Naeem et al., 2020, arXiv 2002.09797).
        density: how many of those neighbourhoods a fake lies in, over how many a real one would.
        shift: the energy of the fakes of this reading beside those of the last: how far the distribution has moved.
        movement: mean distance by which the sample of one latent has moved since then, over that of pairs of reals.
    """

    batch: int
    finite: float = 1.0
    discriminator_loss: float = NAN
    generator_loss: float = NAN
    discriminator_loss_std: float = NAN
    generator_loss_std: float = NAN
    generator_loss_change: float = NAN
    advantage: float = NAN
    separation: float = NAN
    margin: float = NAN
    real_score: float = NAN
    fake_score: float = NAN
    generator_gradient: float = NAN
    discriminator_gradient: float = NAN
    real_slope: float = NAN
    fake_slope: float = NAN
    pull: float = NAN
    diversity: float = NAN
    sensitivity: float = NAN
    energy: float = NAN
    coverage: float = NAN
    density: float = NAN
    shift: float = NAN
    movement: float = NAN

    def figures(self) -> dict[str, float]:
        """Everything but the batch, by name."""
        return {name: value for name, value in asdict(self).items() if name != "batch"}


class Readings:
    """Takes a `Reading` of a game from its steps, its gradients and one small batch of fixed latents.

    Args:
        num_samples: fakes drawn at each reading from latents that stay the same, and four times as many reals that are
            kept to compare with.
        seed: of the latents.
    """

    def __init__(self, num_samples: int = 64, seed: int = 0):
        self.num_samples = num_samples
        self.seed = seed
        self.real: Tensor | None = None
        self.labels: Tensor | None = None
        self.latents: Tensor | None = None
        self._pool: list[Tensor] = []
        self._pool_labels: list[Tensor] = []
        self._losses: dict[str, list[Tensor]] = {"discriminator": [], "generator": []}
        self._gradients: dict[str, list[Tensor]] = {"discriminator": [], "generator": []}
        self._logits: deque[tuple[Tensor, Tensor]] = deque(maxlen=_LAST_STEPS)
        self._step: Step | None = None
        self._chance: Tensor | None = None  # D's loss at the best constant logit
        self._before: tuple[Tensor, Tensor] | None = None  # the last fakes, and their mean distance

    # ---------------------------------------------------------------- what passes by

    def note_steps(self, steps: dict[str, Step]) -> None:
        """Keep the losses of a batch, and the logits of the last few."""
        for player, step in steps.items():
            self._losses[player].append(step.loss)
        step = steps.get("discriminator")  # type: ignore[assignment]
        if step is not None and step.real_logits is not None:
            self._logits.append((step.real_logits, step.fake_logits))
            self._step = step

    def note_gradient(self, gan: GAN, optimizer: Optimizer) -> None:
        """Keep the norm of a player's gradient."""
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if gradients:
            self._gradients[gan.player_of(optimizer)].append(nn.utils.get_total_norm(gradients))

    def note_real(self, gan: GAN, batch: Batch) -> None:
        """Keep real samples until there are enough to compare with."""
        if self.real is not None:
            return
        x, labels = gan.unpack_batch(batch)
        self._pool.append(x.detach())
        if labels is not None:
            self._pool_labels.append(labels)
        if sum(map(len, self._pool)) >= 4 * self.num_samples:
            self.real = torch.cat(self._pool)[: 4 * self.num_samples].flatten(1).float()
            self.labels = torch.cat(self._pool_labels)[: len(self.real)] if self._pool_labels else None
            self._pool, self._pool_labels = [], []
            self._measure(self.real)

    def _measure(self, real: Tensor) -> None:
        distances = torch.cdist(real, real)
        self._real_spread = _mean_of_pairs(distances)  # 0 for constant data, beside which all figures are NaN
        self._radii = distances.kthvalue(min(_NEIGHBOURS + 1, len(real)), dim=1).values

    # ---------------------------------------------------------------- an interruption

    def state_dict(self) -> dict[str, Any]:
        """What the next readings rest on, so that those of a resumed run are those of an uninterrupted one."""
        return {
            "real": None if self.real is None else _packed(self.real),
            "labels": self.labels,
            "pool": list(self._pool),
            "pool_labels": list(self._pool_labels),
            "losses": {player: list(losses) for player, losses in self._losses.items()},
            "gradients": {player: list(norms) for player, norms in self._gradients.items()},
            "logits": list(self._logits),
            "before": self._before,
        }

    def load_state_dict(self, state_dict: dict[str, Any], device: torch.device | str = "cpu") -> None:
        """Restore it, on the device where the game is played."""

        def there(kept: Any) -> Any:
            return [x.to(device) if isinstance(x, Tensor) else tuple(there(x)) for x in kept]

        real, labels, before = state_dict["real"], state_dict["labels"], state_dict["before"]
        self.real = None if real is None else _unpacked(real.to(device))
        self.labels = None if labels is None else labels.to(device)
        self._pool, self._pool_labels = there(state_dict["pool"]), there(state_dict["pool_labels"])
        self._losses = {player: there(losses) for player, losses in state_dict["losses"].items()}
        self._gradients = {player: there(norms) for player, norms in state_dict["gradients"].items()}
        self._logits.extend(there(state_dict["logits"]))
        self._before = None if before is None else tuple(there(before))
        if self.real is not None:
            self._measure(self.real)

    # ---------------------------------------------------------------- a reading

    def take(self, gan: GAN, batch: int) -> Reading:
        """Read the game after `batch` batches, and begin a new stretch."""
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
        figures |= self._of_logits(gan) | self._of_samples(gan) | self._of_slopes(gan)
        figures["finite"] = self._finite(figures)
        for kept in (*self._losses.values(), *self._gradients.values()):
            kept.clear()
        return Reading(batch, **dict(zip(figures, torch.stack(list(figures.values())).tolist(), strict=True)))

    def _finite(self, figures: dict[str, Tensor]) -> Tensor:
        last = [losses[-1].float() for losses in self._losses.values() if losses]
        of_samples = [figures["samples"]] if "samples" in figures else []
        figures.pop("samples", None)
        of_logits = [logits.float().sum() for logits in self._logits[-1]] if self._logits else []
        return torch.isfinite(torch.stack([*last, *of_samples, *of_logits])).all().float()

    def _of_logits(self, gan: GAN) -> dict[str, Tensor]:
        """What the last steps say of the discriminator."""
        if not self._logits:
            return {}
        real, fake = (torch.cat([pair[kind].flatten() for pair in self._logits]).float() for kind in (0, 1))
        pairs = [real[:, None] - fake for real, fake in self._logits]
        spread = ((real.var(correction=0) + fake.var(correction=0)) / 2).sqrt()
        if self._chance is None:
            constant = torch.linspace(-4, 4, 81, device=real.device).unsqueeze(1)
            self._chance = torch.stack([gan.objective.discriminator_loss(logit, logit) for logit in constant]).min()
        loss = torch.stack([gan.objective.discriminator_loss(*pair) for pair in self._logits]).mean()
        return {
            "advantage": torch.where(self._chance > 1e-6, 1 - loss / self._chance, NAN),
            "separation": torch.stack([((pair > 0).float() + (pair >= 0).float()).mean() / 2 for pair in pairs]).mean(),
            "margin": (real.mean() - fake.mean()) / spread.clamp_min(1e-8),
            "real_score": real.sigmoid().mean(),
            "fake_score": fake.sigmoid().mean(),
        }

    @torch.no_grad()
    def _of_samples(self, gan: GAN) -> dict[str, Tensor]:
        """How the samples of the fixed latents are spread, beside real ones and those of the last reading."""
        if self.latents is None:
            source = torch.Generator().manual_seed(self.seed)
            self.latents = gan.generator.latents.sample(self.num_samples, generator=source)
        labels = generation.class_labels(gan, len(self.latents))
        labels = None if labels is None else labels.to(gan.device)
        with seeded(self.seed), generation.showing(gan):
            fake = generation.from_latents(gan, self.latents, labels).flatten(1)
            along = fake
            if isinstance(gan.generator, StochasticGenerator):
                along = generation.from_latents(gan, self.latents, labels, route=0).flatten(1)
        if self.real is None:
            return {"samples": fake.sum()}
        real = self.real
        across, among = torch.cdist(real, fake), _mean_of_pairs(torch.cdist(fake, fake))
        energy = 2 * across.mean() - self._real_spread - among
        inside = across <= self._radii[:, None]
        figures = {
            "samples": fake.sum(),
            "diversity": among / self._real_spread,
            "sensitivity": self._sensitivity(along, labels),
            "energy": energy / (2 * across.mean()),
            "coverage": inside.any(1).float().mean(),
            "density": inside.float().sum(0).mean() / _NEIGHBOURS,
        }
        if self._before is not None:
            before, among_before = self._before
            between = torch.cdist(before, fake)
            moved = 2 * between.mean() - among - among_before
            figures["shift"] = moved / (2 * between.mean()).clamp_min(1e-12)
            figures["movement"] = (fake - before).norm(dim=1).mean() / self._real_spread
        self._before = fake, among
        return figures

    def _sensitivity(self, fake: Tensor, labels: Tensor | None) -> Tensor:
        if labels is None or self.labels is None:
            return _mean_of_pairs(torch.cdist(fake, fake)) / self._real_spread
        spreads, real = [], self.real
        assert real is not None
        for kind, kinds in ((fake, labels), (real, self.labels)):
            same = (kinds[:, None] == kinds) & ~torch.eye(len(kinds), dtype=torch.bool, device=kinds.device)
            spreads.append(torch.cdist(kind, kind)[same].mean())
        return spreads[0] / spreads[1]

    def _of_slopes(self, gan: GAN) -> dict[str, Tensor]:
        """D's slopes at samples as it saw them last, in evaluation mode, so that nothing of it changes."""
        step = self._step
        if step is None or step.real is None:
            return {}
        slopes, logits = [], []
        with generation.evaluating(gan.discriminator):
            for x in (step.real, step.fake):
                x = x[:_SLOPES_AT].detach().to(gan.dtype).requires_grad_()
                labels = None if step.labels is None else step.labels[:_SLOPES_AT]
                with torch.enable_grad(), seeded(self.seed):
                    judged = gan.discriminate(gan.discriminator, x, labels)
                    (slope,) = torch.autograd.grad(judged.sum(), x)
                slopes.append(slope.flatten(1).float().norm(dim=1).mean())
                logits.append(judged.detach())
        with torch.enable_grad():
            fake = logits[1].requires_grad_()
            (pull,) = torch.autograd.grad(gan.objective.generator_loss(fake, logits[0]), fake)
        return {"real_slope": slopes[0], "fake_slope": slopes[1], "pull": len(pull) * pull.abs().mean()}


def _packed(real: Tensor) -> Tensor:
    """Samples that were bytes as bytes, a quarter of the size; others as they are."""
    whole = real.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return whole if torch.equal(_unpacked(whole), real) else real


def _unpacked(real: Tensor) -> Tensor:
    return real.float().div_(127.5).sub_(1) if real.dtype == torch.uint8 else real


def _mean_of_pairs(distances: Tensor) -> Tensor:
    """Mean over pairs of different samples."""
    number = len(distances)
    return distances.sum() / max(1, number * (number - 1))
