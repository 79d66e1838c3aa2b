"""Callbacks that never change the steps of training: pictures, scores, the monitor, the report, its start and end."""

from lightning_gans.callbacks.evaluation import Evaluation
from lightning_gans.callbacks.health import FailureMonitor
from lightning_gans.callbacks.report import Report
from lightning_gans.callbacks.sampling import SampleGrid, SampleWriter
from lightning_gans.callbacks.save_at_end import SaveAtEnd
from lightning_gans.callbacks.start_from import StartFrom
from lightning_gans.callbacks.stopping import SaveWhenStopped

__all__ = [
    "Evaluation",
    "FailureMonitor",
    "Report",
    "SampleGrid",
    "SampleWriter",
    "SaveAtEnd",
    "SaveWhenStopped",
    "StartFrom",
]
