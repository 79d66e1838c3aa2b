"""Every flag of the installed Trainer works with a GAN, or is refused in one line before training."""

import inspect
from datetime import timedelta

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.profilers import SimpleProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy

from lightning_gans.checkpoints import AtomicCheckpointIO
from lightning_gans.data import GaussianRing

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

# a flag → settings, and the number of batches that a run of two epochs of three batches then trains
WORKS = {
    "accelerator": [({"accelerator": "cpu"}, 6), ({"accelerator": "auto"}, 6)],
    "strategy": [({"strategy": "auto"}, 6), ({"strategy": SingleDeviceStrategy(device="cpu")}, 6)],
    "devices": [({"devices": 1}, 6)],
    "num_nodes": [({"num_nodes": 1}, 6)],
    "precision": [({"precision": "bf16-mixed"}, 6), ({"precision": "64-true"}, 6)],
    "logger": [({"logger": False}, 6), ({"logger": True}, 6)],
    "callbacks": [({"callbacks": [Callback()]}, 6)],
    "fast_dev_run": [({"fast_dev_run": True}, 1), ({"fast_dev_run": 2}, 2)],
    "max_epochs": [({"max_epochs": 1}, 3)],
    "min_epochs": [({"min_epochs": 1}, 6)],
    "max_steps": [({"max_steps": 4}, 4)],
    "min_steps": [({"min_steps": 1}, 6)],
    "max_time": [({"max_time": "00:01:00:00"}, 6), ({"max_time": timedelta(hours=1)}, 6)],
    "limit_train_batches": [({"limit_train_batches": 1}, 2), ({"limit_train_batches": 0.67}, 4)],
    "limit_val_batches": [({"limit_val_batches": 0}, 6), ({"limit_val_batches": 1}, 6)],
    "limit_test_batches": [({"limit_test_batches": 1}, 6)],
    "limit_predict_batches": [({"limit_predict_batches": 1}, 6)],
    "overfit_batches": [({"overfit_batches": 2}, 4), ({"overfit_batches": 0.1}, 2), ({"overfit_batches": 1.0}, 6)],
    "val_check_interval": [({"val_check_interval": 0.5}, 6), ({"val_check_interval": 2}, 6)],
    "check_val_every_n_epoch": [({"check_val_every_n_epoch": 2}, 6)],
    "num_sanity_val_steps": [({"num_sanity_val_steps": 0}, 6), ({"num_sanity_val_steps": -1}, 6)],
    "log_every_n_steps": [({"log_every_n_steps": 2}, 6), ({"log_every_n_steps": 0}, 6)],
    "enable_checkpointing": [({"enable_checkpointing": True}, 6)],
    "enable_progress_bar": [({"enable_progress_bar": True}, 6)],
    "enable_model_summary": [({"enable_model_summary": True}, 6)],
    "accumulate_grad_batches": [({"accumulate_grad_batches": 1}, 6)],
    "gradient_clip_val": [({"gradient_clip_val": 0.0}, 6)],
    "gradient_clip_algorithm": [({"gradient_clip_algorithm": "norm"}, 6)],
    "deterministic": [({"deterministic": True}, 6)],
    "benchmark": [({"benchmark": True}, 6)],
    "inference_mode": [({"inference_mode": False}, 6)],
    "use_distributed_sampler": [({"use_distributed_sampler": False}, 6)],
    "profiler": [({"profiler": SimpleProfiler()}, 6), ({"profiler": "advanced"}, 6)],
    "detect_anomaly": [({"detect_anomaly": True}, 6)],
    "barebones": [({"barebones": True}, 6)],
    "plugins": [({"plugins": [AtomicCheckpointIO()]}, 6)],
    "sync_batchnorm": [({"sync_batchnorm": True}, 6)],
    "reload_dataloaders_every_n_epochs": [({"reload_dataloaders_every_n_epochs": 1}, 6)],
    "default_root_dir": [({}, 6)],
    "enable_autolog_hparams": [({"enable_autolog_hparams": False}, 6)],
}
ELSEWHERE = {
    "model_registry": "a login at Lightning's own platform"
}  # flags that a test cannot try, and what they need
REFUSED = [  # settings, and the line
    ({"gradient_clip_val": 0.5}, "cannot know which player.*discriminator_clip 1.0"),
    ({"accumulate_grad_batches": 2}, "cannot know which player.*generator_accumulation"),
    ({"max_steps": 0}, "train nothing"),
    ({"max_epochs": 0}, "train nothing"),
    ({"val_check_interval": 0}, "expected numbers above 0"),
]


def test_every_flag_of_the_installed_trainer_is_in_the_table():
    flags = set(inspect.signature(Trainer).parameters)
    assert flags == set(WORKS) | set(ELSEWHERE) and not set(WORKS) & set(ELSEWHERE)


def train(gan, quiet, **settings):
    settings = {**quiet, "max_epochs": 2, "log_every_n_steps": 3, **settings}
    if settings.get("barebones"):  # it allows no setting of what it switches off
        settings = {"barebones": True, "accelerator": "cpu", "max_epochs": 2}
    trainer = Trainer(**settings)
    trainer.fit(gan, GaussianRing(num_samples=24, batch_size=8, num_val_samples=16))
    return trainer


@pytest.mark.parametrize(
    ("settings", "batches"),
    [pytest.param(*case, id=f"{flag} {number}") for flag, cases in WORKS.items() for number, case in enumerate(cases)],
)
def test_a_flag_that_works(settings, batches, make_gan, quiet):
    gan = make_gan()
    train(gan, quiet, **settings)
    torch.use_deterministic_algorithms(False)
    assert (gan.discriminator_updates, gan.generator_updates) == (batches, batches)


@pytest.mark.parametrize(("settings", "message"), REFUSED, ids=str)
def test_a_flag_without_a_meaning_for_two_players_is_one_line(settings, message, make_gan, quiet, weights):
    gan = make_gan()
    before = weights(gan)
    with pytest.raises(ValueError, match=message) as refused:
        train(gan, quiet, **settings)
    assert "\n" not in str(refused.value) and torch.equal(weights(gan), before)


def test_a_fraction_to_overfit_is_at_least_one_batch_of_each_split(make_gan, quiet):
    trainer = train(make_gan(), quiet, overfit_batches=0.1)
    assert trainer.num_training_batches == 1 and trainer.num_val_batches == [1]


def test_a_timer_ends_the_run(make_gan, quiet):
    gan = make_gan()
    train(gan, quiet, max_time={"milliseconds": 1}, min_epochs=None)
    assert gan.discriminator_updates <= 1


def test_early_stopping_ends_the_run_by_a_metric_of_the_validation(make_gan, quiet, tmp_path):
    gan = make_gan()
    stopping = EarlyStopping("val/generator_loss", mode="min", stopping_threshold=1e9)
    train(gan, quiet, callbacks=[stopping], max_epochs=9, logger=CSVLogger(tmp_path))
    assert gan.discriminator_updates == 3
