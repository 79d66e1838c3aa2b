"""A run that is told to stop, by SIGTERM or by SLURM, keeps where it is first."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn


class SaveWhenStopped(Checkpoint):
    """On SIGTERM finishes the running batch, saves `last.ckpt`, and ends the run with exit code 143.

    `--ckpt_path last` goes on from there, bit for bit. After the last batch of an epoch the epoch is finished too, with
    its validation and scores, where there is time for it. In several processes one that is told is enough; they stop
    together.

    Under SLURM the same happens on the signal that announces the end of the allotted time, SIGUSR1 unless
    `SLURMEnvironment` was given another (`#SBATCH --signal=USR1@120` asks for it two minutes ahead), and the job is
    queued again. Started once more, `lightning-gans fit` finds the last checkpoint of its own job and goes on.
    Lightning's own handler would save in the middle of a step.

    It needs a `ModelCheckpoint`, in whose folder it saves. The command line adds it to every run.

    Args:
        requeue: whether to put a job of SLURM back into the queue.
    """

    def __init__(self, requeue: bool = True):
        self.requeue = requeue
        self._told: int | None = None  # the signal
        self._stops = False
        self._before: dict[int, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        """The job of SLURM that made the checkpoint."""
        return {"job": slurm_job()}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen, in place of Lightning's handlers, which act at once."""
        self._told, self._stops = None, False
        if threading.current_thread() is not threading.main_thread() or os.name == "nt":
            return
        signals = [signal.SIGTERM]
        environment = getattr(trainer.strategy, "cluster_environment", None)
        if self.requeue and SLURMEnvironment.detect():
            asked = getattr(environment, "requeue_signal", None) or signal.SIGUSR1
            signals.append(asked)
        for one in signals:
            self._before[one] = signal.signal(one, self._note)

    def _note(self, signum: int, frame: Any) -> None:
        self._told = signum

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save after a batch."""
        self._stops = self._saves_if_told(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """End the run, now that the figures of the batch before are logged too."""
        if self._stops:
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save and end the run after an epoch."""
        if self._saves_if_told(trainer):
            self._stop(trainer)

    def _saves_if_told(self, trainer: Trainer) -> bool:
        if not trainer.strategy.reduce_boolean_decision(self._told is not None, all=False):
            return False
        name = "a signal to another process" if self._told is None else signal.Signals(self._told).name
        folders = [getattr(one, "dirpath", None) for one in trainer.checkpoint_callbacks]
        folder = next(filter(None, folders), None)
        if folder is None:
            rank_zero_warn(f"{name}: the run ends, and without a ModelCheckpoint nothing of it is kept.")
        else:
            path = Path(folder, "last.ckpt")
            trainer.save_checkpoint(path)
            rank_zero_info(f"{name}: the run is kept in {path} and ends here; --ckpt_path last goes on.")
        return True

    def _stop(self, trainer: Trainer) -> None:
        if self._told not in (None, signal.SIGTERM) and trainer.is_global_zero:
            _queue_again()
        raise SIGTERMException(128 + signal.SIGTERM)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the signals to whoever had them."""
        for one, handler in self._before.items():
            signal.signal(one, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """The same after a run that broke off."""
        self.on_train_end(trainer, pl_module)


def slurm_job() -> str | None:
    """The job of SLURM that this process belongs to, which stays the same when it is queued again."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def _queue_again() -> None:
    command = ["scontrol", "requeue", str(slurm_job())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        failed = done.stderr.strip() if done.returncode else ""
    except (OSError, subprocess.SubprocessError) as error:
        failed = str(error)
    if failed:
        rank_zero_warn(f"`{' '.join(command)}` failed ({failed}); queue the job again by hand.")
