"""A page about a run, and the curves on it."""

from lightning_gans.callbacks.report.report import Report

__all__ = ["Report"]
