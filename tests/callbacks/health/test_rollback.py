"""FailureMonitor: what follows from a failure: the end of the run, or the last healthy checkpoint."""

import pytest
import torch
from health_helpers import BAD, GOOD, make_monitor, reported, script
from lightning.pytorch import Callback

from lightning_gans.callbacks.health.states import HEALTHY, MODE_COLLAPSE
from lightning_gans.optimizers import Adam
from lightning_gans.stabilizers import GeneratorEMA


def rates(trainer):
    return [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers]


@pytest.mark.parametrize(("stop", "batches"), [(False, 6), (True, 2)])
def test_a_failure_ends_the_run_only_with_stop(make_gan, fit, monkeypatch, stop, batches):
    script(monkeypatch, BAD)
    gan, monitor = make_gan(), make_monitor(stop=stop)
    fit(gan, 6, callbacks=[monitor])
    assert gan.batches_seen == batches
    ended = "FailureMonitor ends the run at batch 2: mode collapse (hard)."
    assert monitor.ended == (ended if stop else "")


class Weights(Callback):
    """Copies the weights before or after the callbacks behind or before it, at the end of every batch."""

    def __init__(self, weights):
        self.weights, self.seen = weights, []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(self.weights(pl_module))


@pytest.mark.parametrize("ema", [False, True], ids=["plain", "with an average"])
def test_a_failure_restores_the_last_healthy_checkpoint(make_gan, fit, monkeypatch, tmp_path, weights, ema):
    script(monkeypatch, *[GOOD] * 6, BAD, BAD, GOOD)
    gan = make_gan(discriminator_optimizer=lambda params: Adam(params, lr=0.01))
    monitor, before, after = make_monitor(rollbacks=1), Weights(weights), Weights(weights)
    averages = [GeneratorEMA(4.0)] if ema else []
    trainer = fit(gan, 9, callbacks=[*averages, before, monitor, after])
    saved, lost, restored = before.seen[4], before.seen[7], after.seen[7]
    assert torch.equal(saved, restored) and not torch.equal(saved, lost)
    assert (tmp_path / "checkpoints" / "healthy.ckpt").is_file()
    assert rates(trainer)[1] == pytest.approx(0.005)
    assert [state for _, state in reported(monitor)] == [MODE_COLLAPSE.name, HEALTHY.name]
    assert monitor.events[1].evidence == "rolled back to batch 5, learning rates multiplied by 0.5"
    assert gan.discriminator_updates == 6, "the counters too: 5 and the batch after"
    assert monitor.state == HEALTHY


def test_after_the_last_rollback_a_failure_is_only_reported(make_gan, fit, monkeypatch):
    script(monkeypatch, *[GOOD] * 5, *[BAD] * 20)
    monitor = make_monitor(rollbacks=2, patience=1)
    trainer = fit(make_gan(generator_optimizer=lambda params: Adam(params, lr=0.01)), 12, callbacks=[monitor])
    assert [state for _, state in reported(monitor)] == [BAD.name, GOOD.name, BAD.name, GOOD.name, BAD.name]
    assert rates(trainer)[0] == pytest.approx(0.0025)


def test_schedules_continue_from_the_halved_rate(make_gan, fit, monkeypatch):
    script(monkeypatch, *[GOOD] * 5, BAD, GOOD)
    schedule = lambda optimizer: torch.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=3)  # noqa: E731
    gan = make_gan(generator_optimizer=lambda params: Adam(params, lr=0.04), generator_scheduler=schedule)
    trainer = fit(gan, 9, callbacks=[make_monitor(rollbacks=1, patience=1)])
    assert rates(trainer)[0] == pytest.approx(0.02)


def test_without_a_healthy_checkpoint_nothing_is_restored(make_gan, fit, monkeypatch, tmp_path):
    script(monkeypatch, BAD)
    monitor = make_monitor(rollbacks=1, stop=True)
    fit(make_gan(), 5, callbacks=[monitor])
    assert reported(monitor) == [(2, BAD.name)] and not (tmp_path / "checkpoints").exists()


def test_a_resumed_run_has_the_rollbacks_that_are_left(make_gan, fit, monkeypatch, tmp_path):
    script(monkeypatch, *[GOOD] * 5, BAD, GOOD)
    first = make_monitor(rollbacks=1, patience=1)
    fit(make_gan(), 9, callbacks=[first]).save_checkpoint(tmp_path / "run.ckpt")
    script(monkeypatch, *[GOOD] * 7, BAD)
    second = make_monitor(rollbacks=1, patience=1)
    fit(make_gan(), 12, callbacks=[second], ckpt_path=tmp_path / "run.ckpt", max_epochs=2)
    assert sum("rolled back" in event.evidence for event in second.events) == 1, "that of the first run"
    assert second.state == BAD
