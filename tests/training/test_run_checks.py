"""A metric that is monitored will be logged: anything else is refused before training, or warned of."""

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader

from lightning_gans import GAN, SEPGAN, Stabilizer
from lightning_gans.callbacks import Evaluation
from lightning_gans.data import GaussianRing
from lightning_gans.metrics import ModeCoverage, PrecisionRecall
from lightning_gans.networks import StochasticEnsembleGenerator
from lightning_gans.networks.classifier import DigitClassifier
from lightning_gans.stabilizers import GradientPenalty, WeightClipping, WeightDecay
from lightning_gans.training import has_validation, metric_names, undeclared_terms

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def ring(**settings):
    return GaussianRing(**{"num_samples": 24, "batch_size": 8, "num_val_samples": 16, **settings})


def train(quiet, gan, *callbacks, data=None, **settings):
    settings = {**quiet, "enable_checkpointing": any(isinstance(one, ModelCheckpoint) for one in callbacks), **settings}
    trainer = Trainer(**settings, callbacks=list(callbacks))
    trainer.fit(gan, ring() if data is None else data)
    return trainer


class Unvalidated(GaussianRing):
    """Data without a validation split."""

    def val_dataloader(self):
        return []


def stopping(monitor, **settings):
    return EarlyStopping(monitor, patience=99, **settings)


def keeping(monitor, **settings):
    return ModelCheckpoint("kept", monitor=monitor, **settings)


# ---------------------------------------------------------------- what is declared is what is logged


def scored():
    return Evaluation([ModeCoverage(), PrecisionRecall()], num_samples=16)


@pytest.mark.parametrize("callbacks", [[], [scored], [lambda: WeightDecay(1e-3)]], ids=["plain", "scored", "term"])
def test_the_declared_names_are_those_that_can_be_monitored(make_gan, quiet, callbacks):
    gan, data = make_gan(), ring()
    trainer = train(quiet, gan, *[make() for make in callbacks], data=data)
    names = set(metric_names(trainer, gan, has_validation(trainer, data)))
    assert names == set(trainer.callback_metrics)


def test_a_model_without_a_discriminator_declares_its_own_names(quiet):
    generator = StochasticEnsembleGenerator((1, 28, 28), width=2, groups=3)
    gan = SEPGAN(generator, DigitClassifier(), total_variation=0.1)
    batches = [torch.rand(4, 1, 28, 28) * 2 - 1] * 2
    trainer = Trainer(**quiet)
    trainer.fit(gan, DataLoader(batches, batch_size=None), DataLoader(batches, batch_size=None))
    assert set(metric_names(trainer, gan)) == set(trainer.callback_metrics)
    assert {"loss/total_variation", "val/loss", "generator/saturated"} <= set(trainer.callback_metrics)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("make", [stopping, keeping])
@pytest.mark.parametrize(
    ("monitor", "says"),
    [
        ("val/generator_los", "did you mean val/generator_loss?"),
        ("val/fd", "use one of val/discriminator_loss, .*scores, such as val/fd, come from an Evaluation"),
        ("val_loss", "use one of loss/generator, loss/discriminator, "),
        ("health/energy", "goes to loggers alone"),
        ("loss/gradient_penalty", "use one of loss/generator, loss/discriminator"),
    ],
)
def test_a_metric_that_does_not_exist_is_refused_before_training(make_gan, quiet, weights, make, monitor, says):
    gan = make_gan()
    before = weights(gan)
    with pytest.raises(ValueError, match=f"monitors {monitor}, which is not logged; .*{says}") as refused:
        train(quiet, gan, make(monitor))
    assert "\n" not in str(refused.value)
    assert torch.equal(weights(gan), before) and gan.discriminator_updates == 0


@pytest.mark.parametrize("loaders", [False, True])
def test_without_a_validation_split_its_metrics_do_not_exist(make_gan, quiet, batches, loaders):
    data = DataLoader(batches(3), batch_size=None) if loaders else Unvalidated(num_samples=24, batch_size=8)
    gan = make_gan()
    with pytest.raises(ValueError, match=r"monitors val/generator_loss, which is not logged.*no validation batches"):
        train(quiet, gan, stopping("val/generator_loss"), data=data)
    with pytest.raises(ValueError, match="no validation batches"):
        train(quiet, gan, stopping("val/generator_loss"), limit_val_batches=0)
    assert gan.discriminator_updates == 0


def test_validation_loaders_are_seen(make_gan, quiet, batches):
    trainer = Trainer(**quiet, callbacks=[stopping("val/generator_loss")])
    trainer.fit(make_gan(), *[DataLoader(batches(2), batch_size=None)] * 2)
    assert trainer.state.finished


@pytest.mark.parametrize("monitor", ["loss/generator", "val/discriminator_loss", "progress/images", "epoch", "step"])
def test_metrics_that_exist_are_monitored(make_gan, quiet, monitor):
    keeper = keeping(monitor)
    train(quiet, make_gan(), keeper)
    assert keeper.best_model_path


def test_a_term_that_a_stabilizer_adds_can_be_monitored(make_gan, quiet):
    keeper = keeping("loss/gradient_penalty")
    train(quiet, make_gan(), GradientPenalty(), keeper)
    assert keeper.best_model_path


class Adds(Stabilizer):
    def on_generator_loss(self, gan, step, loss):
        step.terms["mine"] = loss.detach()
        return loss


def test_a_term_of_a_users_stabilizer_can_be_monitored_and_no_other_is_taken_for_one(make_gan, quiet):
    keeper = keeping("loss/mine")
    train(quiet, make_gan(), Adds(), keeper)
    assert keeper.best_model_path
    assert undeclared_terms(Trainer(**quiet, callbacks=[Adds(), WeightDecay()]), make_gan())
    for callbacks in ([WeightClipping()], [WeightDecay()], [GradientPenalty(0.0)]):
        with pytest.raises(ValueError, match=r"monitors loss/gradient_penalty, which is not logged"):
            train(quiet, make_gan(), *callbacks, keeping("loss/gradient_penalty"))


def test_a_figure_of_an_evaluation_can_be_monitored(make_gan, quiet):
    keeper = keeping("val/precision", mode="max")
    train(quiet, make_gan(), scored(), stopping("val/modes", mode="max"), keeper)
    assert keeper.best_model_path
    with pytest.raises(ValueError, match=r"monitors val/recal, .*did you mean val/recall\? use one of"):
        train(quiet, make_gan(), scored(), keeping("val/recal"))


@pytest.mark.parametrize(
    ("monitor", "settings", "message"),
    [
        ("lr-Adam", {}, "monitors lr-Adam, which is not logged"),
        ("loss/generatr", {"callbacks": [WeightDecay()]}, "did you mean loss/generator"),
        ("loss/generator", {"log_every_n_steps": 500}, "monitors loss/generator, which is logged every 500 batches"),
    ],
    ids=["rate", "typo beside a stabilizer", "interval"],
)
def test_a_checkpoint_by_what_is_never_logged_is_refused(make_gan, quiet, monitor, settings, message):
    gan = make_gan()
    settings = dict(settings)
    with pytest.raises(ValueError, match=message):
        train(quiet, gan, *settings.pop("callbacks", []), keeping(monitor), **settings)
    assert gan.discriminator_updates == 0


def test_early_stopping_by_figures_that_are_older_than_an_epoch_is_refused(make_gan, quiet):
    rare = Evaluation([ModeCoverage()], num_samples=16, every_n_epochs=2)
    message = "EarlyStopping reads val/modes after every epoch.*--trainer.check_val_every_n_epoch 2"
    for strict in (True, False):
        with pytest.raises(ValueError, match=message):
            train(quiet, make_gan(), rare, stopping("val/modes", strict=strict), max_epochs=4)
    train(quiet, make_gan(), rare, stopping("val/modes"), max_epochs=4, check_val_every_n_epoch=2)


def test_early_stopping_needs_a_logged_batch_in_the_first_epoch(make_gan, quiet, tmp_path):
    gan = make_gan()
    message = "loss/generator, which is logged every 50 batches, and an epoch has 3; .*--trainer.log_every_n_steps 1"
    with pytest.raises(ValueError, match=message):
        train(quiet, gan, stopping("loss/generator"), log_every_n_steps=50)
    assert gan.discriminator_updates == 0
    train(quiet, gan, stopping("loss/generator"), log_every_n_steps=1)


# ---------------------------------------------------------------- what a user's class may log


class Own(GAN):
    """A model with a metric of its own."""

    def on_train_epoch_end(self):
        self.log("own/metric", 1.0)


class Logs(Callback):
    """A callback with a metric of its own."""

    def on_train_epoch_end(self, trainer, pl_module):
        pl_module.log("own/metric", 1.0)


@pytest.mark.parametrize("by", ["model", "callback"])
def test_a_metric_of_a_users_class_is_not_refused(make_gan, quiet, by):
    gan = make_gan(kind=Own) if by == "model" else make_gan()
    keeper = keeping("own/metric")
    with pytest.warns(UserWarning, match="Unless a class of yours logs it: The checkpoint monitors own/metric"):
        train(quiet, gan, keeper, *([] if by == "model" else [Logs()]))
    assert keeper.best_model_path


class OnlyBuilds(GAN):
    """A subclass that only builds its networks, as most do, logs nothing of its own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)


def test_a_subclass_with_a_constructor_alone_logs_nothing_of_its_own(make_gan, quiet):
    with pytest.raises(ValueError, match="monitors own/metric, which is not logged"):
        train(quiet, make_gan(kind=OnlyBuilds), keeping("own/metric"))


def test_early_stopping_that_need_not_find_its_metric_is_warned_of(make_gan, quiet):
    with pytest.warns(UserWarning, match="EarlyStopping monitors val/fd, which is not logged"):
        trainer = train(quiet, make_gan(), stopping("val/fd", strict=False))
    assert trainer.state.finished


def test_a_best_checkpoint_that_never_was_is_said_at_the_end(make_gan, quiet, tmp_path):
    keeper = keeping("own/other", save_last=True)
    with pytest.warns(UserWarning, match="There is no best checkpoint: own/other was never logged"):
        train(quiet, make_gan(), Logs(), keeper, logger=CSVLogger(tmp_path), limit_val_batches=0)


# ---------------------------------------------------------------- schedules that are shorter than the run


def cosine(player, steps, interval=None):
    def make(optimizer):
        schedule = CosineAnnealingLR(optimizer, T_max=steps)
        return schedule if interval is None else {"scheduler": schedule, "interval": interval}

    return {f"{player}_scheduler": make}


def warnings_of_schedules(recwarn):
    return [str(one.message) for one in recwarn if "CosineAnnealingLR" in str(one.message)]


@pytest.mark.parametrize(
    ("player", "interval", "n_critic", "steps"),
    [  # of a run of two epochs of three batches
        ("generator", None, 1, 6),
        ("discriminator", None, 1, 6),
        ("generator", None, 2, 3),
        ("discriminator", None, 2, 6),
        ("generator", "epoch", 1, 2),
    ],
)
def test_a_cosine_that_ends_before_the_run_is_warned_of(make_gan, quiet, recwarn, player, interval, n_critic, steps):
    settings = {"n_critic": n_critic}
    train(quiet, make_gan(**settings, **cosine(player, steps, interval)), max_epochs=2)
    assert not warnings_of_schedules(recwarn)
    train(quiet, make_gan(**settings, **cosine(player, steps - 1, interval)), max_epochs=2)
    (line,) = warnings_of_schedules(recwarn)
    assert line == (
        f"The {player}'s CosineAnnealingLR is at its end after T_max={steps - 1} steps, and its rate rises again until "
        f"the end of the run; give --model.{player}_scheduler.T_max {steps}."
    )


def test_a_cosine_of_a_run_without_an_end_is_warned_of(make_gan, quiet, recwarn):
    train(quiet, make_gan(**cosine("generator", 3)), max_epochs=-1, max_time="00:00:00:01")
    (line,) = warnings_of_schedules(recwarn)
    assert line.endswith("its rate rises again until the end of the run.")
