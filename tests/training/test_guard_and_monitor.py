"""NaN and infinity between the guard, which knows the update, and FailureMonitor, which can restore a checkpoint."""

import math
from datetime import timedelta
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.strategies import DDPStrategy
from spoil import Spoil, is_finite
from torch.utils.data import DataLoader

from lightning_gans.__main__ import main
from lightning_gans.callbacks import FailureMonitor
from lightning_gans.optimizers import SGD
from lightning_gans.training import NonFiniteError, NonFiniteGuard

SLOW = {f"{player}_optimizer": partial(SGD, lr=0.01) for player in ("generator", "discriminator")}
SPARSE = {"log_every_n_steps": 1000}


def make_monitor(**settings):
    return FailureMonitor(**{"every_n_steps": 2, "num_samples": 8, **settings})


# ---------------------------------------------------------------- rollback


@pytest.mark.parametrize(
    ("player", "bad", "found_at"),
    [("generator", 17, 18), ("discriminator", 17, 18), ("discriminator", 20, 20)],
    ids=["generator", "discriminator", "where a healthy checkpoint is due"],
)
def test_the_monitor_rolls_back_and_training_continues(make_gan, fit, weights, player, bad, found_at):
    gan, monitor = make_gan(**SLOW), make_monitor(rollbacks=1)
    trainer = fit(gan, 30, callbacks=[Spoil(player, bad), monitor], **SPARSE)
    broken, back = monitor.events
    assert (broken.state, broken.batch) == ("NaN or infinity", found_at)
    assert broken.evidence.startswith(f"in batch {bad} the {player}'s gradient of ")
    assert back.evidence == "rolled back to batch 10, learning rates multiplied by 0.5"
    assert weights(gan).isfinite().all() and gan.discriminator_updates == 40 - found_at
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.005)
    assert [reading.batch for reading in monitor.readings] == list(range(2, 31, 2)), "one a batch"


def test_the_monitor_rolls_back_where_the_guard_finds_it_by_itself(make_gan, fit, weights):
    gan, monitor = make_gan(**SLOW), make_monitor(rollbacks=1)
    fit(gan, 30, callbacks=[Spoil("generator", 17), monitor, NonFiniteGuard(every_n_batches=17)], **SPARSE)
    assert [event.batch for event in monitor.events] == [17, 17] and weights(gan).isfinite().all()


def test_without_rollbacks_left_the_run_ends(make_gan, fit, tmp_path):
    monitor = make_monitor(rollbacks=1)
    message = r"^batch 25: .* the last good checkpoint is \S*checkpoints/healthy\.ckpt\."
    with pytest.raises(NonFiniteError, match=message):
        fit(make_gan(**SLOW), 30, callbacks=[Spoil("generator", 17, 25), monitor], **SPARSE)
    assert [event.state for event in monitor.events] == ["NaN or infinity", "healthy", "NaN or infinity"]
    assert monitor.events[-1].remedies and is_finite(tmp_path / "checkpoints" / "healthy.ckpt")


def test_a_monitor_that_is_off_changes_nothing(make_gan, fit):
    monitor = make_monitor(every_n_steps=0)
    with pytest.raises(NonFiniteError, match="batch 2: "):
        fit(make_gan(**SLOW), 4, callbacks=[Spoil("discriminator", 2), monitor])
    assert not monitor.events


class Handler(Callback):
    """Any callback may restore an earlier state."""

    def __init__(self):
        self.found = []

    def on_fit_start(self, trainer, pl_module):
        self.state = {name: value.clone() for name, value in pl_module.named_parameters()}

    def on_non_finite(self, trainer, pl_module, found):
        self.found.append((found.batch, found.player))
        with torch.no_grad():
            for name, parameter in pl_module.named_parameters():
                parameter.copy_(self.state[name])
        return True


def test_any_callback_may_restore_an_earlier_state(make_gan, fit, weights):
    sgd = partial(SGD, lr=0.01, momentum=0)  # whose state would be NaN, too
    gan, handler = make_gan(generator_optimizer=sgd, discriminator_optimizer=sgd), Handler()
    fit(gan, 6, callbacks=[Spoil("generator", 2), Spoil("discriminator", 5), handler])
    assert handler.found == [(2, "generator"), (5, "discriminator")] and weights(gan).isfinite().all()


# ---------------------------------------------------------------- NaN that no update shows


def bad_in_evaluation(gan, *batches):
    """Make the generator's samples NaN in evaluation mode alone, as statistics of BatchNorm could."""

    def spoil(module, inputs, samples):
        return samples if module.training or gan.batches_seen not in batches else samples * math.nan

    gan.generator.register_forward_hook(spoil)
    return gan


def test_nan_in_the_samples_alone_ends_the_run(make_gan, fit):
    monitor = make_monitor()
    message = r"^batch 18: losses, logits or samples are NaN or infinite \(L_D \d\S*, L_G \d\S*\)\. The run ends here;"
    with pytest.raises(NonFiniteError, match=message):
        fit(bad_in_evaluation(make_gan(**SLOW), 18), 30, callbacks=[monitor], **SPARSE)
    assert [(event.batch, event.state) for event in monitor.events] == [(18, "NaN or infinity")]


def test_nan_in_the_samples_alone_is_rolled_back(make_gan, fit):
    gan, monitor = bad_in_evaluation(make_gan(**SLOW), 18), make_monitor(rollbacks=1)
    fit(gan, 30, callbacks=[monitor], **SPARSE)
    assert [event.state for event in monitor.events] == ["NaN or infinity", "healthy"]
    assert gan.discriminator_updates == 22 and [reading.finite for reading in monitor.readings].count(0) == 1


# ---------------------------------------------------------------- a gradient scaler


def test_an_overflow_that_a_scaler_skips_is_not_reported(make_gan, fit, weights):
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=1000)
    gan, monitor = make_gan(**SLOW), make_monitor(rollbacks=1, patience=1)
    spoil = Spoil("discriminator", 4, what="loss", value=math.inf)
    fit(gan, 8, callbacks=[spoil, monitor], plugins=[MixedPrecision("16-mixed", "cpu", scaler=scaler)])
    assert [reading.finite for reading in monitor.readings] == [1, 0, 1, 1]
    assert not monitor.events and weights(gan).isfinite().all()


# ---------------------------------------------------------------- several processes


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("monitored", [False, True])
def test_all_processes_end_where_one_has_nan(make_gan, quiet, batches, monitored):
    """The loss of the second process alone is NaN, and no gradient shows it to the first."""

    class Second(Spoil):
        def on_discriminator_loss(self, gan, step, loss):
            return super().on_discriminator_loss(gan, step, loss) if gan.global_rank else loss

    callbacks = [Second("discriminator", 2, what="loss"), *([make_monitor()] if monitored else [])]
    strategy = DDPStrategy(start_method="fork", find_unused_parameters=True, timeout=timedelta(seconds=60))
    trainer = Trainer(**{**quiet, **SPARSE, "callbacks": callbacks}, devices=2, strategy=strategy)
    message = r"batch 2: the discriminator's loss is nan; .* in process 1\. The run ends here"
    with pytest.raises(Exception, match=message):
        trainer.fit(make_gan(**SLOW), DataLoader(batches(6), batch_size=None))


# ---------------------------------------------------------------- the command line


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Fit a small model from the command line; return the exit code and what was written to the two streams."""

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
    assert page.startswith("# Health of this run\n\n**NaN or infinity** after 10 batches.")
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.slow
def test_a_run_that_the_monitor_stops_has_failed_too(command, tmp_path, monkeypatch):
    from lightning_gans.callbacks.health import failure_monitor
    from lightning_gans.callbacks.health.states import MODE_COLLAPSE

    monkeypatch.setattr(failure_monitor, "diagnose", lambda *args: (MODE_COLLAPSE, "as the test says"))
    code, (_, errors) = command("--monitor.stop=true", "--monitor.every_n_steps=2", "--monitor.patience=2")
    assert code == 1
    assert errors.endswith("lightning-gans: failed: FailureMonitor ends the run at batch 4: mode collapse (hard).\n")
    assert (tmp_path / "runs/vanillagan_gaussianring/version_0/checkpoints/last.ckpt").is_file()
