"""Validation, test and prediction with the generator's evaluation weights."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from lightning.pytorch import Callback, Trainer
from typing_extensions import override

from lightning_gans.training.checks import is_gan


class EvaluationWeights(Callback):
    """Enter `GAN.evaluation_weights` for the whole of a validation, test or prediction.

    `GAN` adds it where a stabilizer, such as `GeneratorEMA`, or the model itself has evaluation weights. Callbacks find
    them in every hook between `on_validation_start` and `on_validation_end`, and a subclass may override
    `validation_step` freely.
    """

    def __init__(self) -> None:
        self._entered = ExitStack()

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        if is_gan(pl_module):
            self._entered.enter_context(pl_module.evaluation_weights())

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._entered.close()

    on_test_start = on_predict_start = on_validation_start
    on_test_end = on_predict_end = on_validation_end

    @override
    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        self._entered.close()
