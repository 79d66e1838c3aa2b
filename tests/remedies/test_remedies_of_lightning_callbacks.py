"""Every remedy for a callback of Lightning that does not fit a GAN works when it is done."""

from datetime import timedelta
from functools import partial

import pytest
import torch
from helpers import both, small_gan
from lightning.pytorch import Trainer
from lightning.pytorch import callbacks as kinds
from remedied import each_row, fit
from torch.utils.data import DataLoader

from lightning_gans.callbacks import Evaluation, FailureMonitor
from lightning_gans.data import GaussianRing
from lightning_gans.metrics import ModeCoverage
from lightning_gans.optimizers import Adam
from lightning_gans.stabilizers import GeneratorEMA

pytestmark = [pytest.mark.untrusted]

BATCHES = list(torch.rand(2, 8, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1)


def run(gan=None, data=BATCHES, **settings):
    fit(small_gan() if gan is None else gan, data, **settings)


def beside(*callbacks, data=BATCHES, gan=None, **settings):
    run(gan, data, callbacks=list(callbacks), **settings)


def validated(*callbacks, **settings):
    beside(*callbacks, data=GaussianRing(num_samples=16, batch_size=8, num_val_samples=16), **settings)


class Finetuning(kinds.BaseFinetuning):
    """Trains the generator's first layer from the second epoch on."""

    def __init__(self):
        super().__init__()
        self.players = []

    def freeze_before_training(self, pl_module):
        self.freeze(pl_module.generator.layers[0])

    def finetune_function(self, pl_module, epoch, optimizer):
        self.players.append(pl_module.player_of(optimizer))
        if epoch == 1:
            self.make_trainable(pl_module.generator.layers[0])


def finetuned(*methods):
    gan, callback = small_gan(), Finetuning()
    first = gan.generator.layers[0].weight.clone()
    beside(callback, gan=gan, max_epochs=2)
    assert callback.players == ["generator", "discriminator"] * 2 and all(name in vars(Finetuning) for name in methods)
    assert not torch.equal(gan.generator.layers[0].weight, first)


class Writer(kinds.BasePredictionWriter):
    """Keeps predictions."""

    def __init__(self, interval):
        super().__init__(interval)
        self.kept = []

    def write_on_batch_end(self, trainer, pl_module, prediction, *_):
        self.kept.append(prediction)

    def write_on_epoch_end(self, trainer, pl_module, predictions, batch_indices):
        self.kept += predictions


class Bar(kinds.ProgressBar):
    """A progress bar that shows nothing."""

    def disable(self):
        """It shows nothing."""

    def enable(self):
        """It shows nothing."""


def predicted(callback, folder):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "default_root_dir": folder}
    trainer = Trainer(accelerator="cpu", logger=False, callbacks=[callback], **quiet)
    trainer.predict(small_gan(), DataLoader(BATCHES, batch_size=None), return_predictions=False)
    assert [len(samples) for samples in callback.kept] == [8, 8]


def writers(folder):
    for interval in ("batch", "epoch"):
        predicted(Writer(interval), folder)


def bar(callback):
    beside(callback, enable_progress_bar=True)


def scored():
    figures = []
    for rate in (1e-3, 1e-1):
        evaluation = Evaluation([ModeCoverage()], num_samples=16, statistics=None)
        validated(evaluation, gan=small_gan(**both(partial(Adam, lr=rate))))
        figures.append(evaluation.board.figures)
    assert all("modes" in one for one in figures)


def monitored():
    monitor = FailureMonitor(every_n_steps=1, num_samples=8)
    beside(monitor)
    assert len(monitor.readings) == 2 and monitor.state.name == "healthy"


def kept(folder, **every):
    beside(kinds.ModelCheckpoint(folder, filename="{step}", **every), enable_checkpointing=True)


def kept_by_batches(folder):
    kept(folder, every_n_train_steps=2)
    assert [file.name for file in folder.iterdir()] == ["step=2.ckpt"]


REMEDIES = {
    "raises one learning rate until": (
        lambda: beside(kinds.LearningRateFinder()),
        {"leave it out, and compare rates (generator_optimizer, discriminator_optimizer) by a score": scored},
    ),
    "tries batches without the other callbacks": (
        lambda: beside(kinds.BatchSizeFinder()),
        {
            "leave it out, give the data a batch_size, and the model {} and {} to need less memory": lambda *names: run(
                small_gan(**dict.fromkeys(names, 2)), DataLoader(torch.cat(BATCHES), batch_size=4)
            )
        },
    ),
    "give the model generator_accumulation or": (
        lambda: beside(kinds.GradientAccumulationScheduler({0: 2})),
        {"give the model {} or {} instead": lambda *names: [run(small_gan(**{name: 2})) for name in names]},
    ),
    "needs a single optimizer": (
        lambda: beside(kinds.StochasticWeightAveraging(1e-2)),
        {"use GeneratorEMA instead": lambda: beside(GeneratorEMA())},
    ),
    "needs a training_step that returns one loss": (
        lambda: beside(kinds.SpikeDetection()),
        {"use FailureMonitor instead": monitored},
    ),
    "trains the backbone with every optimizer": (
        lambda: beside(kinds.BackboneFinetuning()),
        {"use a subclass of BaseFinetuning instead, whose finetune_function gets each optimizer in turn": finetuned},
    ),
    "is a base class without an effect": (
        lambda: beside(kinds.BaseFinetuning()),
        {"use a subclass that defines {} and {}": finetuned},
    ),
    "saves nothing here": (
        lambda folder: kept(folder, train_time_interval=timedelta(seconds=1)),
        {"use every_n_train_steps instead, which counts batches": kept_by_batches},
    ),
}
VARIANTS = {  # of messages above, and of those in the same functions, which advise by what they find
    "writer": (
        "BasePredictionWriter is a base class",
        lambda folder: predicted(kinds.BasePredictionWriter("batch"), folder),
        {"use a subclass that defines write_on_batch_end or write_on_epoch_end": writers},
    ),
    "bar": (
        "ProgressBar is a base class",
        lambda: bar(kinds.ProgressBar()),
        {
            "use a subclass that defines disable and enable": lambda: bar(Bar()),
            "or TQDMProgressBar": lambda: bar(kinds.TQDMProgressBar()),
        },
    ),
}


test_a_remedy_works = each_row(REMEDIES)
test_a_remedy_for_what_is_found_works = each_row(VARIANTS)
