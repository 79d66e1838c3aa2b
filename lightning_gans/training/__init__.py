"""What a GAN adds to every Trainer: the log, the settings, guards, clipping, evaluation weights."""

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint

from lightning_gans.attached import attached
from lightning_gans.training.data_guard import DataGuard
from lightning_gans.training.evaluation_weights import EvaluationWeights
from lightning_gans.training.gradients import GradientClipping
from lightning_gans.training.metric_names import has_validation, metric_names, returns_metrics, undeclared_terms
from lightning_gans.training.non_finite import NonFinite, NonFiniteError, NonFiniteGuard
from lightning_gans.training.run_settings import RunSettings
from lightning_gans.training.training_log import TrainingLog

__all__ = [
    "DataGuard",
    "EvaluationWeights",
    "GradientClipping",
    "NonFinite",
    "NonFiniteError",
    "NonFiniteGuard",
    "RunSettings",
    "TrainingLog",
    "attach_callbacks",
    "has_validation",
    "metric_names",
    "returns_metrics",
    "undeclared_terms",
]


def attach_callbacks(trainer: Trainer, clips: bool, averages: bool) -> None:
    """Add the callbacks of this package that a Trainer lacks; its own instances, also of subclasses, are kept.

    `TrainingLog` becomes the first, so that the others find this batch's metrics, and `RunSettings` the second, so that
    it refuses before others begin long work and stabilizers find their states. The rest are put behind the user's
    callbacks, which see unclipped gradients, and before checkpoints, which must not hold NaN.

    Args:
        trainer: the Trainer.
        clips: whether a gradient is to be clipped.
        averages: whether a stabilizer has evaluation weights.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined] # set by one of the Trainer's parts
    for first in (RunSettings, TrainingLog):
        if not attached(trainer, first):
            callbacks.insert(0, first())
    for kind in [DataGuard, NonFiniteGuard] + [GradientClipping] * clips + [EvaluationWeights] * averages:
        if not attached(trainer, kind):
            saves = [isinstance(callback, Checkpoint) for callback in callbacks]
            callbacks.insert(saves.index(True) if any(saves) else len(callbacks), kind())
