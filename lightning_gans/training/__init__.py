"""What a GAN adds to every Trainer: the log, the guard against NaN and infinity, clipping, evaluation weights."""

from lightning.pytorch import Callback, Trainer

from lightning_gans.training.evaluation_weights import EvaluationWeights
from lightning_gans.training.gradients import GradientClipping
from lightning_gans.training.non_finite import NonFinite, NonFiniteError, NonFiniteGuard
from lightning_gans.training.training_log import TrainingLog

__all__ = [
    "EvaluationWeights",
    "GradientClipping",
    "NonFinite",
    "NonFiniteError",
    "NonFiniteGuard",
    "TrainingLog",
    "training_callbacks",
]


def training_callbacks(trainer: Trainer, clips: bool, averages: bool) -> list[Callback]:
    """Return the callbacks of this package that a Trainer lacks, for `configure_callbacks`.

    `TrainingLog` is put before the Trainer's callbacks, so that they find this batch's metrics; the others belong
    behind them, where they see gradients as the callbacks left them, and before checkpoints.

    Args:
        trainer: its own instances of these classes, or of subclasses, are kept.
        clips: whether a gradient is to be clipped.
        averages: whether a stabilizer has evaluation weights.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    kinds = [TrainingLog, NonFiniteGuard] + [GradientClipping] * clips + [EvaluationWeights] * averages
    missing = [kind() for kind in kinds if not any(isinstance(callback, kind) for callback in callbacks)]
    if missing and isinstance(missing[0], TrainingLog):
        callbacks.insert(0, missing.pop(0))
    return missing
