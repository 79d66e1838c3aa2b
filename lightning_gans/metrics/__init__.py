"""Scores of a generator, as torchmetrics with one signature: `update(samples, real)`."""

from lightning_gans.metrics.score import Score

__all__ = ["Score"]
