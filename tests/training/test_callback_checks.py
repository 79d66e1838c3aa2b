"""Every callback of the installed Lightning works with a GAN, or is refused in one line before training."""

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch import callbacks as kinds
from lightning.pytorch.loggers import CSVLogger

from lightning_gans.data import GaussianRing

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


class FreezeFirst(kinds.BaseFinetuning):
    """Freeze the first layer of the generator in the first epoch."""

    def freeze_before_training(self, pl_module):
        self.freeze(next(one for one in pl_module.generator.modules() if isinstance(one, torch.nn.Linear)))

    def finetune_function(self, pl_module, epoch, optimizer):
        assert epoch >= 0


class Finder(kinds.LearningRateFinder):
    """A user's own search for a learning rate."""


WORKS = {
    "BaseFinetuning": lambda folder: FreezeFirst(),
    "Callback": lambda folder: Callback(),
    "Checkpoint": lambda folder: kinds.Checkpoint(),
    "DeviceStatsMonitor": lambda folder: kinds.DeviceStatsMonitor(),
    "EarlyStopping": lambda folder: kinds.EarlyStopping("val/discriminator_loss"),
    "EMAWeightAveraging": lambda folder: kinds.EMAWeightAveraging(),
    "LambdaCallback": lambda folder: kinds.LambdaCallback(on_train_start=lambda *_: None),
    "LearningRateMonitor": lambda folder: kinds.LearningRateMonitor(),
    "ModelCheckpoint": lambda folder: kinds.ModelCheckpoint(folder / "kept", monitor="val/generator_loss"),
    "ModelPruning": lambda folder: kinds.ModelPruning("l1_unstructured", amount=0.5),
    "ModelSummary": lambda folder: kinds.ModelSummary(),
    "OnExceptionCheckpoint": lambda folder: kinds.OnExceptionCheckpoint(folder),
    "RichModelSummary": lambda folder: kinds.RichModelSummary(),
    "RichProgressBar": lambda folder: kinds.RichProgressBar(),
    "ThroughputMonitor": lambda folder: kinds.ThroughputMonitor(batch_size_fn=len),
    "Timer": lambda folder: kinds.Timer("00:01:00:00"),
    "TQDMProgressBar": lambda folder: kinds.TQDMProgressBar(),
    "WeightAveraging": lambda folder: kinds.WeightAveraging(),
}
REFUSED = {
    "BackboneFinetuning": (kinds.BackboneFinetuning, "use a subclass of BaseFinetuning instead"),
    "BasePredictionWriter": (lambda: kinds.BasePredictionWriter("batch"), "base class.*use a subclass that defines"),
    "BatchSizeFinder": (kinds.BatchSizeFinder, "without the other callbacks.*give the data a batch_size"),
    "GradientAccumulationScheduler": (
        lambda: kinds.GradientAccumulationScheduler({0: 2}),
        "which player.*generator_accumulation",
    ),
    "LearningRateFinder": (kinds.LearningRateFinder, "a GAN has two.*compare rates"),
    "ProgressBar": (kinds.ProgressBar, "base class.*TQDMProgressBar or RichProgressBar"),
    "SpikeDetection": (kinds.SpikeDetection, "returns one loss; use FailureMonitor instead"),
    "StochasticWeightAveraging": (lambda: kinds.StochasticWeightAveraging(1e-2), "use GeneratorEMA instead"),
}


def test_every_callback_of_the_installed_lightning_is_in_one_of_the_tables():
    assert set(kinds.__all__) == set(WORKS) | set(REFUSED) and not set(WORKS) & set(REFUSED)


def fit(gan, quiet, callback, folder, **settings):
    logger = CSVLogger(folder, "log")
    trainer = Trainer(**{**quiet, "max_epochs": 2, "logger": logger, **settings}, callbacks=[callback])
    trainer.fit(gan, GaussianRing(num_samples=24, batch_size=8, num_val_samples=8))
    return trainer


@pytest.mark.parametrize("name", WORKS)
def test_a_callback_that_works(name, make_gan, quiet, tmp_path):
    if name.startswith("Rich"):
        pytest.importorskip("rich")
    if name == "DeviceStatsMonitor":
        pytest.importorskip("psutil")
    gan = make_gan()
    before = [parameter.detach().clone() for parameter in gan.parameters()]
    bar = name.endswith("ProgressBar") or None
    summary = name.endswith("ModelSummary") or None
    trainer = fit(
        gan,
        quiet,
        WORKS[name](tmp_path),
        tmp_path,
        enable_progress_bar=bool(bar),
        enable_model_summary=bool(summary),
        enable_checkpointing=name.endswith("Checkpoint"),
    )
    assert gan.discriminator_updates == gan.generator_updates == 6 and trainer.state.finished
    assert not all(map(torch.equal, before, gan.parameters()))


@pytest.mark.parametrize("name", REFUSED)
def test_a_callback_that_does_not_fit_is_refused_before_training(name, make_gan, quiet, weights, tmp_path):
    make, message = REFUSED[name]
    gan = make_gan()
    before = weights(gan)
    bar = {"enable_progress_bar": True} if name == "ProgressBar" else {}
    with pytest.raises(ValueError, match=message) as refused:
        fit(gan, quiet, make(), tmp_path, **bar)
    assert str(refused.value).startswith(name) and "\n" not in str(refused.value)
    assert torch.equal(weights(gan), before) and gan.discriminator_updates == 0


def test_a_subclass_of_a_callback_that_does_not_fit_is_refused(make_gan, quiet, tmp_path):
    with pytest.raises(ValueError, match="Finder raises one learning rate"):
        fit(make_gan(), quiet, Finder(), tmp_path)


def test_a_checkpoint_by_time_is_refused_since_lightning_would_not_save_it(make_gan, quiet, tmp_path):
    from datetime import timedelta

    keeper = kinds.ModelCheckpoint(tmp_path / "kept", train_time_interval=timedelta(seconds=1))
    with pytest.raises(ValueError, match=r"ModelCheckpoint\(train_time_interval=.*use every_n_train_steps"):
        fit(make_gan(), quiet, keeper, tmp_path, enable_checkpointing=True)


def test_a_pruned_run_resumes(make_gan, quiet, tmp_path):
    pruning = lambda: kinds.ModelPruning("l1_unstructured", amount=0.5)  # noqa: E731
    trainer = fit(make_gan(), quiet, pruning(), tmp_path, max_epochs=1)
    trainer.save_checkpoint(tmp_path / "pruned.ckpt")
    gan = make_gan()
    other = Trainer(**{**quiet, "max_epochs": 2}, callbacks=[pruning()])
    data = GaussianRing(num_samples=24, batch_size=8, num_val_samples=8)
    other.fit(gan, data, ckpt_path=tmp_path / "pruned.ckpt")
    assert gan.discriminator_updates == 6
