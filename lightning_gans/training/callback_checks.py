"""Callbacks of Lightning that do not fit two players: each is refused before training, with what to use instead."""

from __future__ import annotations

from lightning.pytorch import Callback, Trainer
from lightning.pytorch import callbacks as kinds
from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_gans.attached import attached

_UNFIT: dict[type[Callback], str] = {
    kinds.LearningRateFinder: (
        "raises one learning rate until the loss diverges, but a GAN has two, and losses that do not measure quality; "
        "leave it out, and compare rates (generator_optimizer, discriminator_optimizer) by a score"
    ),
    kinds.BatchSizeFinder: (
        "tries batches without the other callbacks, such as penalties, and finds sizes that then do not fit into "
        "memory; leave it out, give the data a batch_size, and the model generator_accumulation and "
        "discriminator_accumulation to need less memory"
    ),
    kinds.GradientAccumulationScheduler: (
        "cannot know which player it means; give the model generator_accumulation or discriminator_accumulation instead"
    ),
    kinds.StochasticWeightAveraging: (
        "needs a single optimizer; use GeneratorEMA instead, which averages the generator's weights"
    ),
    kinds.SpikeDetection: (
        "needs a training_step that returns one loss; use FailureMonitor instead, which names what goes wrong"
    ),
    kinds.BackboneFinetuning: (
        "trains the backbone with every optimizer, and a GAN has two; use a subclass of BaseFinetuning instead, whose "
        "finetune_function gets each optimizer in turn"
    ),
}
_BASES = {
    kinds.BaseFinetuning: "freeze_before_training and finetune_function",
    kinds.BasePredictionWriter: "write_on_batch_end or write_on_epoch_end",
    kinds.ProgressBar: "disable and enable, or TQDMProgressBar or RichProgressBar",
}


def callbacks_fit(trainer: Trainer) -> None:
    """Refuse callbacks of Lightning that cannot work with two players, and bare base classes.

    Raises:
        ValueError: naming the callback, why it does not fit, and what to use instead.
    """
    for callback in attached(trainer, Callback):
        name = type(callback).__name__
        for kind, reason in _UNFIT.items():
            if isinstance(callback, kind):
                raise ValueError(f"{name} {reason}.")
        for base, methods in _BASES.items():
            if type(callback) is base:
                raise ValueError(f"{name} is a base class without an effect; use a subclass that defines {methods}.")
        # the interval has no public attribute but this key
        if isinstance(callback, ModelCheckpoint) and "'train_time_interval': None" not in callback.state_key:
            raise ValueError(
                f"{name}(train_time_interval=...) saves nothing here: Lightning ignores it where a model has two "
                "optimizers; use every_n_train_steps instead, which counts batches."
            )
