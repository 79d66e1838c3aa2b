"""Where trials are made: in processes of this machine, or as jobs of a cluster."""

from __future__ import annotations

import multiprocessing
import os
import threading
import warnings
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from typing_extensions import override

from lightning_gans.trials.trial import perform


class Launcher(ABC):
    """Make the trial of a folder somewhere; a subclass defines `make`, which several threads call at once."""

    @abstractmethod
    def make(self, folder: Path) -> str:
        """Make the trial of a folder, and wait for its end; return what it said last, if it has failed."""


class LocalProcesses(Launcher):
    """Make each trial in a process of this machine, which ends when this one does.

    Where the system can (Linux, macOS), one process imports everything and each trial is a fork of it: importing takes
    longer than training a small GAN for a few hundred batches.
    """

    def __init__(self) -> None:
        kind = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        self._context: Any = multiprocessing.get_context(kind)

    @override
    def make(self, folder: Path) -> str:
        if self._context.get_start_method() == "forkserver":
            self._context.set_forkserver_preload(["lightning_gans.cli.commands"])
        process = self._context.Process(target=_perform_alone, args=(folder.absolute(),))
        process.start()
        process.join()
        if (process.exitcode or 0) < 0:
            return f"its process was killed by signal {-process.exitcode}, such as for lack of memory"
        log = folder / "log.txt"
        said = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
        return said[-1] if said else f"its process has ended with exit code {process.exitcode}"


def _perform_alone(folder: Path) -> None:
    """Make a trial in this process, and end it when the one that asked for it has ended."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    warnings.simplefilter("ignore")
    with open(folder / "log.txt", "a") as log:
        for stream in (1, 2):  # of libraries that are not Python's too
            os.dup2(log.fileno(), stream)
        perform(folder)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class Submitit(Launcher):
    """Make each trial as a job of submitit: on a cluster with SLURM, or in processes of this machine.

    Every machine has to see the folder of the trials under the same path. What a job prints is in the folder `jobs`
    beside the trials. A job that was cancelled, or that ran out of its time, is resumed by the same command again.

    Args:
        cluster: of submitit: slurm, or local for processes of this machine; None for SLURM where there is one.
        parameters: of a job, as submitit's `update_parameters` takes them: timeout_min, gpus_per_node, cpus_per_task,
            slurm_partition, …

    Raises:
        ModuleNotFoundError: without submitit.
        ValueError: for parameters that submitit refuses, or a cluster that is not there.
    """

    def __init__(self, cluster: str | None = None, parameters: dict[str, Any] | None = None) -> None:
        try:
            import submitit  # noqa: F401 - before anything is started
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                'jobs of a cluster need submitit; pip install "lightning-gans[cluster]", or leave out --launcher.',
                name="submitit",
            ) from None
        self.cluster = cluster
        self.parameters = {"timeout_min": 24 * 60} | (parameters or {})
        self._lock = threading.Lock()
        self._executor: Any = None

    @override
    def make(self, folder: Path) -> str:
        with self._lock:
            job = self._executor_beside(folder).submit(perform, folder.absolute())
        error = job.exception()
        return "" if error is None else str(error).strip().splitlines()[-1]

    def _executor_beside(self, folder: Path) -> Any:
        if self._executor is None:
            import submitit

            try:
                executor = submitit.AutoExecutor(folder.parent.absolute() / "jobs", self.cluster)
                executor.update_parameters(**self.parameters)
            except (RuntimeError, NameError, ValueError, TypeError, AssertionError) as error:
                raise ValueError(f"Submitit(cluster={self.cluster}): {error}") from None
            self._executor = executor
        return self._executor
