"""A callback that saves a run before a signal, SIGTERM or that of SLURM, ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from typing_extensions import override


class SaveWhenStopped(Checkpoint):
    """On SIGTERM, finish the current batch, save `last.ckpt`, and end the run with exit code 143.

    `--ckpt_path last` resumes from there; the result is bitwise identical to that of an uninterrupted run. After the
    last batch of an epoch the epoch is finished too, with its validation and scores, where there is time for it. With
    several processes, a signal to one of them stops all together.

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

    @override
    def state_dict(self) -> dict[str, Any]:
        """Return the job of SLURM that made the checkpoint."""
        return {"job": slurm_job()}

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Replace Lightning's signal handlers, which act at once."""
        self._received, self._stopping = None, False
        if threading.current_thread() is not threading.main_thread() or os.name == "nt":
            return
        signals = [signal.SIGTERM]
        environment = getattr(trainer.strategy, "cluster_environment", None)
        if self.requeue and SLURMEnvironment.detect():
            asked = getattr(environment, "requeue_signal", None) or signal.SIGUSR1
            signals.append(asked)
        for one in signals:
            self._handlers[one] = signal.signal(one, self._note)

    def _note(self, signum: int, frame: Any) -> None:
        self._received = signum

    @override
    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._stopping = self._save_if_signalled(trainer)

    @override
    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """End the run, now that the metrics of the last batch are logged too."""
        if self._stopping:
            self._stop(trainer)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        if self._save_if_signalled(trainer):
            self._stop(trainer)

    def _save_if_signalled(self, trainer: Trainer) -> bool:
        if not trainer.strategy.reduce_boolean_decision(self._received is not None, all=False):
            return False
        name = "a signal to another process" if self._received is None else signal.Signals(self._received).name
        folders = [getattr(one, "dirpath", None) for one in trainer.checkpoint_callbacks]
        folder = next(filter(None, folders), None)
        if folder is None:
            rank_zero_warn(f"{name}: the run ends, and nothing is saved, since it has no ModelCheckpoint.")
        else:
            path = Path(folder, "last.ckpt")
            trainer.save_checkpoint(path, weights_only=False)
            rank_zero_info(f"{name}: the run is saved in {path} and ends here; resume it with --ckpt_path last.")
        return True

    def _stop(self, trainer: Trainer) -> None:
        if self._received not in (None, signal.SIGTERM) and trainer.is_global_zero:
            _requeue()
        raise SIGTERMException(128 + signal.SIGTERM)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Restore the signal handlers."""
        for one, handler in self._handlers.items():
            signal.signal(one, signal.SIG_DFL if handler is None else handler)
        self._handlers = {}

    @override
    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        self.on_train_end(trainer, pl_module)


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
