"""What the training log writes, when, and that it can be replaced."""

from functools import partial

import pytest
import torch
from helpers import Scale, Steps
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers.logger import DummyLogger
from torch.optim.lr_scheduler import ExponentialLR
from torch.utils.data import DataLoader

from lightning_gans.optimizers import SGD
from lightning_gans.step import Step
from lightning_gans.training import TrainingLog


class Log(DummyLogger):
    def __init__(self):
        super().__init__()
        self.lines = []

    def log_metrics(self, metrics, step=None):
        self.lines.append((step, metrics))

    @property
    def name(self):
        return "log"

    @property
    def version(self):
        return 0


def test_losses_are_logged_every_n_steps(make_gan, fit):
    log, seen = Log(), Steps()
    fit(make_gan(n_critic=2), 7, logger=log, log_every_n_steps=3, callbacks=[seen, Scale(shift=2.0)])
    assert [step for step, _ in log.lines] == [2, 5]
    (_, first), (_, second) = log.lines
    steps = seen.steps[5]
    differ = first.keys() ^ second.keys()
    assert differ == {"loss/generator", "gradients/generator"}, "the third batch has no update of G"
    assert second["loss/discriminator"] == pytest.approx(steps["discriminator"].loss.item())
    assert second["loss/generator"] == pytest.approx(steps["generator"].loss.item())
    assert second["loss/shift"] == 2
    assert second["discriminator/real_logit"] == pytest.approx(steps["discriminator"].real_logits.mean().item())
    assert second["discriminator/fake_logit"] == pytest.approx(steps["discriminator"].fake_logits.mean().item())
    assert (second["progress/discriminator_updates"], second["progress/generator_updates"]) == (6, 3)


def test_what_is_logged_is_grouped(make_gan, fit):
    log = Log()
    fit(make_gan(), logger=log, callbacks=[Scale(shift=2.0)])
    assert set(log.lines[0][1]) - {"epoch"} == {
        "loss/generator",
        "loss/discriminator",
        "loss/shift",
        "discriminator/real_logit",
        "discriminator/fake_logit",
        "discriminator/separation",
        "discriminator/learning_rate",
        "generator/learning_rate",
        "gradients/generator",
        "gradients/discriminator",
        "progress/generator_updates",
        "progress/discriminator_updates",
        "progress/images",
    }


@pytest.mark.parametrize("every", [1, 3])
def test_the_gradients_are_those_of_the_step(make_gan, fit, norms, every):
    noting, seen = norms
    log = Log()
    fit(make_gan(generator_optimizer=noting, discriminator_optimizer=noting), 6, logger=log, log_every_n_steps=every)
    places = range(every - 1, 6, every)
    assert [line["gradients/discriminator"] for _, line in log.lines] == pytest.approx([seen[2 * i] for i in places])
    assert [line["gradients/generator"] for _, line in log.lines] == pytest.approx([seen[2 * i + 1] for i in places])


def test_gradients_are_logged_before_they_are_clipped(make_gan, fit):
    plain, clipped = Log(), Log()
    still = {"generator_optimizer": partial(SGD, lr=0.0), "discriminator_optimizer": partial(SGD, lr=0.0)}
    fit(make_gan(**still), logger=plain)
    fit(make_gan(**still, generator_clip=1e-3, discriminator_clip=1e-3), logger=clipped)
    for (_, line), (_, other) in zip(plain.lines, clipped.lines, strict=True):
        for player in ("generator", "discriminator"):
            assert line[f"gradients/{player}"] == pytest.approx(other[f"gradients/{player}"], rel=1e-6)
            assert line[f"gradients/{player}"] > 1e-3


def test_the_learning_rates_are_those_of_the_step(make_gan, fit):
    log = Log()
    decay = partial(ExponentialLR, gamma=0.5)
    rates = {"generator_optimizer": partial(SGD, lr=0.1), "discriminator_optimizer": partial(SGD, lr=0.4)}
    fit(make_gan(**rates, generator_scheduler=decay), 3, logger=log)
    assert [line["generator/learning_rate"] for _, line in log.lines] == pytest.approx([0.05, 0.025, 0.0125])
    assert [line["discriminator/learning_rate"] for _, line in log.lines] == pytest.approx([0.4, 0.4, 0.4])


@pytest.mark.parametrize(
    ("real", "fake", "expected"),
    [([1.0, 2.0], [0.0, 0.0], 1), ([0.0, 0.0], [1.0, 2.0], 0), ([1.0, 1.0], [1.0, 1.0], 0.5), ([3.0], [1.0, 9.0], 1)],
)
def test_the_separation_is_how_often_a_real_sample_is_above_a_fake(make_gan, real, fake, expected):
    step = Step(torch.zeros(()), torch.zeros(1), torch.tensor(fake), None, torch.tensor(real))
    assert step.logit_metrics()["discriminator/separation"] == expected
    assert make_gan().metrics({"discriminator": step})["discriminator/separation"] == expected


def test_images_are_counted_over_processes_parts_of_batches_and_resumes(make_gan, batches, fit, tmp_path, monkeypatch):
    log, gan = Log(), make_gan()
    data = [*batches(2), batches(1, size=3)[0]]
    fit(gan, data, logger=log).save_checkpoint(tmp_path / "a.ckpt")
    assert [line["progress/images"] for _, line in log.lines] == [8, 16, 19]
    log, gan = Log(), make_gan()
    monkeypatch.setattr(Trainer, "world_size", 2)
    fit(gan, data, logger=log, max_epochs=2, ckpt_path=tmp_path / "a.ckpt")
    assert [line["progress/images"] for _, line in log.lines] == [35, 51, 57]


@pytest.mark.parametrize("settings", [{"log_every_n_steps": 0}, {"barebones": True}], ids=str)
def test_logging_can_be_switched_off(make_gan, fit, quiet, settings):
    if "barebones" in settings:  # the Trainer's own way to ask for speed alone
        for name in ("logger", "enable_progress_bar", "enable_checkpointing", "enable_model_summary"):
            quiet[name] = None
        quiet["log_every_n_steps"] = None
    gan = make_gan()
    fit(gan, **settings)
    assert gan.discriminator_updates == 2


@pytest.mark.parametrize(("precision", "rate"), [("32-true", torch.tensor(0.3).item()), ("64-true", 0.3)])
def test_learning_rates_are_in_the_precision_of_the_module(make_gan, fit, precision, rate):
    log = Log()
    fit(make_gan(generator_optimizer=partial(SGD, lr=0.3)), logger=log, precision=precision)
    assert log.lines[0][1]["generator/learning_rate"] == rate


def test_callbacks_find_the_metrics_of_the_batch(make_gan, fit):
    class Reader(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            found.append((trainer.callback_metrics["loss/generator"].item(), outputs["generator"].loss.item()))

    found = []
    fit(make_gan(), 3, callbacks=[Reader()])
    assert len(found) == 3 and all(logged == loss for logged, loss in found)


def test_a_log_of_ones_own_takes_its_place(make_gan, batches, fit):
    class Quiet(TrainingLog):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            pl_module.log("mine", outputs["generator"].loss)

    log, gan = Log(), make_gan()
    trainer = fit(gan, logger=log, callbacks=[Quiet()])
    trainer.validate(gan, DataLoader(batches(1), batch_size=None), verbose=False)
    assert set(log.lines[0][1]) == {"mine", "epoch"}
    assert sum(isinstance(callback, TrainingLog) for callback in trainer.callbacks) == 1
