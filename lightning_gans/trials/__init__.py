"""Trainings that are tried beside one another for as many CPU seconds, scored, and shown in one table."""

from lightning_gans.trials.budget import Budget
from lightning_gans.trials.standings import write_standings
from lightning_gans.trials.training import Trained, train
from lightning_gans.trials.trial import Outcome, Trial
from lightning_gans.trials.trials import run_trials

__all__ = ["Budget", "Outcome", "Trained", "Trial", "run_trials", "train", "write_standings"]
