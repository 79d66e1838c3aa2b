"""Objectives: the losses of the two players, made of two costs per sample."""

from lightning_gans.objectives.composed import Relativistic, RelativisticAverage, ZeroSum
from lightning_gans.objectives.simple import Hinge, LeastSquares, Minimax, NonSaturating, Objective, Wasserstein

__all__ = [
    "Hinge",
    "LeastSquares",
    "Minimax",
    "NonSaturating",
    "Objective",
    "Relativistic",
    "RelativisticAverage",
    "Wasserstein",
    "ZeroSum",
]
