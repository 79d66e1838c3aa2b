"""The guard against NaN and infinity: which update it names, when it checks, and which checkpoints it refuses."""

import math
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins import MixedPrecision
from spoil import Spoil, is_finite
from torch.utils.data import DataLoader

from lightning_gans.optimizers import SGD
from lightning_gans.stabilizers import GeneratorEMA
from lightning_gans.training import NonFiniteError, NonFiniteGuard

SLOW = {f"{player}_optimizer": partial(SGD, lr=0.01) for player in ("generator", "discriminator")}
SPARSE = {"log_every_n_steps": 1000}

# ---------------------------------------------------------------- what the message says


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_bad_gradient_is_named_with_its_batch_however_late_it_is_found(make_gan, fit, player, clip, value):
    gan = make_gan(**SLOW, generator_clip=clip, discriminator_clip=clip)
    first = rf"batch 3: the {player}'s gradient of \S+ and of \d more parameters is (nan|inf), with a loss of \d"
    with pytest.raises(NonFiniteError, match="^" + first):
        fit(gan, 20, callbacks=[Spoil(player, 3, value=value)], **SPARSE)
    assert gan.discriminator_updates == 20, "at the end of the epoch"


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_bad_loss_is_named_with_the_terms_of_stabilizers(make_gan, fit, player):
    message = rf"^batch 4: the {player}'s loss is nan; stabilizers added first 0\.25, second nan\. The run ends here;"
    with pytest.raises(NonFiniteError, match=message):
        fit(make_gan(**SLOW), 6, callbacks=[Spoil(player, 4, what="loss")], **SPARSE)


def test_one_bad_parameter_is_named_alone(make_gan, fit):
    gan = make_gan(**SLOW)
    gan.discriminator.head[0].bias.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(NonFiniteError, match=r"the discriminator's gradient of head\.0\.bias is nan, with a loss"):
        fit(gan, 2)


@pytest.mark.parametrize(
    ("real", "words"), [(True, "real samples only (check the data)"), (False, "fakes only")], ids=["real", "fake"]
)
def test_the_logits_tell_which_samples_are_bad(make_gan, batches, fit, real, words):
    gan, data = make_gan(**SLOW), batches(6)
    if real:
        data[3][2] = math.nan
    else:
        gan.generator.register_forward_hook(lambda *args: args[2] * (math.nan if gan.batches_seen == 4 else 1))
    with pytest.raises(NonFiniteError) as error:
        fit(gan, data, **SPARSE)
    assert f"batch 4: the discriminator's loss is nan, through the logits of {words};" in str(error.value)


def test_the_message_says_what_can_be_done(make_gan, fit):
    remedies = r"there is no checkpoint yet\. Lower the learning rates.*generator_clip.*detect"
    with pytest.raises(FloatingPointError, match=remedies) as error:
        fit(make_gan(**SLOW), 2, callbacks=[Spoil("generator", 1)])
    assert "\n" not in str(error.value)


class Off(NonFiniteGuard):
    """A guard that does nothing."""

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        pass


def test_training_is_unaffected(make_gan, fit, weights):
    guarded, free, guard = make_gan(), make_gan(), NonFiniteGuard()
    fit(guarded, 6, callbacks=[guard], **SPARSE)
    fit(free, 6, callbacks=[Off()], **SPARSE)
    assert torch.equal(weights(guarded), weights(free)) and guard.found is None


# ---------------------------------------------------------------- when it checks


@pytest.mark.parametrize(
    ("log_every", "check_every", "bad", "found_at"),
    [(1000, 50, 3, 50), (1000, 50, 51, 100), (40, 50, 3, 40), (0, 50, 101, 120), (1000, 7, 3, 7)],
)
def test_the_device_is_read_only_now_and_then(make_gan, fit, log_every, check_every, bad, found_at):
    gan, guard = make_gan(**SLOW), NonFiniteGuard(every_n_batches=check_every)
    with pytest.raises(NonFiniteError, match=f"^batch {bad}: "):
        fit(gan, 120, callbacks=[Spoil("generator", bad), guard], log_every_n_steps=log_every)
    assert gan.batches_seen == found_at


@pytest.mark.parametrize("value", [0, 2.5, None])
def test_intervals_below_one_batch_are_refused(value):
    message = rf"NonFiniteGuard\(every_n_batches={value}\): expected a whole number of at least 1, such as 50\."
    with pytest.raises(ValueError, match=message):
        NonFiniteGuard(every_n_batches=value)


def test_a_run_that_stops_within_an_epoch_is_checked(make_gan, fit):
    with pytest.raises(NonFiniteError, match="batch 2: "):
        fit(make_gan(**SLOW), 9, max_steps=4, callbacks=[Spoil("generator", 2)], **SPARSE)


def test_after_a_failed_run_another_can_follow(make_gan, fit):
    gan, guard = make_gan(**SLOW), NonFiniteGuard()
    with pytest.raises(NonFiniteError):
        fit(gan, 5, callbacks=[Spoil("generator", 5), guard], **SPARSE)
    gan.load_state_dict(make_gan(**SLOW).state_dict())
    fit(gan, 5, callbacks=[guard], **SPARSE)
    assert gan.discriminator_updates == 5


# ---------------------------------------------------------------- a gradient scaler


def scaled(scale):
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1000)
    return {"plugins": [MixedPrecision("16-mixed", "cpu", scaler=scaler)]}


def test_an_overflow_that_a_scaler_skips_is_not_a_failure(make_gan, fit, weights):
    gan = make_gan(**SLOW)
    trainer = fit(gan, 6, callbacks=[Spoil("discriminator", 3, value=math.inf)], **scaled(2.0**10))
    assert trainer.precision_plugin.scaler.get_scale() == 2.0**9 and weights(gan).isfinite().all()


def test_a_scale_below_one_that_still_overflows_is_a_failure(make_gan, fit):
    message = r"^batch 3: the scale of 16-bit gradients has fallen to 0\.5, and they still overflow: the generator's gr"
    with pytest.raises(NonFiniteError, match=message):
        fit(make_gan(**SLOW), 6, callbacks=[Spoil("generator", *range(1, 7), value=math.inf)], **scaled(4.0))


# ---------------------------------------------------------------- the last good checkpoint


@pytest.mark.parametrize("ema", [False, True], ids=["plain", "with an average"])
@pytest.mark.parametrize("every", [None, 3], ids=["at the end of the epoch", "within it"])
def test_the_last_good_checkpoint_is_kept_and_named(make_gan, fit, tmp_path, every, ema):
    """Saves are due in batches 5 and 10, or 3, 6 and 9; the update of batch 7 is bad and is not checked before."""
    keeper = ModelCheckpoint(tmp_path / "kept", save_last=True, every_n_train_steps=every, filename="{step}")
    callbacks = [keeper, Spoil("discriminator", 7), *([GeneratorEMA(4.0)] if ema else [])]
    message = r"^batch 7: .*the last good checkpoint is \S+/kept/(last|step=\d)\.ckpt\."
    with pytest.raises(NonFiniteError, match=message):
        fit(make_gan(**SLOW), 5, max_epochs=3, callbacks=callbacks, enable_checkpointing=True, **SPARSE)
    files = sorted(file.name for file in (tmp_path / "kept").iterdir())
    assert files == ["last.ckpt", "step=5.ckpt" if every is None else "step=6.ckpt"]
    for file in files:
        assert is_finite(tmp_path / "kept" / file)
        assert torch.load(tmp_path / "kept" / file, weights_only=True)["global_step"] == (6 if every else 5)


def test_a_run_resumes_from_the_last_good_checkpoint(make_gan, fit, tmp_path):
    keeper = ModelCheckpoint(tmp_path, save_last=True)
    with pytest.raises(NonFiniteError):
        fit(make_gan(**SLOW), 5, max_epochs=3, callbacks=[keeper, Spoil("generator", 8)], enable_checkpointing=True)
    gan = make_gan(seed=1, **SLOW)
    fit(gan, 5, max_epochs=3, ckpt_path=tmp_path / "last.ckpt")
    assert gan.discriminator_updates == 15


class Overwrite(Callback):
    """Overwrites a weight or a buffer after batch 3, which no loss or gradient shows in time."""

    def __init__(self, what, value):
        self.what, self.value = what, value

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if batch_idx == 2:
            dict([*pl_module.named_parameters(), *pl_module.named_buffers()])[self.what].data[0] = self.value


@pytest.mark.parametrize("weights_only", [False, True])
@pytest.mark.parametrize(
    ("what", "value"),
    [("generator.layers.0.weight", math.nan), ("discriminator.head.0.bias", math.inf), ("generator.mask", math.nan)],
)
def test_bad_weights_are_not_saved(make_gan, fit, tmp_path, what, value, weights_only):
    gan = make_gan(**SLOW)
    gan.generator.register_buffer("mask", torch.zeros(2))
    message = rf"batch 3: {what} holds NaN or infinity, though losses and gradients were finite\. .*no checkpoint yet"
    keeper = ModelCheckpoint(tmp_path, save_weights_only=weights_only)
    with pytest.raises(NonFiniteError, match=message):
        fit(gan, 3, callbacks=[Overwrite(what, value), keeper], enable_checkpointing=True)
    assert not list(tmp_path.glob("*.ckpt"))


def test_a_buffer_may_be_infinite_as_masks_are(make_gan, fit, tmp_path):
    gan = make_gan()
    gan.generator.register_buffer("mask", torch.full((2,), -math.inf))
    fit(gan, 3, callbacks=[ModelCheckpoint(tmp_path, save_last=True)], enable_checkpointing=True)
    assert (tmp_path / "last.ckpt").is_file()


def test_after_a_failed_run_its_weights_can_be_saved_to_be_examined(make_gan, quiet, batches, tmp_path):
    gan, trainer = make_gan(**SLOW), Trainer(**{**quiet, "callbacks": [Spoil("generator", 2)]})
    with pytest.raises(NonFiniteError):
        trainer.fit(gan, DataLoader(batches(3), batch_size=None))
    trainer.save_checkpoint(tmp_path / "failed.ckpt")
    assert not is_finite(tmp_path / "failed.ckpt")
