"""Which callbacks a GAN adds to a Trainer, where, and when it does not."""

from contextlib import contextmanager

import pytest
import torch
from helpers import Steps, sgds
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import ModelCheckpoint
from spoil import Spoil
from torch.utils.data import DataLoader

from lightning_gans import GAN
from lightning_gans.attached import attached
from lightning_gans.stabilizers import GeneratorEMA, GradientPenalty
from lightning_gans.training import (
    DataGuard,
    EvaluationWeights,
    GradientClipping,
    NonFiniteError,
    NonFiniteGuard,
    TrainingLog,
)


def kinds(trainer):
    return [type(callback).__name__ for callback in trainer.callbacks]


def test_the_log_is_first_and_the_guard_before_checkpoints(make_gan, fit, tmp_path):
    callbacks = [ModelCheckpoint(tmp_path), Steps()]
    trainer = fit(make_gan(), callbacks=callbacks, enable_checkpointing=True)
    first, guards = ["TrainingLog", "RunSettings"], ["DataGuard", "NonFiniteGuard"]
    assert kinds(trainer) == [*first, "Steps", *guards, "ModelCheckpoint"]


def test_clipping_and_evaluation_weights_are_added_where_they_are_needed(make_gan, fit):
    trainer = fit(make_gan(generator_clip=1.0), callbacks=[GeneratorEMA()])
    first, guards = ["TrainingLog", "RunSettings"], ["DataGuard", "NonFiniteGuard"]
    assert kinds(trainer) == [*first, "GeneratorEMA", *guards, "GradientClipping", "EvaluationWeights"]
    gan = make_gan()
    gan.stabilizers.append(GeneratorEMA())
    assert kinds(fit(gan)) == [*first, *guards, "EvaluationWeights"]
    assert kinds(fit(make_gan(), callbacks=[GradientPenalty()])) == [*first, "GradientPenalty", *guards]


@pytest.mark.parametrize("kind", [TrainingLog, DataGuard, NonFiniteGuard, GradientClipping, EvaluationWeights])
def test_a_callback_of_the_users_own_is_kept_where_it_is(make_gan, batches, fit, kind):
    own = type("Own", (kind,), {})()
    gan = make_gan(discriminator_clip=1.0)
    trainer = fit(gan, callbacks=[Steps(), own, GeneratorEMA()])
    trainer.validate(gan, DataLoader(batches(1), batch_size=None), verbose=False)
    assert attached(trainer, kind) == [own]
    assert len(trainer.callbacks) == 3 + 5, "and a second stage adds no others"
    assert trainer.callbacks.index(own) - trainer.callbacks.index(attached(trainer, Steps)[0]) == 1


class Fails(Steps):
    def on_validation_batch_end(self, *args):
        raise RuntimeError("broken")


@pytest.mark.parametrize("in_module", [True, False])
def test_weights_are_back_after_a_validation_that_fails(make_gan, batches, fit, weights, in_module):
    gan, ema = make_gan(), GeneratorEMA(half_life=3.0)
    if in_module:
        gan.stabilizers.append(ema)
    callbacks = [] if in_module else [ema]
    trainer = fit(gan, 6, callbacks=callbacks)
    trained = weights(gan.generator)
    trainer.callbacks.append(Fails())
    with pytest.raises(RuntimeError, match="broken"):
        trainer.validate(gan, DataLoader(batches(1), batch_size=None))
    assert torch.equal(weights(gan.generator), trained)
    with gan.evaluation_weights():
        assert not torch.equal(weights(gan.generator), trained)


class Plain(LightningModule):
    """A module that is not a GAN."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch, batch_idx):
        return self.layer(batch).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def test_a_trainer_may_fit_another_module_afterwards(make_gan, batches, fit, tmp_path):
    gan, keeper = make_gan(generator_clip=1.0), ModelCheckpoint(tmp_path, every_n_train_steps=1)
    trainer = fit(gan, callbacks=[GeneratorEMA(), keeper], enable_checkpointing=True)
    trainer.fit_loop.max_epochs = 2
    trainer.callbacks = [one for one in trainer.callbacks if not isinstance(one, GeneratorEMA)]
    plain = Plain()
    before = plain.layer.weight.clone()
    trainer.fit(plain, DataLoader(batches(2), batch_size=None))
    assert not torch.equal(plain.layer.weight, before)


class OwnWeights(GAN):
    entered = 0

    @contextmanager
    def evaluation_weights(self):
        type(self).entered += 1
        yield


def test_evaluation_weights_of_a_model_are_used(make_gan, batches, fit):
    gan = make_gan(kind=OwnWeights)
    trainer = fit(gan, val=batches(1))
    in_fit = OwnWeights.entered
    trainer.validate(gan, DataLoader(batches(1), batch_size=None), verbose=False)
    assert in_fit > 0 and OwnWeights.entered == in_fit + 1


class Silent(GAN):
    returned = None

    def training_step(self, batch, batch_idx):
        super().training_step(batch, batch_idx)
        return self.returned


@pytest.mark.parametrize("returned", [None, torch.zeros(()), {"loss": torch.zeros(())}], ids=str)
def test_log_and_guard_do_not_depend_on_what_training_step_returns(make_gan, fit, monkeypatch, returned):
    monkeypatch.setattr(Silent, "returned", returned)
    trainer, usual = fit(make_gan(kind=Silent), 3), fit(make_gan(), 3)
    assert trainer.callback_metrics == usual.callback_metrics and "loss/generator" in trainer.callback_metrics
    with pytest.raises(
        NonFiniteError, match=r"^batch 2: the discriminator's gradient of \S+ .*is nan, with a loss of \d"
    ):
        fit(make_gan(kind=Silent), 3, callbacks=[Spoil("discriminator", 2)])


def test_a_save_in_the_batch_that_broke_names_the_update(make_gan, fit, tmp_path):
    class Saves(Callback):
        def on_train_batch_end(self, trainer, *args):
            trainer.save_checkpoint(tmp_path / "a.ckpt")

    with pytest.raises(NonFiniteError, match=r"^batch 2: the discriminator's gradient of"):
        fit(make_gan(), 3, callbacks=[Spoil("discriminator", 2), Saves()], log_every_n_steps=100)


def test_own_hooks_see_the_gradient_in_a_plain_loop(make_gan, batches):
    class Counts(GAN):
        def on_before_optimizer_step(self, optimizer):
            norms.append(torch.nn.utils.get_total_norm([p.grad for g in optimizer.param_groups for p in g["params"]]))

    norms = []
    gan = make_gan(kind=Counts, generator_clip=1e-3, discriminator_clip=1e-3)
    gan.train_batch(batches(1)[0], *sgds(gan))
    assert len(norms) == 2 and all(norm > 1e-2 for norm in norms), "before it is clipped"
