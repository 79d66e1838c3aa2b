"""Monitors and scripted diagnoses for the tests of FailureMonitor."""

from lightning_gans.callbacks import FailureMonitor
from lightning_gans.callbacks.health import failure_monitor
from lightning_gans.callbacks.health.states import HEALTHY, MODE_COLLAPSE, SOFT_COLLAPSE

GOOD, BAD, WORSE = HEALTHY, MODE_COLLAPSE, SOFT_COLLAPSE


def script(monkeypatch, *states):
    """Let the rules find these states, one per reading; the last one stays."""
    left = list(states)

    def diagnose(readings, thresholds):
        state = left.pop(0) if len(left) > 1 else left[0]
        return state, f"scripted as {state.name}"

    monkeypatch.setattr(failure_monitor, "diagnose", diagnose)


def make_monitor(kind=FailureMonitor, **settings):
    """Return a monitor that reads every batch and reports a failure after two readings."""
    return kind(**{"every_n_steps": 1, "num_samples": 8, "patience": 2, **settings})


def reported(monitor):
    """Return when which state was reported."""
    return [(event.batch, event.state) for event in monitor.events]
