"""A watch over the game that names what is going wrong, shows the evidence, and says what helps."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch.optim import Optimizer

from lightning_gans.attached import attached
from lightning_gans.callbacks.health.diagnosis import HEALTHY, NOT_A_NUMBER, STATES, State, Thresholds, diagnose
from lightning_gans.callbacks.health.page import Event, write_page
from lightning_gans.callbacks.health.readings import Reading, Readings
from lightning_gans.gan import GAN
from lightning_gans.stabilizer import Stabilizer
from lightning_gans.step import Batch
from lightning_gans.training.non_finite import NonFinite, NonFiniteError, NonFiniteGuard, ending

_GRADIENTS_PER_READING = 5
_KEPT = 2_000  # readings; of the older half every second one is dropped beyond


class FailureMonitor(Callback):
    """Watches a game and names its state: healthy, a mode collapse, an oscillation, a vanishing gradient, ….

    Every `every_n_steps` batches it takes a `Reading` (losses, gradients, what D can tell, D's slopes, and one small
    batch of fixed latents beside real samples), and `diagnose` names the state by fixed rules. A state that lasts for
    `patience` readings is said: one line on the console with the evidence and what its sources recommend, an alert
    in W&B, and the curves as `health/…` in every logger. The run's folder gets `health.md`, a page with the verdict
    and the curves, and `health.json`. The game is not touched, its random numbers included.

    Where it can, it rolls back: the networks, optimizers and stabilizers of the last healthy checkpoint, with both
    learning rates halved. Numbers that are none end a run that does not roll back: the game itself sees to that, with
    a `NonFiniteError` that names the step, and the monitor says it too.

    It costs a forward of `num_samples` fakes and a gradient of D at 32 samples per reading, at most 1 % of a step of
    DCGAN-64 (`benchmarks/failure_monitor.py --cost`). In several processes the first one judges for all.

    Args:
        every_n_steps: batches between readings, at least 1; 0 switches the monitor off.
        patience: readings for which a game must be failing before it is said, at least 1, by the name that most of
            them have; twice as many healthy ones end it. Numbers that are none are said at once.
        num_samples: fakes per reading, at least 8; points take four times as many.
        stop: whether a failure ends the run; from the command line with exit code 1.
        rollbacks: how often, at most, a failure sets the game back to its last healthy checkpoint.
        thresholds: where the rules draw their lines.
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
        for name, value, least in (
            ("every_n_steps", every_n_steps, 0),
            ("patience", patience, 1),
            ("num_samples", num_samples, 8),
            ("rollbacks", rollbacks, 0),
        ):
            if not value >= least:
                raise ValueError(f"FailureMonitor({name}={value}): expected at least {least}.")
        self.every_n_steps = every_n_steps
        self.patience = patience
        self.num_samples = num_samples
        self.stop = stop
        self.rollbacks = rollbacks
        self.thresholds = thresholds
        self.seed = seed
        self.state: State = HEALTHY
        self.readings: list[Reading] = []
        self.events: list[Event] = []
        self.ended = ""  # why it has ended the run, in words
        self.healthy_checkpoint: Path | None = None  # to which a failure sets the game back
        self._source: Readings | None = None
        self._interrupted: dict[str, Any] | None = None  # what the readings of the run that goes on rest on
        self._recent: list[tuple[State, str]] = []
        self._batches = 0
        self._rolled_back = 0
        self._since = 0  # the number of readings before the game was last set back
        self._healthy_at: int | None = None
        self._suspect: Reading | None = None  # one with NaN or infinity, about which the guard is asked
        self._folder: Path | None = None

    # ---------------------------------------------------------------- what passes by

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the run's folder; every process must ask, since Lightning has them agree on it."""
        folder = trainer.log_dir
        writes = bool(trainer.loggers) and stage == "fit" and not trainer.fast_dev_run  # type: ignore[attr-defined]
        self._folder = Path(folder) if folder and writes else None

    def on_train_start(self, trainer: Trainer, pl_module: GAN) -> None:  # type: ignore[override]
        """Begin to watch."""
        self.ended = ""
        points = len(pl_module.generator.sample_shape) == 1
        self._source = Readings((4 if points else 1) * self.num_samples, self.seed)
        if self._interrupted is not None:
            self._source.load_state_dict(self._interrupted, pl_module.device)
            self._interrupted = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: GAN, batch: Batch, batch_idx: int) -> None:  # type: ignore[override]
        """Count."""
        self._batches = pl_module.batches_seen

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: GAN, optimizer: Optimizer) -> None:  # type: ignore[override]
        """Note a gradient's norm, now and then."""
        if self.every_n_steps and self._batches % max(1, self.every_n_steps // _GRADIENTS_PER_READING) == 0:
            self._source.note_gradient(pl_module, optimizer)  # type: ignore[union-attr]

    def on_train_batch_end(self, trainer: Trainer, pl_module: GAN, outputs: Any, batch: Batch, batch_idx: int) -> None:  # type: ignore[override]
        """Note the steps, and take a reading where one is due."""
        if not self.every_n_steps or self._source is None:
            return
        self._source.note_real(pl_module, batch)
        self._source.note_steps(outputs)
        if self._batches % self.every_n_steps:
            return
        reading = self._source.take(pl_module, self._batches)
        guard = next(iter(attached(trainer, NonFiniteGuard)), None)
        if not reading.finite and guard is not None and self._suspect is None:
            self._suspect = reading  # the guard, which comes later in this batch, knows the update
            guard.check_soon()
            return
        self._suspect = None
        self._keep(reading)
        self._log(trainer, reading)
        self._judge(trainer, pl_module)

    def on_non_finite(self, trainer: Trainer, pl_module: GAN, found: NonFinite) -> bool:
        """Report NaN or infinity that the guard has found, and roll back where that is possible.

        Returns:
            Whether an earlier state was restored, so that training continues.
        """
        if not self.every_n_steps or self._source is None:
            return False
        reading = self._suspect or self._source.take(pl_module, self._batches)
        self._suspect = None
        self._keep(reading)
        self._log(trainer, reading)
        self.state = NOT_A_NUMBER
        self._say(trainer, pl_module, f"in batch {found.batch} {found.words}")
        if not self._can_roll_back:
            return False
        self._roll_back(trainer, pl_module)
        return True

    def _keep(self, reading: Reading) -> None:
        self.readings.append(reading)
        if len(self.readings) > _KEPT:
            self.readings[: _KEPT // 2] = self.readings[: _KEPT // 2 : 2]
            self._since = max(0, self._since - _KEPT // 4)

    def _log(self, trainer: Trainer, reading: Reading) -> None:
        figures = {f"health/{name}": value for name, value in reading.figures().items() if not math.isnan(value)}
        for logger in trainer.loggers:
            logger.log_metrics(figures, step=self._batches - 1)  # as Lightning counts

    # ---------------------------------------------------------------- the judgement

    def _judge(self, trainer: Trainer, gan: GAN) -> None:
        state, evidence = diagnose(self.readings[self._since :], self.thresholds)
        if trainer.world_size > 1:  # the readings of processes differ; what follows from them must not
            state, evidence = trainer.strategy.broadcast((state, evidence))
        self._recent = [*self._recent, (state, evidence)][-2 * self.patience :]
        said = self._verdict(trainer)
        if said != self.state:
            self.state = said
            self._say(trainer, gan, next(words for one, words in reversed(self._recent) if one == said))
            if said != HEALTHY:
                self._act(trainer, gan)
        elif state == self.state == HEALTHY and self.rollbacks and len(self.readings) % 5 == 0:
            self._save(trainer)

    def _verdict(self, trainer: Trainer) -> State:
        """The state that the last readings come to; games in trouble often waver between two of its names."""
        recent = [state for state, _ in self._recent]
        last, lasting = recent[-1], recent[-self.patience :]
        if last == NOT_A_NUMBER:
            scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
            sure = not scaled or recent[-2:] == [NOT_A_NUMBER] * 2  # a scaler skips an overflow, and recovers
            return NOT_A_NUMBER if sure else self.state
        if self.state == HEALTHY:
            lasts = len(lasting) == self.patience and HEALTHY not in lasting
            return Counter(reversed(lasting)).most_common(1)[0][0] if lasts else HEALTHY
        lasting = lasting if last != HEALTHY else recent  # a failure that pauses is not over
        enough = self.patience if last != HEALTHY else 2 * self.patience
        return last if lasting == [last] * enough else self.state

    def _say(self, trainer: Trainer, gan: GAN, evidence: str) -> None:
        remedies = self.state.advice(_classes_of(gan) | {trainer.precision})
        self.events.append(Event(self._batches, self.state.name, evidence, remedies))
        text = f"FailureMonitor, batch {self._batches}: {self.state.name}. {evidence[0].upper()}{evidence[1:]}."
        if remedies:
            text += " Try: " + "; ".join(remedies) + "."
        self._write(trainer)
        if trainer.is_global_zero:
            self.announce(trainer, text)

    def announce(self, trainer: Trainer, text: str) -> None:
        """Say it, on the console and as an alert in W&B; override it to have it said elsewhere too."""
        bar = trainer.progress_bar_callback
        bar.print(text) if isinstance(bar, ProgressBar) and bar.is_enabled else print(text, flush=True)  # type: ignore[attr-defined]
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger) and self.state != HEALTHY:
                logger.experiment.alert(title=self.state.name, text=text)

    # ---------------------------------------------------------------- what follows from it

    def _act(self, trainer: Trainer, gan: GAN) -> None:
        if self._can_roll_back:
            self._roll_back(trainer, gan)
        elif self.state == NOT_A_NUMBER:  # of the samples to show, as by BatchNorm's averages; steps have their own way
            raise NonFiniteError(ending(trainer, self._batches, self.events[-1].evidence))
        elif self.stop:
            trainer.should_stop = True
            self.ended = f"FailureMonitor ends the run at batch {self._batches}: {self.state.name}."
            rank_zero_warn(self.ended, category=UserWarning)

    @property
    def _can_roll_back(self) -> bool:
        return self._rolled_back < self.rollbacks and self._healthy_at is not None

    def _healthy_checkpoint(self, trainer: Trainer) -> Path:
        return Path(self._folder or trainer.default_root_dir, "checkpoints", "healthy.ckpt")

    def _save(self, trainer: Trainer) -> None:
        path = self._healthy_checkpoint(trainer)
        trainer.save_checkpoint(path)
        self._healthy_at, self.healthy_checkpoint = self._batches, path

    def _roll_back(self, trainer: Trainer, gan: GAN) -> None:
        """Networks, optimizers and stabilizers as they were; the run goes on with the batches that come."""
        path = self._healthy_checkpoint(trainer)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        stabilizers = [callback for callback in trainer.callbacks if isinstance(callback, Stabilizer)]  # type: ignore[attr-defined]
        gan.on_load_checkpoint(checkpoint)
        for stabilizer in stabilizers:
            stabilizer.on_load_checkpoint(trainer, gan, checkpoint)
            if stabilizer.state_key in checkpoint["callbacks"]:
                stabilizer.load_state_dict(checkpoint["callbacks"][stabilizer.state_key])
        gan.load_state_dict(checkpoint["state_dict"])
        self._rolled_back += 1
        for optimizer, saved in zip(trainer.optimizers, checkpoint["optimizer_states"], strict=True):
            optimizer.load_state_dict(saved)
            for group in optimizer.param_groups:
                group["lr"] *= 0.5**self._rolled_back
        for config in trainer.lr_scheduler_configs:
            config.scheduler.base_lrs = [rate / 2 for rate in config.scheduler.base_lrs]
        self.state, self._recent, self._since = HEALTHY, [], len(self.readings)
        text = f"back to the game of batch {self._healthy_at}, with {0.5**self._rolled_back:g} of the learning rates"
        self.events.append(Event(self._batches, HEALTHY.name, text, []))
        rank_zero_warn(f"FailureMonitor, batch {self._batches}: {text} ({self._rolled_back} of {self.rollbacks}).")

    # ---------------------------------------------------------------- what stays of it

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the page."""
        self._write(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write the page of a run that breaks off, unless that is what cannot be done."""
        try:
            self._write(trainer)
        except OSError as error:  # such as a full disk, which is why the run breaks off
            rank_zero_warn(f"FailureMonitor: its page was not written: {error}", category=UserWarning)

    def state_dict(self) -> dict[str, Any]:
        """Readings and events, so that a resumed run goes on judging where it stopped."""
        return {
            "state": self.state.name,
            "readings": [asdict(reading) for reading in self.readings],
            "events": [asdict(event) for event in self.events],
            "rolled_back": self._rolled_back,
            "since": self._since,
            "recent": [[state.name, evidence] for state, evidence in self._recent],
            "source": None if self._source is None else self._source.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore them."""
        known = {state.name: state for state in STATES}
        self.state = known.get(state_dict["state"], HEALTHY)
        self._recent = [(known.get(name, HEALTHY), evidence) for name, evidence in state_dict.get("recent", [])]
        self._interrupted = state_dict.get("source")
        self.readings = [Reading(**reading) for reading in state_dict["readings"]]
        self.events = [Event(**event) for event in state_dict["events"]]
        self._rolled_back, self._since = state_dict["rolled_back"], state_dict["since"]

    def _write(self, trainer: Trainer) -> None:
        if self._folder is not None and trainer.is_global_zero and self.readings:
            write_page(self._folder, self.state, self.events, self.readings)


def _classes_of(gan: GAN) -> set[str]:
    """What the game is made of, by class name, so that nobody is advised to do what is done."""
    parts = (gan, gan.objective, *gan.active_stabilizers)
    return {kind.__name__ for part in parts for kind in type(part).__mro__}
