"""Where a run goes on: the newest checkpoint of an experiment that can be read."""

import os
from pathlib import Path

from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from lightning_gans import checkpoints


def last_checkpoint(folder: Path, job: str | None = None) -> str | None:
    """The newest checkpoint below an experiment's folder that can be read; of a job of SLURM its own, or None."""
    by_run = [_last_first(list(place.glob("*.ckpt"))) for place in folder.glob("*/checkpoints")]
    found = [path for files in sorted(filter(None, by_run), key=lambda files: _age(files[0])) for path in files]
    unreadable = []
    for path in found:
        if path.name == "healthy.ckpt":  # the FailureMonitor's, from before a failure
            continue
        try:
            saved = checkpoints.read_checkpoint(path)
        except ValueError:
            unreadable.append(str(path))
            continue
        if job is not None and saved.get("callbacks", {}).get("SaveWhenStopped", {}).get("job") != job:
            continue
        if unreadable:
            rank_zero_warn(f"{', '.join(unreadable)} cannot be read; going on from {path}, the newest that can.")
        return str(path)
    if job is not None:
        return None
    if unreadable:
        raise ValueError(f"--ckpt_path last: none of {', '.join(unreadable)} can be read; give a checkpoint's path.")
    raise FileNotFoundError(f"--ckpt_path last: no run below '{folder}' has a last.ckpt; give a checkpoint's path.")


def _last_first(files: list[Path]) -> list[Path]:
    """The checkpoints of one run in the order in which they are tried: last.ckpt, then the newest."""
    return sorted(files, key=lambda path: (path.name != "last.ckpt", _age(path)))


def _age(path: Path) -> int:
    return -path.stat().st_mtime_ns


def is_queued_again() -> bool:
    """Whether SLURM has started this job again."""
    return os.environ.get("SLURM_RESTART_COUNT", "0") not in ("", "0")
