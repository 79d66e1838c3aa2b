"""A callback that saves a run before Ctrl-C or a signal, SIGTERM or that of SLURM, ends it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from typing_extensions import override

from lightning_gans.attached import attached
from lightning_gans.training.ending import last_checkpoint
from lightning_gans.training.kept_checkpoints import last_path


class RunStopped(SIGTERMException):
    """Ends a run that a signal has stopped, with exit code 128 + the signal's number: 130 for Ctrl-C, 143 for SIGTERM.

    Args:
        number: the signal's number.
    """

    def __init__(self, number: int):
        super().__init__(128 + number)
        self.number = number


class SaveWhenStopped(Checkpoint):
    """On Ctrl-C or SIGTERM, finish the current batch, save `last.ckpt`, say how to resume, and end the run.

    The exit code is 130 after Ctrl-C and 143 after SIGTERM. The result of a resumed run is bitwise identical to that of
    an uninterrupted one. A validation that is under way, with its evaluation, ends between two batches, and the resumed
    run repeats it; an evaluation after the epoch ends too, and its figures are missing. A checkpoint that is being
    saved is completed. Ctrl-C a second time ends the run at once, with the checkpoints that are there. With several
    processes, a signal to one of them stops all together, and a validation, but not its evaluation, is completed.

    Under SLURM the same happens on the signal that announces the end of the allotted time, SIGUSR1 unless
    `SLURMEnvironment` was given another (`#SBATCH --signal=USR1@120` asks for it two minutes ahead), and the job is
    requeued. Started again, `lightning-gans fit` resumes from the last checkpoint of its own job. Lightning's own
    handler would save in the middle of a step.

    It needs a `ModelCheckpoint`, in whose folder it saves. The command line adds it to every run.

    Args:
        requeue: whether to requeue a job of SLURM.
    """

    def __init__(self, requeue: bool = True):
        self.requeue = requeue
        self._received: int | None = None  # the signal
        self._stopping = False
        self._handlers: dict[int, Any] = {}
        self._folder: str | None = None  # of the run
        self._saved: Path | None = None  # the checkpoint of the current run
        self._repeats_validation = False

    @override
    def state_dict(self) -> dict[str, Any]:
        """Return the job of SLURM that made the checkpoint."""
        return {"job": slurm_job()}

    # ---------------------------------------------------------------- signals

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Replace the signal handlers, which act at once."""
        self._received, self._saved, self._stopping, self._repeats_validation = None, None, False, False
        if threading.current_thread() is not threading.main_thread() or os.name == "nt":
            return
        signals = [signal.SIGTERM, signal.SIGINT]
        environment = getattr(trainer.strategy, "cluster_environment", None)
        if self.requeue and SLURMEnvironment.detect():
            asked = getattr(environment, "requeue_signal", None) or signal.SIGUSR1
            signals.append(asked)
        for one in signals:
            self._handlers[one] = signal.signal(one, self._note)

    def _note(self, signum: int, frame: Any) -> None:
        if signum == signal.SIGINT:
            if self._received is not None:
                raise KeyboardInterrupt
            text = "\nCtrl-C: the run ends after this batch and is saved; press Ctrl-C again to end it at once.\n"
            if os.environ.get("LOCAL_RANK", "0") == "0":
                os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, text.encode())  # safe inside a handler
        self._received = signum

    def _restore_handlers(self) -> None:
        for one, handler in self._handlers.items():
            signal.signal(one, signal.SIG_DFL if handler is None else handler)
        self._handlers = {}

    # ---------------------------------------------------------------- where a run ends

    @override
    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        self._folder = trainer.log_dir  # every process must ask: they agree on it

    @override
    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._stopping = self._is_signalled(trainer)
        if self._stopping:
            self._save(trainer)

    @override
    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """End the run, now that the metrics of the last batch are logged too."""
        if self._stopping:
            self._stop(trainer)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        if self._is_signalled(trainer):
            self._save(trainer)
            self._stop(trainer)

    @override
    def on_validation_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        if trainer.world_size == 1:  # processes may have different numbers of batches here, and cannot agree
            self.end_if_signalled(trainer)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        if self._handlers and self._is_signalled(trainer):
            self._save(trainer)
            self._stop(trainer)
        self._restore_handlers()

    def end_if_signalled(self, trainer: Trainer) -> None:
        """End a run of `fit` outside of its training batches; every process must call it equally often."""
        if self._handlers and self._is_signalled(trainer):
            self._stop(trainer)

    def _is_signalled(self, trainer: Trainer) -> bool:
        return trainer.strategy.reduce_boolean_decision(self._received is not None, all=False)

    def _stop(self, trainer: Trainer) -> None:
        self._repeats_validation = trainer.validating
        raise RunStopped(signal.SIGINT if self._received == signal.SIGINT else signal.SIGTERM)

    @override
    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Save a run that ends in a validation, now that it has its own weights again; say how to resume."""
        training = bool(self._handlers)
        self._restore_handlers()
        if isinstance(exception, RunStopped) and training:
            if self._repeats_validation:
                self._save(trainer)
            if self._received not in (None, signal.SIGTERM, signal.SIGINT) and trainer.is_global_zero:
                _requeue()
            if self._saved is not None:
                rank_zero_info(
                    f"{self._name}: the run ends here and is saved. {resume_with(self._saved, self._folder)}"
                )
        elif isinstance(exception, KeyboardInterrupt) and training:
            left = last_checkpoint(trainer)
            how = resume_with(left, self._folder) if left else "Nothing is saved yet."
            rank_zero_info(f"Ctrl-C: the run ends at once. {how}")

    # ---------------------------------------------------------------- saving

    def _save(self, trainer: Trainer) -> None:
        keeper = next((one for one in trainer.checkpoint_callbacks if getattr(one, "dirpath", None)), None)
        if keeper is None:
            rank_zero_warn(f"{self._name}: the run ends, and nothing is saved, since it has no ModelCheckpoint.")
            return
        self._saved = self._saved or last_path(trainer, keeper)  # a second time it is this run's own
        trainer.save_checkpoint(self._saved, weights_only=False)

    @override
    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Let a run that is resumed in a validation repeat it, as Lightning does where its first batch was cut off."""
        if self._repeats_validation:
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
            progress["current"] = dict.fromkeys(progress["current"], 0)
            progress["total"] |= {"ready": 1, "started": 1, "processed": 0, "completed": 0}

    @property
    def _name(self) -> str:
        if self._received is None:
            return "a signal to another process"
        return "Ctrl-C" if self._received == signal.SIGINT else signal.Signals(self._received).name


def end_if_signalled(trainer: Trainer) -> None:
    """End a run that Ctrl-C or a signal has asked to stop, between two pieces of long work outside of training batches.

    Every process must call it equally often.
    """
    keepers = attached(trainer, SaveWhenStopped) if trainer.state.fn == TrainerFn.FITTING else []
    for callback in keepers:
        callback.end_if_signalled(trainer)
    if not keepers and trainer.strategy.reduce_boolean_decision(trainer.received_sigterm, all=False):
        raise RunStopped(signal.SIGTERM)


def resume_with(checkpoint: str | Path, folder: str | None) -> str:
    """Return in words how to resume from a checkpoint: by a command where the run's folder has a config."""
    path = _shown(checkpoint)
    config = None if folder is None else Path(folder, "config.yaml")
    if config is None or not config.is_file():
        return f"Resume it: trainer.fit(model, data, ckpt_path={path!r})"
    command = shlex.join(["lightning-gans", "fit", "--config", _shown(config), "--ckpt_path", path])
    return f"Resume it: {command}"


def _shown(path: str | Path) -> str:
    path = Path(path).absolute()
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def slurm_job() -> str | None:
    """Return the job of SLURM that this process belongs to, which stays the same when it is requeued."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def _requeue() -> None:
    command = ["scontrol", "requeue", str(slurm_job())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        failed = done.stderr.strip() if done.returncode else ""
    except (OSError, subprocess.SubprocessError) as error:
        failed = str(error)
    if failed:
        rank_zero_warn(f"`{' '.join(command)}` failed ({failed}); requeue the job yourself.")
