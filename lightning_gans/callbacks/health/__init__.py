"""What is going wrong in a training: readings of it, rules that name its state, and the monitor that reports it."""

from lightning_gans.callbacks.health.diagnosis import diagnose
from lightning_gans.callbacks.health.failure_monitor import FailureMonitor
from lightning_gans.callbacks.health.health_probe import HealthProbe
from lightning_gans.callbacks.health.readings import Reading
from lightning_gans.callbacks.health.states import STATES, State
from lightning_gans.callbacks.health.thresholds import Thresholds

__all__ = ["STATES", "FailureMonitor", "HealthProbe", "Reading", "State", "Thresholds", "diagnose"]
