"""The folder of a run, runs/<experiment>/version_<number>/: one run claims it, and resumes continue in it."""

from __future__ import annotations

import errno
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from lightning_gans.cli.run_logger import RunLogger

_LOCK, _WANDB_ID = ".lock", "wandb_id"
_WRITTEN_BEFORE_TRAINING = ("config.yaml", "hparams.yaml", "metrics.csv", _LOCK, _WANDB_ID)
_LONGEST_NAME = 200  # bytes of a part of an experiment's name


class RunFolder:
    """The folder of a run, new or that of the run that is resumed, and the logger that writes its `metrics.csv`.

    Of the processes of a run the first one claims the folder: it is created there, and locked until the run ends.
    Lightning tells the others which one it is.

    Args:
        runs: the folder of all experiments.
        experiment: the name of the experiment, a folder in it.
        version: the version whose run is resumed, None for a new one.
        claims: whether the run will write into the folder.

    Attributes:
        experiment: the name of the experiment.
        path: the folder.
        logger: what writes its `metrics.csv`.
        is_resumed: whether an earlier process has begun the run.

    Raises:
        ValueError: for a name that is no plain folder's, and for a run that is in progress in another process.
        OSError: for a place where no folder can be made.
    """

    def __init__(self, runs: str, experiment: str, version: int | None = None, claims: bool = True):
        check_name(runs, experiment)
        self.experiment = experiment
        self.is_resumed = version is not None
        self._new: list[Path] = []
        self._lock: int | None = None  # a file descriptor, since Lightning's averaging copies all that a Trainer knows
        place = Path(runs, experiment)
        claims = claims and is_first_process()
        if version is None:
            absent = [folder for folder in (place, *place.parents) if not os.path.lexists(folder)]
            version = _claim(place) if claims else _next(place)
            self._new = [place / f"version_{version}", *absent] if claims else []
        self.path = place / f"version_{version}"
        self.logger = RunLogger(runs, experiment, version)
        if claims:
            self._take()

    def _take(self) -> None:
        """Lock the folder for this process, as long as it lives; a file system without locks does without."""
        try:
            import fcntl
        except ImportError:  # on Windows
            return
        self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise ValueError(
                    f"the run in {self.path} is in progress in another process; wait for its end, or give "
                    f"--experiment another --ckpt_path {self.path}/checkpoints/last.ckpt to continue in a new folder."
                ) from None

    def release(self) -> None:
        """Let other processes resume the run."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove_if_unused(self) -> None:
        """Remove the folders that this command created, where they hold no more than is written before training."""
        self.release()
        with suppress(OSError, ValueError):  # another run has begun in one, or no folder can have the name
            for folder in self._new:
                files = list(folder.iterdir()) if folder.is_dir() else []
                if all(path.name in _WRITTEN_BEFORE_TRAINING for path in files):
                    for path in files:
                        path.unlink()
                    folder.rmdir()

    def place_loggers(self, loggers: Any) -> None:
        """Let the loggers of a config, one or a list, write into this folder unless they have one of their own."""
        for logger in loggers if isinstance(loggers, list) else [loggers]:
            if isinstance(logger, Namespace) and "save_dir" in logger.get("init_args", {}):
                place_logger(self.path, logger)


def is_first_process() -> bool:
    """Return whether this process is the first of its run, as far as that is known before the Trainer is built."""
    ranks = [os.environ.get(name, "0") for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "NODE_RANK")]
    return getattr(rank_zero_only, "rank", 0) == 0 and set(ranks) == {"0"}


def check_name(runs: str, experiment: str) -> None:
    """Refuse names of folders with characters that act on a terminal, and experiments outside of the folder of runs."""
    parts = experiment.split("/")
    fits = all(part.strip() not in ("", ".", "..") and len(os.fsencode(part)) <= _LONGEST_NAME for part in parts)
    if not fits or not experiment.isprintable() or "\\" in experiment or os.path.isabs(experiment):
        raise ValueError(
            f"--experiment {experiment[:80]!r}: expected the name of a folder in --runs, such as dcgan_digits; use "
            "letters, digits, '_' and '-'."
        )
    if not runs.isprintable():
        raise ValueError(f"--runs {runs[:80]!r}: expected the path of a folder in characters that can be printed.")


def version_of(run: Path) -> int:
    """Return the number in the name of a run's folder, −1 for a folder of another name."""
    found = re.fullmatch(r"version_(\d+)", run.name)
    return int(found[1]) if found else -1


def place_logger(folder: Path, logger: Namespace) -> None:
    """Let the config of a logger name a run's folder, unless it names one of its own."""
    own = logger.init_args.get("save_dir")
    if logger.class_path.endswith("TensorBoardLogger") and own == "runs":
        logger.init_args.update(Namespace(save_dir=str(folder), name="", version=""))
    elif logger.class_path.endswith("WandbLogger") and own in (None, "."):
        logger.init_args.save_dir = str(folder.resolve())  # W&B's process may have another working directory
        named = any(logger.init_args.get(key) for key in ("id", "version")) or os.environ.get("WANDB_RUN_ID")
        if not named and is_first_process():
            logger.init_args.id = _wandb_id(folder)


def _next(experiment: Path) -> int:
    return 1 + max((version_of(one) for one in experiment.iterdir()), default=-1) if experiment.is_dir() else 0


def _claim(experiment: Path) -> int:
    """Create the folder of the next version, which of several processes only one can do, and return its number."""
    while True:
        experiment.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError, FileNotFoundError):  # claimed by another run, or removed with a refused one
            version = _next(experiment)
            (experiment / f"version_{version}").mkdir()
            return version


def _wandb_id(folder: Path) -> str:
    """Return the id of the run at W&B, chosen when the run begins and kept beside it for those that resume it."""
    kept = folder / _WANDB_ID
    if kept.is_file() and re.fullmatch(r"[\w-]{1,64}", found := kept.read_text(encoding="utf-8").strip()):
        return found
    begun = sorted(folder.glob("wandb/*run-*-*"))  # of a run from before the id was kept
    new = begun[0].name.rpartition("-")[2] if begun else secrets.token_hex(4)
    kept.write_text(f"{new}\n", encoding="utf-8")
    return new
