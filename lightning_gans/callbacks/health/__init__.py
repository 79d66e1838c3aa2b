"""What is going wrong in a game: readings of it, rules that name its state, and the monitor that says so."""

from lightning_gans.callbacks.health.diagnosis import STATES, State, Thresholds, diagnose
from lightning_gans.callbacks.health.failure_monitor import FailureMonitor
from lightning_gans.callbacks.health.readings import Reading, Readings

__all__ = ["STATES", "FailureMonitor", "Reading", "Readings", "State", "Thresholds", "diagnose"]
