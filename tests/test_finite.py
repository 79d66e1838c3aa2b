"""A run whose numbers are none ends, says whose step it was, and leaves the last good checkpoint as it was."""

import copy
import math
import pickle
from datetime import timedelta
from functools import partial

import pytest
import torch
from helpers import both
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from lightning_gans import Stabilizer
from lightning_gans.__main__ import main
from lightning_gans.callbacks import FailureMonitor
from lightning_gans.optimizers import SGD
from lightning_gans.stabilizers import GeneratorEMA
from lightning_gans.training.non_finite import NonFiniteError, Watch

slowly = both(partial(SGD, lr=0.01))
SPARSE = {"log_every_n_steps": 1000}


class Spoil(Stabilizer):
    """Makes a value of one player's step NaN in some batches: its gradient, its loss, or a term of its loss."""

    def __init__(self, player, *batches, what="gradient", value=math.nan):
        self.player, self.batches, self.what, self.value, self.batch = player, batches, what, value, 0

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.batch = trainer.fit_loop.epoch_loop.total_batch_idx + 1

    def spoil(self, player, step, loss):
        if player != self.player or self.batch not in self.batches:
            return loss
        if self.what == "gradient":
            loss = loss * 1
            loss.register_hook(lambda gradient: gradient * self.value)
            return loss
        step.terms["first"], step.terms["second"] = torch.tensor(0.25), torch.tensor(self.value)
        return loss + step.terms["second"]

    def on_discriminator_loss(self, gan, step, loss):
        return self.spoil("discriminator", step, loss)

    def on_generator_loss(self, gan, step, loss):
        return self.spoil("generator", step, loss)


def finite(path):
    state = torch.load(path, weights_only=True)["state_dict"].values()
    return all(value.isfinite().all() for value in state if isinstance(value, torch.Tensor))


# ---------------------------------------------------------------- what is said


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_gradient_that_is_none_is_named_with_its_batch_however_late_it_is_seen(make_gan, fit, player, clip, value):
    gan = make_gan(**slowly, generator_clip=clip, discriminator_clip=clip)
    first = rf"batch 3: the {player}'s gradient of \S+ and of \d more parameters is (nan|inf), with a loss of \d"
    with pytest.raises(NonFiniteError, match="^" + first):
        fit(gan, 20, callbacks=[Spoil(player, 3, value=value)], **SPARSE)
    assert gan.discriminator_updates == 20, "at the end of the epoch"


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_loss_that_is_none_is_named_with_what_stabilizers_added(make_gan, fit, player):
    said = rf"^batch 4: the {player}'s loss is nan; stabilizers added first 0\.25, second nan\. The run ends here;"
    with pytest.raises(NonFiniteError, match=said):
        fit(make_gan(**slowly), 6, callbacks=[Spoil(player, 4, what="loss")], **SPARSE)


def test_one_parameter_is_named_alone(make_gan, fit):
    gan = make_gan(**slowly)
    gan.discriminator.head[0].bias.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(NonFiniteError, match=r"the discriminator's gradient of head\.0\.bias is nan, with a loss"):
        fit(gan, 2)


@pytest.mark.parametrize(("spoilt", "words"), [(0, "real samples alone (look at the data)"), (1, "fakes alone")])
def test_the_logits_tell_which_samples_were_bad(make_gan, batches, fit, spoilt, words):
    gan, data = make_gan(**slowly), batches(6)
    if spoilt == 0:
        data[3][2] = math.nan
    else:
        gan.generator.register_forward_hook(lambda *args: args[2] * (math.nan if gan.watch.batch == 4 else 1))
    with pytest.raises(NonFiniteError) as error:
        fit(gan, data, **SPARSE)
    assert f"batch 4: the discriminator's loss is nan, by the logits of {words};" in str(error.value)


def test_it_is_a_floating_point_error_with_a_remedy():
    assert issubclass(NonFiniteError, FloatingPointError)


def test_the_remedy_names_what_can_be_done(make_gan, fit):
    with pytest.raises(
        NonFiniteError, match=r"there is no checkpoint yet\. Lower the learning rates.*generator_clip.*detect"
    ):
        fit(make_gan(**slowly), 2, callbacks=[Spoil("generator", 1)])


def test_a_run_of_numbers_is_left_alone(make_gan, fit, weights):
    gan, other = make_gan(), make_gan()
    fit(gan, 6, **SPARSE)
    other.watch.note_gradient = lambda player, parameters: []
    fit(other, 6, **SPARSE)
    assert torch.equal(weights(gan), weights(other)) and gan.watch.broken is None


# ---------------------------------------------------------------- when it is looked for


@pytest.mark.parametrize(
    ("every", "looks"), [(1000, [50, 100, 120]), (40, [40, 50, 80, 100, 120]), (0, [50, 100, 120])]
)
def test_the_device_is_waited_for_now_and_then_only(make_gan, fit, monkeypatch, every, looks):
    seen, look = [], Watch.look

    def noting(watch, gan):
        seen.append(watch.batch)
        return look(watch, gan)

    monkeypatch.setattr(Watch, "look", noting)
    gan = make_gan()
    fit(gan, 120, log_every_n_steps=every)
    assert list(dict.fromkeys(seen)) == looks
    assert not gan.watch._noted and gan.watch.batch == 0


def test_nothing_is_noted_outside_of_a_run(make_gan, batches, fit):
    gan = make_gan(generator_clip=1.0)
    optimizers = [SGD(player.parameters()) for player in (gan.generator, gan.discriminator)]
    for _ in range(2):
        for batch in batches(2):
            gan.train_batch(batch, *optimizers)
        assert not gan.watch._noted
        fit(gan)


def test_a_run_that_stops_within_an_epoch_is_looked_at(make_gan, fit):
    with pytest.raises(NonFiniteError, match="batch 2: "):
        fit(make_gan(**slowly), 9, max_steps=4, callbacks=[Spoil("generator", 2)], **SPARSE)


def test_a_game_can_be_copied_in_the_middle_of_a_run(make_gan, fit):
    class Copies(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            pickle.dumps(copy.deepcopy(pl_module.watch))

    fit(make_gan(), 3, callbacks=[Copies()], **SPARSE)


def test_after_a_broken_run_another_can_follow(make_gan, fit):
    gan = make_gan(**slowly)
    with pytest.raises(NonFiniteError):
        fit(gan, 5, callbacks=[Spoil("generator", 5)], **SPARSE)
    healthy = make_gan(**slowly)
    gan.load_state_dict(healthy.state_dict())
    fit(gan, 5)


# ---------------------------------------------------------------- the last good checkpoint


@pytest.mark.parametrize("ema", [False, True], ids=["plain", "with an average"])
@pytest.mark.parametrize("every", [None, 3], ids=["at the end of the epoch", "within it"])
def test_the_last_good_checkpoint_is_kept_and_named(make_gan, fit, tmp_path, every, ema):
    """Saves are due in batches 5 and 10, or 3, 6 and 9; the step of batch 7 is bad and is not looked for before."""
    keeper = ModelCheckpoint(tmp_path / "kept", save_last=True, every_n_train_steps=every, filename="{step}")
    callbacks = [keeper, Spoil("discriminator", 7), *([GeneratorEMA(4.0)] if ema else [])]
    with pytest.raises(
        NonFiniteError, match=r"^batch 7: .*the last good checkpoint is \S+/kept/(last|step=\d)\.ckpt\."
    ):
        fit(make_gan(**slowly), 5, max_epochs=3, callbacks=callbacks, enable_checkpointing=True, **SPARSE)
    files = sorted(file.name for file in (tmp_path / "kept").iterdir())
    assert files == ["last.ckpt", "step=5.ckpt" if every is None else "step=6.ckpt"]
    for file in files:
        assert finite(tmp_path / "kept" / file)
        assert torch.load(tmp_path / "kept" / file, weights_only=True)["global_step"] == (6 if every else 5)


def test_a_run_goes_on_from_the_last_good_checkpoint(make_gan, fit, tmp_path):
    keeper = ModelCheckpoint(tmp_path, save_last=True)
    with pytest.raises(NonFiniteError):
        fit(make_gan(**slowly), 5, max_epochs=3, callbacks=[keeper, Spoil("generator", 8)], enable_checkpointing=True)
    gan = make_gan(seed=1, **slowly)
    fit(gan, 5, max_epochs=3, ckpt_path=tmp_path / "last.ckpt")
    assert gan.discriminator_updates == 15


def breaks(what, value):
    class Breaks(Callback):
        """Overwrites a weight or a buffer after batch 3, which no loss or gradient shows in time."""

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if batch_idx == 2:
                dict([*pl_module.named_parameters(), *pl_module.named_buffers()])[what].data[0] = value

    return Breaks()


@pytest.mark.parametrize(
    ("what", "value"),
    [("generator.layers.0.weight", math.nan), ("discriminator.head.0.bias", math.inf), ("generator.mask", math.nan)],
)
def test_weights_that_are_none_are_not_saved(make_gan, fit, tmp_path, what, value):
    gan = make_gan(**slowly)
    gan.generator.register_buffer("mask", torch.zeros(2))
    said = rf"batch 3: {what} holds NaN or infinity, though losses and gradients were numbers\. .*no checkpoint yet"
    with pytest.raises(NonFiniteError, match=said):
        fit(gan, 3, callbacks=[breaks(what, value), ModelCheckpoint(tmp_path)], enable_checkpointing=True)
    assert not list(tmp_path.glob("*.ckpt"))


def test_a_buffer_may_be_infinite_as_masks_are(make_gan, fit, tmp_path):
    gan = make_gan()
    gan.generator.register_buffer("mask", torch.full((2,), -math.inf))
    fit(gan, 3, callbacks=[ModelCheckpoint(tmp_path, save_last=True)], enable_checkpointing=True)
    assert (tmp_path / "last.ckpt").is_file()


def test_what_is_left_of_a_broken_run_can_be_saved_by_hand(make_gan, quiet, batches, tmp_path):
    gan, trainer = make_gan(**slowly), Trainer(**{**quiet, "callbacks": [Spoil("generator", 2)]})
    with pytest.raises(NonFiniteError):
        trainer.fit(gan, DataLoader(batches(3), batch_size=None))
    trainer.save_checkpoint(tmp_path / "corpse.ckpt")
    assert not finite(tmp_path / "corpse.ckpt")


# ---------------------------------------------------------------- the monitor


def watch(**settings):
    return FailureMonitor(**{"every_n_steps": 2, "num_samples": 8, **settings})


def test_the_monitor_sets_the_game_back_and_the_run_goes_on(make_gan, fit, weights):
    gan, monitor = make_gan(**slowly), watch(rollbacks=1)
    trainer = fit(gan, 30, callbacks=[Spoil("generator", 17), monitor], **SPARSE)
    broken, back = monitor.events
    assert (broken.state, broken.batch) == ("not a number", 18)
    assert broken.evidence.startswith("in batch 17 the generator's gradient of ")
    assert "back to the game of batch 10, with 0.5 of the learning rates" in back.evidence
    assert weights(gan).isfinite().all() and gan.discriminator_updates == 22
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.005)


def test_when_it_may_not_any_more_the_run_ends(make_gan, fit, tmp_path):
    monitor = watch(rollbacks=1)
    with pytest.raises(
        NonFiniteError, match=r"^batch 25: .* the last good checkpoint is \S*checkpoints/healthy\.ckpt\."
    ):
        fit(make_gan(**slowly), 30, callbacks=[Spoil("generator", 17, 25), monitor], **SPARSE)
    assert [event.state for event in monitor.events] == ["not a number", "healthy", "not a number"]
    assert monitor.events[-1].remedies and finite(tmp_path / "checkpoints" / "healthy.ckpt")


def test_a_monitor_that_is_off_changes_nothing(make_gan, fit):
    monitor = watch(every_n_steps=0)
    with pytest.raises(NonFiniteError, match="batch 2: "):
        fit(make_gan(**slowly), 4, callbacks=[Spoil("discriminator", 2), monitor])
    assert not monitor.events


# ---------------------------------------------------------------- several processes


@pytest.mark.slow
@pytest.mark.distributed
def test_all_processes_end_where_one_is_broken(make_gan, quiet, batches, capfd):
    """The loss of the second alone is none, and no gradient shows it to the first."""

    class Second(Spoil):
        def on_discriminator_loss(self, gan, step, loss):
            return super().on_discriminator_loss(gan, step, loss) if gan.global_rank else loss

    strategy = DDPStrategy(start_method="fork", find_unused_parameters=True, timeout=timedelta(seconds=60))
    trainer = Trainer(
        **{**quiet, **SPARSE, "callbacks": [Second("discriminator", 2, what="loss")]}, devices=2, strategy=strategy
    )
    with pytest.raises(
        Exception, match=r"batch 2: the discriminator's loss is nan; .* in process 1\. The run ends here"
    ):
        trainer.fit(make_gan(**slowly), DataLoader(batches(6), batch_size=None))


# ---------------------------------------------------------------- the command line


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Fit a small model from the command line; the exit code, and what was written to the two streams."""

    def command(*arguments):
        monkeypatch.chdir(tmp_path)
        settings = "--trainer.accelerator=cpu --trainer.max_epochs=2 --trainer.limit_train_batches=10"
        model = "--model=VanillaGAN --model.generator_width=8 --model.discriminator_width=4 --data=GaussianRing"
        with pytest.raises(SystemExit) as end:
            main(["fit", *settings.split(), *model.split(), "--trainer.enable_progress_bar=false", *arguments])
        return end.value.code, capsys.readouterr()

    return command


def test_the_command_fails_with_one_line_and_a_page(command, tmp_path):
    code, (_, errors) = command(
        "--model.generator_optimizer=lightning_gans.optimizers.SGD", "--model.generator_optimizer.lr=1e30"
    )
    lines = [line for line in errors.splitlines() if line.startswith("lightning-gans:")]
    assert code == 1 and len(lines) == 1 and "Traceback" not in errors
    assert lines[0].startswith("lightning-gans: failed: batch ") and "there is no checkpoint yet" in lines[0]
    page = (tmp_path / "runs/vanillagan_gaussianring/version_0/health.md").read_text()
    assert page.startswith("# Health of this run\n\n**not a number** after 10 batches.")
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_run_that_the_monitor_stops_has_failed_too(command, tmp_path, monkeypatch):
    from lightning_gans.callbacks.health import failure_monitor
    from lightning_gans.callbacks.health.diagnosis import MODE_COLLAPSE

    monkeypatch.setattr(failure_monitor, "diagnose", lambda *args: (MODE_COLLAPSE, "it was written"))
    code, (_, errors) = command("--monitor.stop=true", "--monitor.every_n_steps=2", "--monitor.patience=2")
    assert code == 1
    assert errors.endswith("lightning-gans: failed: FailureMonitor ends the run at batch 4: mode collapse (hard).\n")
    assert (tmp_path / "runs/vanillagan_gaussianring/version_0/checkpoints/last.ckpt").is_file()
