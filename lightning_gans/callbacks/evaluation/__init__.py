"""Scores during training and afterwards, beside real samples whose statistics are kept on disk."""

from lightning_gans.callbacks.evaluation.evaluation import Evaluation

__all__ = ["Evaluation"]
