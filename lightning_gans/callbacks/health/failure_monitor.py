"""A callback that names what is going wrong in a training, shows the evidence, and says what helps."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch.optim import Optimizer
from typing_extensions import override

from lightning_gans import arguments
from lightning_gans.attached import attached
from lightning_gans.callbacks.console import print_line
from lightning_gans.callbacks.health.diagnosis import diagnose
from lightning_gans.callbacks.health.explaining import explain
from lightning_gans.callbacks.health.health_probe import HealthProbe
from lightning_gans.callbacks.health.page import Event, HealthPage
from lightning_gans.callbacks.health.readings import Reading
from lightning_gans.callbacks.health.rollback import Rollback
from lightning_gans.callbacks.health.states import HEALTHY, NON_FINITE, STATES, State, classes_of
from lightning_gans.callbacks.health.thresholds import Thresholds
from lightning_gans.callbacks.health.verdict import verdict
from lightning_gans.callbacks.trainer_attributes import is_trial
from lightning_gans.gan import GAN
from lightning_gans.training.non_finite import NonFinite, NonFiniteError, NonFiniteGuard, ending

_GRADIENTS_PER_READING, _READINGS_PER_SURVEY = 5, 2
_KEPT = 2_000  # readings; beyond, every second one of the older half is dropped


class FailureMonitor(Callback):
    """Name the state of a training: healthy, a mode collapse, an oscillation, a vanishing gradient, ….

    Every `every_n_steps` batches it takes a `Reading` (losses, gradients, how well D tells real from fake, D's slopes,
    and a few fakes beside real samples; every second time a `Survey` of many), and `diagnose` names the state by fixed
    rules. A state that lasts for `patience` readings is reported: one line on the console with the evidence and what is
    recommended, and an alert in W&B. Readings are logged as `health/…`. The run's folder gets `health.md`, a page with
    the verdict and curves, and `health.json`. Training is unaffected.

    With `rollbacks`, a failure restores the networks, optimizers and stabilizers of the last healthy checkpoint, with
    both learning rates halved. Without, a run that logs and saves checkpoints keeps one of its last healthy state every
    twenty readings, `healthy.ckpt`, from which `lightning-gans rescue` starts. NaN or infinity ends a run that does not
    roll back, with a `NonFiniteError` that names the update; the monitor reports it too. `benchmarks/monitor_cost.py`
    measures what it adds to a step. With several processes the first one decides for all.

    Args:
        every_n_steps: batches between readings, at least 1; 0 switches the monitor off.
        patience: readings in a row that must fail before a failure is reported, at least 1, by the name that most of
            them have; twice as many healthy ones end it. NaN or infinity is reported at once.
        num_samples: fakes per reading, at least 8; four times as many for points.
        stop: whether a failure ends the run; from the command line with exit code 1.
        rollbacks: the largest number of times that a failure restores the last healthy checkpoint.
        thresholds: what the rules compare with.
        seed: of the fixed latents.

    Raises:
        ValueError: for numbers out of range.

    Reference:
        Signals: Chintala et al., How to Train a GAN, 2016; Arjovsky and Bottou, Towards Principled Methods for
        Training Generative Adversarial Networks, ICLR 2017, arXiv 1701.04862; Chaplygin and Chacksfield, 2018,
        arXiv 1802.02436 (soft and hard collapse). The rules are this library's.
    """

    def __init__(
        self,
        every_n_steps: int = 50,
        patience: int = 4,
        num_samples: int = 64,
        stop: bool = False,
        rollbacks: int = 0,
        thresholds: Thresholds = Thresholds(),  # noqa: B008 - it is frozen
        seed: int = 0,
    ):
        arguments.whole(self, 0, every_n_steps=every_n_steps, rollbacks=rollbacks)
        arguments.whole(self, 1, patience=patience)
        arguments.whole(self, 8, num_samples=num_samples)
        self.every_n_steps, self.patience, self.num_samples = every_n_steps, patience, num_samples
        self.stop, self.rollbacks = stop, rollbacks
        self.thresholds, self.seed = thresholds, seed
        self.state: State = HEALTHY
        self.readings: list[Reading] = []
        self.events: list[Event] = []
        self.ended = ""  # why the monitor has ended the run
        self.healthy_checkpoint: Path | None = None  # what a failure restores
        self._probe = HealthProbe(num_samples, seed)  # of the current run
        self._restored: dict[str, Any] | None = None  # the probe's state from a checkpoint
        self._recent: list[tuple[State, str]] = []
        self._rollback = Rollback()
        self._since = 0  # number of readings before the last rollback
        self._page = HealthPage()  # of the current run

    @override
    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        folder = trainer.log_dir  # every process must ask, since Lightning has them agree on it
        writes = bool(trainer.loggers) and stage == "fit" and not is_trial(trainer)
        self._page = HealthPage(Path(folder) if folder and writes else None)

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.ended = ""
        of_points = len(pl_module.generator.sample_shape) == 1
        self._probe = HealthProbe((4 if of_points else 1) * self.num_samples, self.seed)
        if self._restored is not None:
            self._probe.load_state_dict(self._restored, pl_module.device)
            self._restored = None

    @override
    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Optimizer) -> None:
        if self.every_n_steps and pl_module.batches_seen % max(1, self.every_n_steps // _GRADIENTS_PER_READING) == 0:
            self._probe.note_gradient(pl_module, optimizer)

    @override
    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not self.every_n_steps:
            return
        self._probe.note_real(pl_module, batch)
        self._probe.note_steps(outputs)
        if pl_module.batches_seen % self.every_n_steps:
            return
        if any([guard.check(trainer, pl_module) for guard in attached(trainer, NonFiniteGuard)]):
            return  # on_non_finite has rolled back
        self._read(trainer, pl_module)
        self._decide(trainer, pl_module)

    @override
    def on_validation_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, *args: Any) -> None:
        if self.every_n_steps and trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._probe.note_held(pl_module, batch)

    def on_non_finite(self, trainer: Trainer, pl_module: GAN, found: NonFinite) -> bool:
        """Report NaN or infinity that the guard has found; return whether an earlier state was restored."""
        if not self.every_n_steps:
            return False
        self._read(trainer, pl_module)
        self.state = NON_FINITE
        self._report(trainer, pl_module, f"in batch {found.batch} {found.words}")
        return self._roll_back(trainer, pl_module)

    def _read(self, trainer: Trainer, gan: GAN) -> None:
        """Take a reading, and log it."""
        reading = self._probe.measure(
            gan, gan.batches_seen, gan.batches_seen % (_READINGS_PER_SURVEY * self.every_n_steps) == 0
        )
        self.readings.append(reading)
        if len(self.readings) > _KEPT:
            self.readings[: _KEPT // 2] = self.readings[: _KEPT // 2 : 2]
            self._since = max(0, self._since - _KEPT // 4)
        figures = {f"health/{name}": value for name, value in reading.figures().items() if not math.isnan(value)}
        for logger in trainer.loggers:
            logger.log_metrics(figures, step=gan.batches_seen - 1)  # as Lightning counts

    def _decide(self, trainer: Trainer, gan: GAN) -> None:
        state, evidence = diagnose(self.readings[self._since :], self.thresholds)
        if trainer.world_size > 1:  # readings differ between processes, decisions must not
            state, evidence = trainer.strategy.broadcast((state, evidence))
        self._recent = [*self._recent, (state, evidence)][-2 * self.patience :]
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        lasting = verdict(self.state, [one for one, _ in self._recent], self.patience, scaled)
        if lasting != self.state:
            self.state = lasting
            self._report(trainer, gan, next(words for one, words in reversed(self._recent) if one == lasting))
            if lasting != HEALTHY:
                self._act(trainer, gan)
        elif state == self.state == HEALTHY and self._rollback.is_due(trainer, len(self.readings), self.rollbacks > 0):
            self.healthy_checkpoint = self._rollback.save(trainer, self._page.folder, gan.batches_seen)

    def _report(self, trainer: Trainer, gan: GAN, evidence: str) -> None:
        remedies = self.state.advice({*classes_of(gan), trainer.precision})
        self.events.append(Event(gan.batches_seen, self.state.name, evidence, remedies))
        self._write(trainer)
        if trainer.is_global_zero:
            self.announce(trainer, f"FailureMonitor, {self.events[-1].line()}")

    def announce(self, trainer: Trainer, text: str) -> None:
        """Print a change of state on the console and send it as an alert to W&B; override it to report elsewhere."""
        print_line(trainer, text)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger) and self.state != HEALTHY:
                logger.experiment.alert(title=self.state.name, text=text)

    def _act(self, trainer: Trainer, gan: GAN) -> None:
        if self._roll_back(trainer, gan):
            return
        if self.state == NON_FINITE:  # in the samples alone, as by statistics of BatchNorm: the guard sees updates
            raise NonFiniteError(ending(trainer, gan.batches_seen, self.events[-1].evidence))
        if self.stop:
            trainer.should_stop = True
            self.ended = f"FailureMonitor ends the run at batch {gan.batches_seen}: {self.state.name}."
            rank_zero_warn(self.ended, category=UserWarning)

    def _roll_back(self, trainer: Trainer, gan: GAN) -> bool:
        """Restore the last healthy checkpoint; return whether that was possible."""
        text = self._rollback.restore(trainer, gan) if self._rollback.count < self.rollbacks else ""
        if text:
            self.state, self._recent, self._since = HEALTHY, [], len(self.readings)
            self.events.append(Event(gan.batches_seen, HEALTHY.name, text, []))
            count = f"{self._rollback.count} of {self.rollbacks}"
            rank_zero_warn(f"FailureMonitor, batch {gan.batches_seen}: {text} ({count}).")
        return bool(text)

    # ---------------------------------------------------------------- page and checkpoints

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.current_epoch + 1 == trainer.max_epochs or trainer.global_step == trainer.max_steps:
            self._write(trainer)  # before the last checkpoint, after which a killed run has nothing left to do

    @override
    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._write(trainer)

    @override
    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        try:
            self._write(trainer)
        except OSError as error:  # such as a full disk, which may be the exception itself
            rank_zero_warn(f"FailureMonitor: its page was not written: {error}", category=UserWarning)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {
            "state": self.state.name,
            "readings": [asdict(reading) for reading in self.readings],
            "events": [asdict(event) for event in self.events],
            "rolled_back": self._rollback.count,
            "since": self._since,
            "recent": [[state.name, evidence] for state, evidence in self._recent],
            "source": self._probe.state_dict(),
        }

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        known = {state.name: state for state in STATES}
        self.state = known.get(state_dict["state"], HEALTHY)
        self._recent = [(known.get(name, HEALTHY), evidence) for name, evidence in state_dict.get("recent", [])]
        self._restored = state_dict.get("source")
        self.readings = [Reading(**reading) for reading in state_dict["readings"]]
        self.events = [Event(**event) for event in state_dict["events"]]
        self._rollback.count, self._since = state_dict["rolled_back"], state_dict["since"]

    def _write(self, trainer: Trainer) -> None:
        if trainer.is_global_zero:
            seen = self.readings[self._since :]
            self._page.write(self.state, self.events, self.readings, explain(self.state, seen, self.thresholds))
