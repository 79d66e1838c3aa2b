"""The stabilizers: one idea, one file."""

from lightning_gans.stabilizers.gradient_penalty import GradientPenalty
from lightning_gans.stabilizers.weight_clipping import WeightClipping

__all__ = ["GradientPenalty", "WeightClipping"]
