"""A callback that scores the generator, during training and afterwards, beside real samples."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.attached import attached
from lightning_gans.callbacks.evaluation.cost import announcement, is_due
from lightning_gans.callbacks.evaluation.monitored import check_epochs, check_names, monitored
from lightning_gans.callbacks.evaluation.real_samples import RealSamples
from lightning_gans.callbacks.evaluation.scoreboard import Scoreboard
from lightning_gans.callbacks.evaluation.scorer import Scorer
from lightning_gans.callbacks.evaluation.scoring import Figures, check_scores, figure_names, title
from lightning_gans.callbacks.stopping import RunStopped
from lightning_gans.callbacks.trainer_attributes import data_module, is_trial
from lightning_gans.gan import GAN
from lightning_gans.metrics import Score

Split = Literal["train", "val", "test"]


class Evaluation(Callback):
    """Score generated samples beside real ones, in `validate` and `test` and after epochs of `fit`.

    Figures are logged as `<split>/<figure>`, such as `val/fd`, before checkpoints are saved, so that
    `ModelCheckpoint(monitor="val/fd", mode="min")` keeps the best model by them; `validate` and `test` print them as
    a table. The latest are in `scores.json` in the run's folder, with numbers of samples, split, seed, feature
    networks, data, checkpoint and version.

    Real samples are those of the split's data set, at most `num_samples`, always the same ones; limits on batches do
    not apply to them. Their statistics are computed once, before training, and kept on disk for other runs on the same
    data. Fakes come from latents drawn from `seed`, classes in turn, by the generator's evaluation weights, such as an
    average. Several processes share the work, and the figures are those of one process. Training is unaffected, random
    numbers included. A checkpoint holds only the batch of the last evaluation, which a resumed run does not repeat.

    A sample costs one forward of the generator and of each feature network, and the scores themselves; before it begins
    a line says about how long it takes. Ctrl-C and SIGTERM end it between two batches. A trial run (`fast_dev_run`)
    scores as few samples as it can, and writes nothing. In `fit`, NaN in samples, or a score that cannot be computed,
    gives NaN for figures and a warning.

    Args:
        metrics: the scores, at least one; two of one class must differ in their feature network.
        num_samples: fakes to generate, and the most real samples to compare with, at least 2; None generates as many
            fakes as there are real samples, at most 10,000. Figures compare at equal numbers only.
        every_n_epochs: epochs of `fit` between evaluations, at least 0; each goes with every validation of its epoch,
            or with the epoch's end where it has none. The last epoch is always evaluated. 0 evaluates in `validate`
            and `test` alone.
        split: whose real samples to compare with; None takes those of the stage, val in `fit` and `validate` and
            test in `test`. Data without a validation split needs a name here, such as train.
        seed: of the latents and whatever else the generator draws, at least 0.
        statistics: folder of the statistics of real samples, created where it is missing; None keeps nothing.
        batch_size: samples at a time, in each process, at least 1.

    Attributes:
        board: the latest figures, None before the first.

    Raises:
        ValueError: at once for an argument out of range; before training for too few samples, data without the
            split or without what a score must know, samples that a score does not take, a file of statistics that
            cannot be read or was made of other data, or a checkpoint by a figure that is missing in some of its epochs.
    """

    def __init__(
        self,
        metrics: list[Score],
        num_samples: int | None = None,
        every_n_epochs: int = 1,
        split: Split | None = None,
        seed: int = 0,
        statistics: str | None = "runs/statistics",
        batch_size: int = 256,
    ):
        check_scores(metrics)
        if num_samples is not None:
            arguments.whole(self, 2, num_samples=num_samples)
        arguments.whole(self, 0, every_n_epochs=every_n_epochs, seed=seed)
        arguments.whole(self, 1, batch_size=batch_size)
        arguments.one_of(self, ("train", "val", "test", None), split=split)
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
        self._scorer: Scorer | None = None
        self._scored_at = -1

    @property
    @override
    def state_key(self) -> str:
        return f"Evaluation({self.split}: {', '.join(map(title, self.metrics))})"

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"scored_at": self._scored_at} if self._scored_at >= 0 else {}  # not to be done again after a resume

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._scored_at = state_dict["scored_at"]

    # ---------------------------------------------------------------- before training

    @override
    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        folder = Path(trainer.log_dir or trainer.default_root_dir)  # every process must ask: they agree on it
        self._folder = folder if trainer.loggers and not is_trial(trainer) else None
        self._split = self.split or ("test" if stage == "test" else "val")
        self._scored_at = -1
        self.board = None if stage in ("validate", "test") else self.board
        if stage == "predict" or (stage == "fit" and not self.every_n_epochs):
            return
        for other in attached(trainer, Evaluation):
            if other is not self and other.split == self.split:
                for score in set(map(title, self.metrics)) & set(map(title, other.metrics)):
                    raise ValueError(f"{score} is in two Evaluations, whose figures would mix; leave one out.")
        if stage == "fit":
            check_epochs(trainer, self._split, self.every_n_epochs)
        if data_module(trainer) is not None:
            RealSamples(trainer, self._split)

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        if self.every_n_epochs and data_module(trainer) is not None:
            self._prepare(trainer, pl_module)

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Prepare where `fit` was given loaders, which Lightning knows only now."""
        if self.every_n_epochs and data_module(trainer) is None:
            self._prepare(trainer, pl_module)

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.state.fn != "fit":
            trainer.validate_loop.verbose = False  # the scoreboard is printed instead
            self._prepare(trainer, pl_module)

    @override
    def on_test_start(self, trainer: Trainer, pl_module: Any) -> None:
        trainer.test_loop.verbose = False
        self._prepare(trainer, pl_module)

    def _prepare(self, trainer: Trainer, gan: GAN) -> None:
        self._scorer = Scorer(
            trainer, gan, self._split, self.metrics, self.num_samples, self.seed, self.statistics, self.batch_size
        )
        if not is_trial(trainer):
            rank_zero_info(announcement(trainer, self._scorer, self.every_n_epochs, self.metric_names(trainer)))
        self._scorer.prepare(trainer, gan)

    def metric_names(self, trainer: Trainer) -> list[str] | None:
        """Return the names under which `fit` logs figures; None where a score of the user does not declare its own."""
        names = figure_names(self.metrics) if self.every_n_epochs else []
        return None if names is None else [f"{self.split or 'val'}/{name}" for name in names]

    # ---------------------------------------------------------------- when to evaluate

    @override
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.state.fn != "fit" or (is_due(trainer, self.every_n_epochs) and not trainer.sanity_checking):
            self._evaluate(trainer, pl_module)

    @override
    def on_test_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._evaluate(trainer, pl_module)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Evaluate an epoch that is due and had no validation at its end."""
        if is_due(trainer, self.every_n_epochs) and self._scored_at != pl_module.batches_seen:
            with suppress(RunStopped):  # the epoch is completed by the other callbacks, and the run then ends
                self._evaluate(trainer, pl_module)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Evaluate the last epoch where it was not known to be the last."""
        if self.every_n_epochs and self._scored_at != pl_module.batches_seen:
            with suppress(RunStopped):
                figures = self._score(trainer, pl_module)
                for logger in trainer.loggers:  # the module's own log is closed by now
                    logger.log_metrics({**figures, "epoch": trainer.current_epoch - 1}, step=pl_module.batches_seen - 1)

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.state.fn != "fit":
            self._write(trainer)

    @override
    def on_test_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._write(trainer)

    @override
    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Print the scoreboard, once the progress bar is closed."""
        if stage in ("validate", "test") and self.board is not None and trainer.is_global_zero:
            print(f"\n{self.board.table()}")
            if self._folder is not None:
                print(f"\nThese figures are in {self._folder / 'scores.json'}.")

    # ---------------------------------------------------------------- figures

    def _evaluate(self, trainer: Trainer, gan: GAN) -> None:
        """Score the generator and log the figures, which checkpoints then find."""
        figures = self._score(trainer, gan)
        gan.log_dict(figures, batch_size=1, sync_dist=True)  # they are the same in all processes
        if trainer.state.fn == "fit":
            check_names(trainer, self._split, figures)

    def _score(self, trainer: Trainer, gan: GAN) -> dict[str, float]:
        """Return the figures of the generator as it is now, by the names under which they are logged."""
        assert self._scorer is not None
        self._scored_at = gan.batches_seen
        figures = self._scorer.score(trainer, gan)
        if figures.trouble:
            self._fill_in(trainer, gan, figures)
        self.board = self._scorer.board(trainer, gan, figures, self._split)
        if trainer.state.fn == "fit" and self._folder is not None and trainer.is_global_zero:
            self.board.write(self._folder)
        return {f"{self._split}/{name}": value for name, value in figures.values.items()}

    def _fill_in(self, trainer: Trainer, gan: GAN, figures: Figures) -> None:
        """Warn of missing figures, and make them NaN, so that checkpoints that monitor them continue."""
        rank_zero_warn(
            f"Evaluation has no figures after {gan.batches_seen} batches: {figures.trouble}", category=UserWarning
        )
        asked = [name.removeprefix(f"{self._split}/") for _, name in monitored(trainer, self._split)]
        before = self.board.figures if self.board else ()
        figures.values = dict.fromkeys([*before, *asked], math.nan) | figures.values

    def _write(self, trainer: Trainer) -> None:
        """Add the model's own metrics to the scoreboard, and write it."""
        assert self.board is not None
        own = {f"{self._split}/{name}" for name in self.board.figures}
        self.board.losses = {name: float(x) for name, x in trainer.callback_metrics.items() if name not in own}
        if self._folder is not None and trainer.is_global_zero:
            self.board.write(self._folder)
