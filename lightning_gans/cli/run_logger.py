"""The logger of a run's folder, whose `metrics.csv` continues where a resumed run continues."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path
from typing import Any

from lightning.pytorch.core.saving import save_hparams_to_yaml
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor
from typing_extensions import override

Row = dict[str, Any]


class RunLogger(CSVLogger):
    """Lightning's CSVLogger for a run that may be resumed in its folder: rows of earlier processes are kept.

    Args:
        save_dir: the folder of all experiments.
        name: the name of the experiment.
        version: the number of the run.
    """

    def __init__(self, save_dir: str, name: str, version: int):
        super().__init__(save_dir, name=name, version=version)
        self._table: Table | None = None

    @property
    @override
    @rank_zero_experiment
    def experiment(self) -> Table:  # with the methods of Lightning's that are called
        if self._table is None:
            self._table = Table(Path(self.log_dir))
        return self._table

    @override
    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self._table is not None:
            self._table.save()


class Table:
    """The rows of `metrics.csv` in a folder; the file is replaced as a whole wherever more than rows is written.

    Args:
        folder: where the file is, or will be.

    Attributes:
        metrics: rows that are not written yet.
        training: names in the last row of the training in this epoch.
        awaits_training: whether the next row of an epoch is of the training.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.path = folder / "metrics.csv"
        self.metrics: list[Row] = []
        self.training: set[str] = set()
        self.awaits_training = False
        self._names: list[str] = []
        self._repeated: list[Row] = []  # rows that a resumed run may log once more
        self._hparams: Row = {}

    def begin(self, batches: int, last_is_logged: bool) -> None:
        """Drop the rows that a resumed run repeats or would not have.

        Args:
            batches: how many batches the run has trained on; rows of later ones are dropped.
            last_is_logged: whether the last of them is one of those that are logged; else the losses of a run that was
                stopped there are dropped.
        """
        self._names, rows = self._read()
        before = [row for row in rows if int(float(row["step"])) < batches]
        last = [row for row in before if int(float(row["step"])) == batches - 1]
        stopped = (
            [] if last_is_logged else [row for row in last if any(name.startswith("loss/") for name in _filled(row))]
        )
        self._repeated = [row for row in last if row not in stopped]
        if self.path.is_file():
            self._replace([row for row in before if row not in stopped])

    def has(self, names: set[str], step: int) -> bool:
        """Return whether an earlier process wrote a row with all these names."""
        return any(int(float(row["step"])) == step and all(row.get(name) for name in names) for row in self._repeated)

    def log_metrics(self, metrics: Row, step: int | None = None) -> None:
        """Add a row, unless a resumed run repeats one that an earlier process has written."""
        row = {name: value.item() if isinstance(value, Tensor) else value for name, value in metrics.items()}
        if self.awaits_training and "epoch" in row:
            self.training, self.awaits_training = set(row), False
        row["step"] = len(self.metrics) if step is None else step
        text = {name: str(value) for name, value in row.items()}
        if {name: value for name, value in text.items() if value} in [_filled(row) for row in self._repeated]:
            return
        self.metrics.append(row)

    def log_hparams(self, params: Row) -> None:
        """Write hyperparameters into hparams.yaml."""
        self._hparams |= params
        self.folder.mkdir(parents=True, exist_ok=True)
        save_hparams_to_yaml(str(self.folder / "hparams.yaml"), self._hparams)

    def save(self) -> None:
        """Write the rows that are not written yet."""
        if not self.metrics:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        new, self.metrics = self.metrics, []
        if set().union(*new) - set(self._names) or not self.path.is_file():
            names, rows = self._read()
            self._names = sorted(set(names).union(*new))
            self._replace([*rows, *new])
        else:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self._names).writerows(new)

    def _read(self) -> tuple[list[str], list[Row]]:
        """Return the names and the whole rows of the file; a kill may have cut off its last line."""
        if not self.path.is_file():
            return [], []
        text = self.path.read_text(encoding="utf-8", errors="replace")
        reader = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
        rows = [row for row in reader if None not in row and None not in row.values() and _is_number(row.get("step"))]
        return list(reader.fieldnames or []), rows

    def _replace(self, rows: list[Row]) -> None:
        unfinished = self.path.with_suffix(".unfinished")
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._names)
            writer.writeheader()
            writer.writerows(rows)
        os.replace(unfinished, self.path)


def _filled(row: Row) -> Row:
    return {name: value for name, value in row.items() if value}


def _is_number(text: Any) -> bool:
    try:
        return math.isfinite(float(text))
    except (TypeError, ValueError):
        return False
