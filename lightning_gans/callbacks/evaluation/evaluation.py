"""Scores of the generator during a run and afterwards, beside real samples whose statistics are kept on disk."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor

from lightning_gans import generation
from lightning_gans.callbacks.evaluation.real_samples import RealSamples
from lightning_gans.callbacks.evaluation.real_statistics import RealStatistics, network_name
from lightning_gans.callbacks.evaluation.scoreboard import Scoreboard
from lightning_gans.callbacks.evaluation.shared_networks import SharedNetworks
from lightning_gans.callbacks.evaluation.shares import shares, walk
from lightning_gans.gan import GAN
from lightning_gans.metrics import Score
from lightning_gans.randomness import seeded

Split = Literal["train", "val", "test"]


class Evaluation(Callback):
    """Scores of generated samples beside real ones, in `validate` and `test` and after epochs of `fit`.

    Figures are logged as `<split>/<figure>`, such as `val/fd`, before checkpoints are saved, so that
    `ModelCheckpoint(monitor="val/fd", mode="min")` keeps the best model by them; `validate` and `test` print them as
    a table. The latest are in `scores.json` in the run's folder, with numbers of samples, split, seed, feature
    networks, data, checkpoint and version.

    Real samples are those of the split's data set, at most `num_samples`, always the same ones; limits on batches do
    not touch them. Their statistics are computed once, before training, and kept on disk for other runs on the same
    data. Fakes come from latents drawn from `seed`, classes in turn, by the generator that is presented, such as its
    average. Several processes share the work, and figures are those of one. The game is not touched, its random
    numbers included, and nothing enters the checkpoint.

    It costs one forward of the generator and of each feature network a sample, and what the scores themselves take.
    In a trial run (`fast_dev_run`) samples are as few as the scores allow, and nothing is written. A generator that
    makes NaN during `fit` has NaN for figures, and a warning; so has a score that cannot tell.

    Args:
        metrics: the scores, at least one; two of one class must differ in their feature network.
        num_samples: fakes to make, and the most real samples to compare with, at least 2; None takes all real samples
            and makes as many fakes. Figures compare at equal numbers only.
        every_n_epochs: how often in `fit`, with every validation of such an epoch, or at its end where it has none;
            the last epoch is always scored. 0 scores in `validate` and `test` alone.
        split: whose real samples to compare with; None takes those of the stage, val in `fit` and `validate` and
            test in `test`. Data without a validation split needs a name here, such as train.
        seed: of the latents and whatever else the generator draws, at least 0.
        statistics: folder of the real statistics, made where it is missing; None keeps nothing.
        batch_size: samples at a time, in each process, at least 1.

    Attributes:
        board: the latest figures, None before the first.

    Raises:
        ValueError: at once for an argument out of range; before training for too few samples, data without the
            split or without what a score must know, samples that a score does not take, a file of statistics that
            cannot be read or was made of other data, or a checkpoint that looks at figures in epochs without any.
    """

    def __init__(
        self,
        metrics: list[Score],
        num_samples: int | None = 10_000,
        every_n_epochs: int = 1,
        split: Split | None = None,
        seed: int = 0,
        statistics: str | None = "runs/statistics",
        batch_size: int = 256,
    ):
        if not metrics:
            raise ValueError("Evaluation(metrics=[]): expected at least one score; give some, such as FrechetDistance.")
        for name, value, least in (
            ("num_samples", 2 if num_samples is None else num_samples, 2),
            ("every_n_epochs", every_n_epochs, 0),
            ("seed", seed, 0),
            ("batch_size", batch_size, 1),
        ):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"Evaluation({name}={value}): expected a whole number of at least {least}.")
        if split not in (None, "train", "val", "test"):
            raise ValueError(f"Evaluation(split={split!r}): expected train, val, test, or None for that of the stage.")
        names = list(map(_title, metrics))
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"Evaluation(metrics): {name} is there twice; expected each score once, leave one out."
                )
        self.metrics = metrics
        self.num_samples = num_samples
        self.every_n_epochs = every_n_epochs
        self.split = split
        self.seed = seed
        self.statistics = statistics
        self.batch_size = batch_size
        self.board: Scoreboard | None = None
        self._split: Split = split or "val"
        self._folder: Path | None = None
        self._data_name = ""
        self._real: list[dict[str, Tensor]] = []
        self._networks = SharedNetworks([])
        self._counts = 0, 0
        self._scored_at = -1

    # ---------------------------------------------------------------- before anything is scored

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the run's folder, which every process must ask for, and refuse what can be known to fail."""
        folder = Path(trainer.log_dir or trainer.default_root_dir)
        self._folder = folder if trainer.loggers and not trainer.fast_dev_run else None  # type: ignore[attr-defined]
        self._split = self.split or ("test" if stage == "test" else "val")
        self._scored_at = -1
        self.board = None if stage in ("validate", "test") else self.board
        if stage == "predict" or (stage == "fit" and not self.every_n_epochs):
            return
        for other in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(other, Evaluation) and other is not self and other.split == self.split:
                for score in set(map(_title, self.metrics)) & set(map(_title, other.metrics)):
                    raise ValueError(f"{score} is in two Evaluations, whose figures would mix; leave one out.")
        if stage == "fit":
            self._check_monitors(trainer)
        if trainer.datamodule is not None:  # type: ignore[attr-defined]
            RealSamples(trainer, self._split)

    def _check_monitors(self, trainer: Trainer) -> None:
        for checkpoint, monitor in self._monitors(trainer):
            every = checkpoint.every_n_epochs or 0
            if every % self.every_n_epochs:
                raise ValueError(
                    f"Evaluation(every_n_epochs={self.every_n_epochs}): the checkpoint looks at {monitor} every "
                    f"{every} epochs, expected a multiple of {self.every_n_epochs}; use "
                    f"--checkpoint.every_n_epochs {self.every_n_epochs}."
                )

    def _monitors(self, trainer: Trainer) -> list[tuple[ModelCheckpoint, str]]:
        """Checkpoints that look at a figure from here, which no loss of the model's is."""
        found = [(one, one.monitor or "") for one in trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint)]
        return [
            (one, name)
            for one, name in found
            if name.startswith(f"{self._split}/") and not name.endswith(("loss", "logit"))
        ]

    def on_fit_start(self, trainer: Trainer, pl_module: GAN) -> None:  # type: ignore[override]
        """Look at the real samples before the run begins, or goes on."""
        if self.every_n_epochs and trainer.datamodule is not None:  # type: ignore[attr-defined]
            self._start(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: GAN) -> None:  # type: ignore[override]
        """The same for loaders that were given to `fit` as they are, which Lightning knows by now only."""
        if self.every_n_epochs and trainer.datamodule is None:  # type: ignore[attr-defined]
            self._start(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: GAN) -> None:  # type: ignore[override]
        """The same for `validate`."""
        if trainer.state.fn != "fit":
            trainer.validate_loop.verbose = False  # the table is ours
            self._start(trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: GAN) -> None:  # type: ignore[override]
        """The same for `test`."""
        trainer.test_loop.verbose = False
        self._start(trainer, pl_module)

    @torch.inference_mode(False)
    @torch.no_grad()
    def _start(self, trainer: Trainer, gan: GAN) -> None:
        """Have the statistics of the real samples, from disk or from the samples themselves."""
        samples = RealSamples(trainer, self._split)
        self._data_name = samples.data_name
        with seeded(0):  # data may be random; that which is compared is always the same
            (few,) = samples.read(gan, [torch.arange(len(samples))[:: max(1, len(samples) // 8)][:8]])
        for score in self.metrics:
            score.to(gan.device)
            score.fit_data(samples.loader.dataset if samples.data is None else samples.data)
            _try(score, few[:2])
        self._networks = SharedNetworks(self.metrics)
        self._counts = real, _ = self._count(samples, bool(trainer.fast_dev_run))  # type: ignore[attr-defined]
        self._real = [{} for _ in self.metrics]
        kept: dict[int, RealStatistics] = {}
        missing = []
        for index, score in enumerate(self.metrics):
            if score.uses_real:
                if self.statistics is not None:
                    kept[index] = RealStatistics(self.statistics, score, samples, real, few)
                    self._real[index] = kept[index].read() or {}
                if not trainer.strategy.reduce_boolean_decision(bool(self._real[index])):
                    missing.append(index)
        if missing:
            self._take_in_reals(trainer, gan, samples, missing)
        for index in missing:
            score = self.metrics[index]
            with score.sync_context():
                self._real[index] = {name: value.detach().cpu() for name, value in score.real_state().items()}
            score.reset()
            if index in kept and trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
                kept[index].write(self._real[index])

    def _count(self, samples: RealSamples, trial: bool) -> tuple[int, int]:
        """How many real samples to use and how many fakes to make."""
        least = max(score.least_samples for score in self.metrics)
        fake = least if trial else self.num_samples or len(samples)
        real = min(fake, len(samples))
        for score in self.metrics:
            for kind, count in (("real", real), ("generated", fake)):
                if count < score.least_samples and (score.uses_real or kind == "generated"):
                    raise ValueError(
                        f"Evaluation(num_samples={self.num_samples}): {_title(score)} needs at least "
                        f"{score.least_samples} {kind} samples and would get {count}, the {self._split} split of "
                        f"{samples.data_name} holding {len(samples)}; give more, or use fewer features."
                    )
        return real, fake

    # ---------------------------------------------------------------- when figures are made

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: GAN) -> None:  # type: ignore[override]
        """Score in `validate`, and in `fit` together with the validation of an epoch that is due."""
        if trainer.state.fn != "fit" or (self._is_due(trainer) and not trainer.sanity_checking):
            self._log(trainer, pl_module)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: GAN) -> None:  # type: ignore[override]
        """Score in `test`."""
        self._log(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: GAN) -> None:  # type: ignore[override]
        """Score an epoch that is due and had no validation at its end."""
        if self._is_due(trainer) and self._scored_at != pl_module.batches_seen:
            self._log(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: GAN) -> None:  # type: ignore[override]
        """Score the last epoch, where nobody knew that it would be the last."""
        if self.every_n_epochs and self._scored_at != pl_module.batches_seen:
            figures = self._score(trainer, pl_module)
            for logger in trainer.loggers:  # the module's own log is closed by now
                logger.log_metrics({**figures, "epoch": trainer.current_epoch - 1}, step=pl_module.batches_seen - 1)

    def on_validation_end(self, trainer: Trainer, pl_module: GAN) -> None:  # type: ignore[override]
        """Complete and write what `validate` found."""
        if trainer.state.fn != "fit":
            self._write(trainer)

    def on_test_end(self, trainer: Trainer, pl_module: GAN) -> None:  # type: ignore[override]
        """Complete and write what `test` found."""
        self._write(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Print what was found, once the progress bar is closed."""
        if stage in ("validate", "test") and self.board is not None and trainer.is_global_zero:
            print(f"\n{self.board.table()}")
            if self._folder is not None:
                print(f"\nThese figures are in {self._folder / 'scores.json'}.")

    def _is_due(self, trainer: Trainer) -> bool:
        epoch = trainer.current_epoch + 1
        steps = trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps
        last = epoch == trainer.max_epochs or steps or trainer.should_stop
        return bool(self.every_n_epochs) and (last or epoch % self.every_n_epochs == 0)

    def _log(self, trainer: Trainer, gan: GAN) -> None:
        figures = self._score(trainer, gan)
        gan.log_dict(figures, batch_size=1, sync_dist=True)  # alike in all processes
        for _, monitor in self._monitors(trainer) if trainer.state.fn == "fit" else ():
            if monitor not in {**figures, **trainer.callback_metrics}:
                raise MisconfigurationException(
                    f"The checkpoint looks at {monitor}, which there is not; use one of {', '.join(figures)}."
                )

    def _write(self, trainer: Trainer) -> None:
        assert self.board is not None
        own = {f"{self._split}/{name}" for name in self.board.figures}
        self.board.losses = {name: float(x) for name, x in trainer.callback_metrics.items() if name not in own}
        if self._folder is not None and trainer.is_global_zero:
            self.board.write(self._folder)

    @torch.inference_mode(False)
    @torch.no_grad()
    def _score(self, trainer: Trainer, gan: GAN) -> dict[str, float]:
        """The figures of the generator as it is now, by the names under which they are logged."""
        self._scored_at = gan.batches_seen
        for score, state in zip(self.metrics, self._real, strict=True):
            score.to(gan.device)
            score.reset()
            score.load_real_state(state, trainer.global_rank, trainer.world_size)
        figures: dict[str, float] = {}
        networks: dict[str, str] = {}
        trouble = self._take_in_fakes(trainer, gan)
        for score in [] if trouble else self.metrics:
            try:
                computed = score.figures()
            except ValueError as error:
                if trainer.state.fn != "fit":
                    raise
                trouble = str(error)
                continue
            network = network_name(score)
            suffix = f"_{network or 'samples'}" if set(computed) & set(figures) else ""  # a score's second network
            figures |= {f"{name}{suffix}": float(value) for name, value in computed.items()}
            networks |= {f"{name}{suffix}": network for name in computed if network}
        for score in self.metrics:
            score.reset()
        if trouble:
            rank_zero_warn(
                f"Evaluation has no figures after {gan.batches_seen} batches: {trouble}", category=UserWarning
            )
            named = [name.removeprefix(f"{self._split}/") for _, name in self._monitors(trainer)]
            figures = dict.fromkeys([*(self.board.figures if self.board else ()), *named], math.nan) | figures
        real, fake = self._counts
        self.board = Scoreboard(
            figures=figures,
            networks=networks,
            real=real if any(score.uses_real for score in self.metrics) else 0,
            fake=fake,
            split=self._split,
            seed=self.seed,
            data=self._data_name,
            model=type(gan).__name__,
            generator_updates=gan.generator_updates,
            checkpoint=str(trainer.ckpt_path) if trainer.ckpt_path and trainer.state.fn != "fit" else None,
        )
        if trainer.state.fn == "fit" and self._folder is not None and trainer.is_global_zero:
            self.board.write(self._folder)
        return {f"{self._split}/{name}": value for name, value in figures.items()}

    # ---------------------------------------------------------------- samples

    def _take_in_reals(self, trainer: Trainer, gan: GAN, samples: RealSamples, missing: list[int]) -> None:
        chosen = samples.chosen(self._counts[0])
        parts = shares(trainer, len(chosen), self.batch_size)
        with seeded(0), self._networks.looking_once():
            batches = samples.read(gan, [chosen[part] for _, part in parts])
            for _ in walk(trainer, parts, 0, f"statistics of {len(chosen):,} real samples"):
                x = next(batches)
                for index in missing:
                    self.metrics[index].update(x, real=True)

    def _take_in_fakes(self, trainer: Trainer, gan: GAN) -> str:
        """Generate and show every score this process's fakes; what is wrong with them, in `fit`, or nothing."""
        num, finite = self._counts[1], True
        labels = generation.class_labels(gan, num)
        with seeded(self.seed), generation.showing(gan), self._networks.looking_once():
            z = gan.generator.latents.sample(num)
            parts = shares(trainer, num, self.batch_size)
            for part in walk(trainer, parts, self.seed, f"scores of {num:,} samples"):
                x = generation.from_latents(gan, z[part], None if labels is None else labels[part])
                if trainer.state.fn == "fit" and not torch.isfinite(x).all():
                    finite = False
                    break
                for score in self.metrics:
                    score.update(x, real=False)
        if trainer.strategy.reduce_boolean_decision(finite):  # in all processes
            return ""
        return "the generator makes NaN or infinity; go back to an earlier checkpoint, with a lower learning rate."


def _title(score: Score) -> str:
    network = network_name(score)
    return type(score).__name__ + (f" through {network}" if network else "")


def _try(score: Score, samples: Tensor) -> None:
    """Show a score two samples, so that what it cannot take is known before training."""
    try:
        for real in (True, False):
            score.update(samples, real=real)
    except (RuntimeError, TypeError, IndexError, AssertionError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{_title(score)} does not take samples of shape {tuple(samples.shape[1:])} ({reason}); use another score "
            "or feature network."
        ) from None
    score.reset()
