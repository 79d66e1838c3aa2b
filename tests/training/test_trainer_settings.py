"""Settings of the Trainer whose value has no meaning are refused in one line; schedules count what they are told to."""

from datetime import timedelta

import pytest
import torch
from lightning.pytorch import Trainer
from torch.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau, StepLR

REFUSED = {
    "min_epochs": ({"min_epochs": -3}, r"^Trainer\(min_epochs=-3\): expected a whole number of at least 0"),
    "min_steps": ({"min_steps": -1}, r"^Trainer\(min_steps=-1\): expected a whole number of at least 0"),
    "log": ({"log_every_n_steps": -5}, r"^Trainer\(log_every_n_steps=-5\)"),
    "sanity": ({"num_sanity_val_steps": -2}, r"^Trainer\(num_sanity_val_steps=-2\)"),
    "epochs": ({"min_epochs": 3}, r"^Trainer\(min_epochs=3, max_epochs=1\): .* lower min_epochs or raise max_epochs.$"),
    "steps": ({"min_steps": 3, "max_steps": 2}, r"^Trainer\(min_steps=3, max_steps=2\)"),
    "no batches": ({"limit_train_batches": 0}, r"limit_train_batches=0\) trains nothing; give a number of batches"),
    "no fraction": ({"limit_train_batches": 0.0}, r"limit_train_batches=0\) trains nothing"),
    "negative time": ({"max_time": timedelta(seconds=-5)}, r"is -5 seconds; expected a time above 0, such as 00"),
    "negative part": ({"max_time": {"minutes": -1}}, r"max_time\) is -60 seconds"),
    "no time": ({"max_time": "00:00:00:00"}, r"max_time\) is 0 seconds"),
    "file as folder": ({"default_root_dir": "/dev/null/x"}, r"r /dev/null/x: '/dev/null' is not a folder"),
}  # fmt: skip


@pytest.mark.parametrize(("settings", "message"), REFUSED.values(), ids=REFUSED)
def test_values_without_a_meaning(make_gan, fit, weights, settings, message):
    gan = make_gan()
    before = weights(gan)
    with pytest.raises(ValueError, match=message) as refused:
        fit(gan, **settings)
    assert "\n" not in str(refused.value)
    assert torch.equal(weights(gan), before) and gan.discriminator_updates == 0


@pytest.mark.parametrize(
    "settings",
    [
        *({"min_epochs": 0}, {"min_epochs": 1}, {"min_steps": 1, "max_steps": 2}, {"num_sanity_val_steps": -1}),
        *({"max_time": "00:01:00:00"}, {"log_every_n_steps": 0}, {"limit_train_batches": 1}),
        {"max_epochs": -1, "max_steps": 2, "min_epochs": 1},
    ],
    ids=str,
)
def test_values_with_a_meaning(make_gan, fit, settings):
    gan = make_gan()
    fit(gan, **settings)
    assert gan.discriminator_updates > 0


def test_a_whole_number_of_batches_is_no_fraction(make_gan, fit):
    gan = make_gan()
    fit(gan, 5, limit_train_batches=1)
    assert gan.discriminator_updates == 1
    fit(gan, 5, limit_train_batches=1.0)
    assert gan.discriminator_updates == 6


# ---------------------------------------------------------------- schedules


def rates_of(gan, fit, batches=3, epochs=3, **settings):
    """Return the generator's learning rate at each of its updates."""
    rates = []
    original = gan.on_before_optimizer_step
    gan.on_before_optimizer_step = lambda optimizer: (
        rates.append(optimizer.param_groups[0]["lr"]) if gan.player_of(optimizer) == "generator" else None,
        original(optimizer),
    )
    fit(gan, batches, max_epochs=epochs, **settings)
    return [round(rate / 1e-4, 6) for rate in rates]


def schedule(**settings):
    return {"generator_scheduler": lambda optimizer: {"scheduler": StepLR(optimizer, 1, gamma=0.5), **settings}}


def test_a_schedule_counts_updates(make_gan, fit):
    plain = make_gan(generator_scheduler=lambda optimizer: StepLR(optimizer, 1, gamma=0.5))
    every = [0.5**update for update in range(9)]
    assert rates_of(plain, fit) == pytest.approx(every, abs=1e-6)
    for settings in ({}, {"interval": "step"}, {"name": "rate"}):
        assert rates_of(make_gan(**schedule(**settings)), fit) == pytest.approx(every, abs=1e-6)


def test_the_interval_epoch_is_honoured(make_gan, fit):
    assert rates_of(make_gan(**schedule(interval="epoch")), fit) == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]
    every_second = make_gan(**schedule(interval="epoch", frequency=2))
    assert rates_of(every_second, fit, epochs=5, batches=1) == [1, 1, 0.5, 0.5, 0.25]


def test_a_frequency_of_updates_is_honoured(make_gan, fit):
    assert rates_of(make_gan(**schedule(frequency=2)), fit, batches=6, epochs=1) == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_epochs_are_counted_on_after_a_resume(make_gan, fit, weights, tmp_path):
    def made():
        return make_gan(
            **schedule(interval="epoch"), discriminator_scheduler=lambda optimizer: ExponentialLR(optimizer, 0.9)
        )

    whole = made()
    fit(whole, 2, max_epochs=4)
    fit(made(), 2, max_epochs=2).save_checkpoint(tmp_path / "a.ckpt")
    resumed = made()
    assert rates_of(resumed, fit, 2, 4, ckpt_path=tmp_path / "a.ckpt") == [0.25, 0.25, 0.125, 0.125]
    assert torch.equal(weights(resumed), weights(whole))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda o: {"scheduler": StepLR(o, 1), "interval": "week"}, r"\(interval='week'\): expected one of step, ep"),
        (lambda o: {"scheduler": StepLR(o, 1), "frequency": 0}, r"scheduler\(frequency=0\): expected a whole number"),
        (ReduceLROnPlateau, "needs a metric, .* use a schedule that counts updates, such as ExponentialLR"),
        (lambda o: {"scheduler": ReduceLROnPlateau(o), "monitor": "val/fd"}, "ReduceLROnPlateau needs a metric"),
    ],
)  # fmt: skip
def test_schedules_without_a_meaning(make_gan, quiet, batches, made, message):
    gan = make_gan(generator_scheduler=made)
    with pytest.raises(ValueError, match=message):
        Trainer(**quiet).fit(gan, batches(1))
    assert gan.discriminator_updates == 0
