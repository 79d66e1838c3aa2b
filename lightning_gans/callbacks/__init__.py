"""Callbacks that observe training and never change it: pictures, scores, the monitor, the report, a clean stop."""

from lightning_gans.callbacks.evaluation import Evaluation
from lightning_gans.callbacks.health import FailureMonitor
from lightning_gans.callbacks.report import Report
from lightning_gans.callbacks.sampling import SampleGrid, SampleWriter
from lightning_gans.callbacks.stopping import SaveWhenStopped

__all__ = ["Evaluation", "FailureMonitor", "Report", "SampleGrid", "SampleWriter", "SaveWhenStopped"]
