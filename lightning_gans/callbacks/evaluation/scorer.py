"""Scores of a generator beside the real samples of a split; every process takes its share of both."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lightning_gans import generation
from lightning_gans.attached import attached
from lightning_gans.callbacks.evaluation.real_samples import RealSamples
from lightning_gans.callbacks.evaluation.real_statistics import RealStatistics
from lightning_gans.callbacks.evaluation.scoreboard import Scoreboard
from lightning_gans.callbacks.evaluation.scoring import Figures, compute_figures, sample_counts, try_score
from lightning_gans.callbacks.evaluation.shared_networks import SharedNetworks
from lightning_gans.callbacks.evaluation.shares import seeded_batches, shares
from lightning_gans.callbacks.trainer_attributes import is_trial
from lightning_gans.gan import GAN
from lightning_gans.metrics import Score
from lightning_gans.randomness import seeded
from lightning_gans.training import DataGuard

_NAN = "the generator makes NaN or infinity; go back to an earlier checkpoint, with a lower learning rate."


class Scorer:
    """Scores with the statistics of the real samples of one split, which then score the generator again and again.

    Args:
        trainer: whose data is used, and whose processes share the work.
        gan: the model; unpacks batches, and says on which device.
        split: whose real samples to compare with.
        scores: as in `Evaluation`, like the other arguments.
        num_samples: fakes to generate; None for as many as there are real samples.
        seed: of the latents and whatever else the generator draws.
        statistics: folder of the statistics of real samples; None keeps nothing.
        batch_size: samples at a time, in each process.

    Attributes:
        data_name: name of the data.
        num_real: number of real samples.
        num_fake: number of generated samples.
        source: the data and the split, for messages.
        seconds: about how long an evaluation takes, by the time of two samples and without computing the figures.
    """

    @torch.inference_mode(False)
    @torch.no_grad()
    def __init__(
        self,
        trainer: Trainer,
        gan: GAN,
        split: str,
        scores: Sequence[Score],
        num_samples: int | None,
        seed: int,
        statistics: str | None,
        batch_size: int,
    ):
        self.scores = scores
        self.seed = seed
        self.statistics = statistics
        self.batch_size = batch_size
        self._samples = samples = RealSamples(trainer, split)
        with seeded(0):  # data may be random; what is compared is always the same
            (self._few,) = samples.read(gan, [torch.arange(len(samples))[:: max(1, len(samples) // 8)][:8]])
        self.data_name = samples.data_name
        self.source = f"{split} split of {samples.data_name}"
        self._share_warnings(trainer)
        self._networks = SharedNetworks(scores)
        faults: list[str] = []
        each = self._try(gan, samples, self._few[:2], faults)
        try:
            counts = sample_counts(scores, num_samples, len(samples), is_trial(trainer), self.source)
        except ValueError as error:
            faults.append(str(error))
        if faults:
            raise ValueError(" ".join(dict.fromkeys(faults)))  # scores with one feature network have one fault
        self.num_real, self.num_fake = counts
        self.seconds = self.num_fake * (each + self._try_generator(gan)) / trainer.world_size
        self._real: list[dict[str, Tensor]] = []

    @torch.inference_mode(False)
    @torch.no_grad()
    def prepare(self, trainer: Trainer, gan: GAN) -> None:
        """Get the statistics of the real samples, from disk or from the samples; once, before `score`."""
        self._real = self._real_states(trainer, gan, self._samples, self._few)

    def _share_warnings(self, trainer: Trainer) -> None:
        """Let the guard of the run's data and all scores say a fault of range once, the guard first."""
        for guard in attached(trainer, DataGuard)[:1]:
            low, high = (float(end) for end in self._few.aminmax())
            guard.warn_of_unit_range(self._few, low, high, self.source)
            for score in self.scores:
                score.share_warnings(guard.ranges)

    def _try(self, gan: GAN, samples: RealSamples, few: Tensor, faults: list[str]) -> float:
        """Return the seconds that scores need for a sample; what a score does not take is added to the faults."""
        seconds = 0.0
        for score in self.scores:
            score.to(gan.device)
            try:
                score.fit_data(samples.dataset if samples.data is None else samples.data)
                needed = try_score(score, few)
            except ValueError as error:
                faults.append(str(error))
                continue
            seconds += 0 if self._networks.repeats(score) else needed
        return seconds / len(few)

    def _try_generator(self, gan: GAN) -> float:
        """Return the seconds in which the generator makes a sample."""
        with seeded(self.seed), generation.showing(gan):
            z = gan.generator.latents.sample(2)
            labels = generation.class_labels(gan, 2)
            generation.from_latents(gan, z, labels).sum().item()  # the first forward is slower than the others
            begun = time.perf_counter()
            generation.from_latents(gan, z, labels).sum().item()
        return (time.perf_counter() - begun) / 2

    # ---------------------------------------------------------------- real samples

    def _real_states(self, trainer: Trainer, gan: GAN, samples: RealSamples, few: Tensor) -> list[dict[str, Tensor]]:
        """Return the statistics of the real samples for each score, from disk or from the samples."""
        states: list[dict[str, Tensor]] = [{} for _ in self.scores]
        files: dict[int, RealStatistics] = {}
        missing = []
        for index, score in enumerate(self.scores):
            if score.uses_real:
                if self.statistics is not None:
                    files[index] = RealStatistics(self.statistics, score, samples, self.num_real, few)
                    states[index] = files[index].read() or {}
                if not trainer.strategy.reduce_boolean_decision(bool(states[index])):
                    missing.append(index)
        if missing:
            self._update_with_real(trainer, gan, samples, [self.scores[index] for index in missing])
        for index in missing:
            score = self.scores[index]
            with score.sync_context():
                states[index] = {name: value.detach().cpu() for name, value in score.real_state().items()}
            score.reset()
            if index in files and trainer.is_global_zero and not is_trial(trainer):
                files[index].write(states[index])
        return states

    def _update_with_real(self, trainer: Trainer, gan: GAN, samples: RealSamples, scores: Sequence[Score]) -> None:
        chosen = samples.chosen(self.num_real)
        parts = shares(trainer, len(chosen), self.batch_size)
        with seeded(0), self._networks.shared_forward():
            batches = samples.read(gan, [chosen[part] for _, part in parts])
            for _ in seeded_batches(trainer, parts, 0, f"statistics of {len(chosen):,} real samples"):
                x = next(batches)
                for score in scores:
                    score.update(x, real=True)

    # ---------------------------------------------------------------- generated samples

    @torch.inference_mode(False)
    @torch.no_grad()
    def score(self, trainer: Trainer, gan: GAN) -> Figures:
        """Return the figures of the generator as it is now.

        In `fit`, samples that are not finite and scores that cannot be computed are the trouble of the figures;
        elsewhere they raise a ValueError.
        """
        for score, state in zip(self.scores, self._real, strict=True):
            score.to(gan.device)
            score.reset()
            score.load_real_state(state, trainer.global_rank, trainer.world_size)
        trouble = self._update_with_generated(trainer, gan)
        strict = trainer.state.fn != "fit"
        figures = Figures(trouble=trouble) if trouble else compute_figures(self.scores, strict)
        for score in self.scores:
            score.reset()
        return figures

    def _update_with_generated(self, trainer: Trainer, gan: GAN) -> str:
        """Update every score with this process's fakes; in `fit` return what any process found wrong with them."""
        trouble = ""
        labels = generation.class_labels(gan, self.num_fake)
        with seeded(self.seed), generation.showing(gan), self._networks.shared_forward():
            z = gan.generator.latents.sample(self.num_fake)
            parts = shares(trainer, self.num_fake, self.batch_size)
            for part in seeded_batches(trainer, parts, self.seed, f"scores of {self.num_fake:,} samples"):
                if trouble:  # found in an earlier part; the rest is only counted
                    continue
                own = None if labels is None else labels[part]
                x = generation.from_latents(gan, z[part], own)
                if trainer.state.fn == "fit" and not torch.isfinite(x).all():
                    trouble = _NAN
                    continue
                try:
                    for score in self.scores:
                        score.update(x, real=False, **({"labels": own} if score.reads_labels else {}))
                except ValueError as error:
                    if trainer.state.fn != "fit":
                        raise
                    trouble = str(error)
        return "" if trainer.strategy.reduce_boolean_decision(not trouble) else trouble or _NAN

    def board(self, trainer: Trainer, gan: GAN, figures: Figures, split: str) -> Scoreboard:
        """Return figures with what they were computed from."""
        return Scoreboard(
            figures=figures.values,
            networks=figures.networks,
            real=self.num_real if any(score.uses_real for score in self.scores) else 0,
            fake=self.num_fake,
            split=split,
            seed=self.seed,
            data=self.data_name,
            model=type(gan).__name__,
            generator_updates=gan.generator_updates,
            checkpoint=str(trainer.ckpt_path) if trainer.ckpt_path and trainer.state.fn != "fit" else None,
        )
