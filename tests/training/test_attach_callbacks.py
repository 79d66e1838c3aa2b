"""Which callbacks a GAN adds to a Trainer, where, and when it does not."""

import pytest
import torch
from helpers import Steps
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from lightning_gans.attached import attached
from lightning_gans.stabilizers import GeneratorEMA, GradientPenalty
from lightning_gans.training import EvaluationWeights, GradientClipping, NonFiniteGuard, TrainingLog


def kinds(trainer):
    return [type(callback).__name__ for callback in trainer.callbacks]


def test_the_log_is_first_and_the_guard_before_checkpoints(make_gan, fit, tmp_path):
    callbacks = [ModelCheckpoint(tmp_path), Steps()]
    trainer = fit(make_gan(), callbacks=callbacks, enable_checkpointing=True)
    assert kinds(trainer) == ["TrainingLog", "Steps", "NonFiniteGuard", "ModelCheckpoint"]


def test_clipping_and_evaluation_weights_are_added_where_they_are_needed(make_gan, fit):
    trainer = fit(make_gan(generator_clip=1.0), callbacks=[GeneratorEMA()])
    assert kinds(trainer) == ["TrainingLog", "GeneratorEMA", "NonFiniteGuard", "GradientClipping", "EvaluationWeights"]
    gan = make_gan()
    gan.stabilizers.append(GeneratorEMA())
    assert kinds(fit(gan)) == ["TrainingLog", "NonFiniteGuard", "EvaluationWeights"]
    assert kinds(fit(make_gan(), callbacks=[GradientPenalty()])) == ["TrainingLog", "GradientPenalty", "NonFiniteGuard"]


@pytest.mark.parametrize("kind", [TrainingLog, NonFiniteGuard, GradientClipping, EvaluationWeights])
def test_a_callback_of_the_users_own_is_kept_where_it_is(make_gan, batches, fit, kind):
    own = type("Own", (kind,), {})()
    gan = make_gan(discriminator_clip=1.0)
    trainer = fit(gan, callbacks=[Steps(), own, GeneratorEMA()])
    trainer.validate(gan, DataLoader(batches(1), batch_size=None), verbose=False)
    assert attached(trainer, kind) == [own]
    assert len(trainer.callbacks) == 3 + 3, "and a second stage adds no others"
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
