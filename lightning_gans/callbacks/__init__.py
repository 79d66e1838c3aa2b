"""Callbacks that observe and never alter the game."""

from lightning_gans.callbacks.sampling import SampleGrid, SampleWriter

__all__ = ["SampleGrid", "SampleWriter"]
