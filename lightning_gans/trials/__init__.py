"""Trainings that are tried beside one another for as many CPU seconds, scored, and shown in one table."""

from lightning_gans.trials.budget import Budget
from lightning_gans.trials.effects import Effect, effects_of
from lightning_gans.trials.effects_page import write_effects
from lightning_gans.trials.launchers import Launcher, LocalProcesses, Submitit
from lightning_gans.trials.standings import write_standings
from lightning_gans.trials.training import ALONE, ENDLESS, Trained, train
from lightning_gans.trials.trial import Outcome, Trial
from lightning_gans.trials.trials import run_trials

__all__ = [
    "ALONE",
    "ENDLESS",
    "Budget",
    "Effect",
    "Launcher",
    "LocalProcesses",
    "Outcome",
    "Submitit",
    "Trained",
    "Trial",
    "effects_of",
    "run_trials",
    "train",
    "write_effects",
    "write_standings",
]
