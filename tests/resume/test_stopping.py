"""A run that is stopped by SIGTERM or SLURM saves a checkpoint, and another run resumes from it."""

import os
import signal
import stat
import time

import pytest
import torch
from kills import COMMON, MIDDLE, MODELS, begun, compare, finish, fit, kill, mark, start, timed
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_gans.callbacks import SaveWhenStopped
from lightning_gans.callbacks.stopping import slurm_job
from lightning_gans.data import GaussianRing

pytestmark = [
    pytest.mark.resume,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
]


class SendSignal(Callback):
    """Send this process a signal in the middle of a batch."""

    def __init__(self, batch, signum=signal.SIGTERM):
        self.batch, self.signum, self.seen = batch, signum, []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.fit_loop.epoch_loop.total_batch_idx == self.batch:
            os.kill(os.getpid(), self.signum)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(trainer.fit_loop.epoch_loop.total_batch_idx)


@pytest.fixture
def train(make_gan, quiet, tmp_path):
    """Train for two epochs of five batches, and return the GAN and the exit code."""

    def train(*callbacks, keeps=True, seed=0, ckpt_path=None, **settings):
        gan = make_gan(dropout=0.2)
        torch.manual_seed(seed)
        keeper = [ModelCheckpoint(tmp_path / "kept", save_last=True, every_n_epochs=100)] if keeps else []
        trainer = Trainer(
            **{**quiet, "max_epochs": 2, "enable_checkpointing": True if keeps else None, **settings},
            callbacks=[*callbacks, *keeper],
        )
        data = GaussianRing(num_samples=43, batch_size=8, num_val_samples=8)
        try:
            trainer.fit(gan, data, ckpt_path=ckpt_path)
            code = 0
        except SystemExit as end:
            code = end.code
        return gan, code

    return train


@pytest.mark.parametrize("batch", [0, 2, 4, 7])
def test_sigterm_saves_after_the_batch_and_the_next_run_resumes_exactly(train, weights, tmp_path, batch):
    sender = SendSignal(batch)
    _, code = train(sender, SaveWhenStopped())
    assert code == 143 and sender.seen == list(range(batch + 1)), "the current batch is the last"
    saved = torch.load(tmp_path / "kept" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == batch + 1
    rest = SendSignal(-1)
    gan, code = train(rest, SaveWhenStopped(), seed=5, ckpt_path=tmp_path / "kept" / "last.ckpt")
    assert code == 0 and rest.seen == list(range(batch + 1, 10))
    whole, _ = train(keeps=False)
    assert torch.equal(weights(gan), weights(whole))


def test_after_the_last_batch_the_resumed_run_repeats_the_validation(train, tmp_path):
    validated = []

    class Validated(Callback):
        def on_validation_end(self, trainer, pl_module):
            if not trainer.sanity_checking:
                validated.append(trainer.current_epoch)

    train(SendSignal(4), Validated(), SaveWhenStopped())
    assert validated == [], "it ends between two batches"
    train(Validated(), ckpt_path=tmp_path / "kept" / "last.ckpt")
    assert validated == [0, 1]


def test_the_previous_signal_handler_is_restored(train):
    own = signal.signal(signal.SIGTERM, lambda *args: None)
    try:
        handler = signal.getsignal(signal.SIGTERM)
        for callbacks in ((SendSignal(1), SaveWhenStopped()), (SaveWhenStopped(),)):
            train(*callbacks)
            assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, own)


def test_without_a_checkpoint_callback_the_run_ends_with_a_warning(train, tmp_path):
    message = "SIGTERM: the run ends, and nothing is saved, since it has no ModelCheckpoint"
    with pytest.warns(UserWarning, match=message):
        _, code = train(SendSignal(1), SaveWhenStopped(), keeps=False)
    assert code == 143 and not (tmp_path / "kept").exists()


def test_a_signal_to_one_process_stops_all(train, monkeypatch, tmp_path):
    sender = SendSignal(-1)
    asked = []

    def agree(self, decision, all=True):
        asked.append(decision)
        return len(asked) == 3

    from lightning.pytorch.strategies import SingleDeviceStrategy

    monkeypatch.setattr(SingleDeviceStrategy, "reduce_boolean_decision", agree)
    monkeypatch.setattr(ModelCheckpoint, "file_exists", lambda self, path, trainer: False)
    _, code = train(sender, SaveWhenStopped(), limit_val_batches=0)
    assert code == 143 and sender.seen == [0, 1, 2] and asked == [False] * 3
    assert (tmp_path / "kept" / "last.ckpt").is_file()


# ---------------------------------------------------------------- SLURM


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Make this process job 17 of SLURM, with a scontrol that writes its arguments to the returned file."""
    for name, value in {"JOB_ID": "17", "NTASKS": "1", "JOB_NAME": "gan", "PROCID": "0", "LOCALID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SLURM_NODELIST", "localhost")
    monkeypatch.setenv("SLURM_NODEID", "0")
    program = tmp_path / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path / "scontrol.txt"}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return tmp_path / "scontrol.txt"


def test_the_end_of_the_time_limit_saves_and_requeues_the_job(train, slurm, tmp_path):
    sender = SendSignal(2, signal.SIGUSR1)
    _, code = train(sender, SaveWhenStopped())
    assert code == 143 and sender.seen == [0, 1, 2]
    assert slurm.read_text() == "requeue 17\n"
    saved = torch.load(tmp_path / "kept" / "last.ckpt", weights_only=True)
    assert saved["callbacks"]["SaveWhenStopped"] == {"job": "17"} and saved["global_step"] == 3
    assert not list(tmp_path.rglob("hpc_ckpt*")), "Lightning's own handler, which saves at once, is replaced"


def test_a_failed_requeue_is_a_warning(train, slurm, tmp_path):
    (tmp_path / "bin" / "scontrol").write_text("#!/bin/sh\necho no such job >&2\nexit 1\n")
    with pytest.warns(UserWarning, match=r"`scontrol requeue 17` failed \(no such job\); requeue the job yourself"):
        train(SendSignal(2, signal.SIGUSR1), SaveWhenStopped())


def test_sigterm_does_not_requeue(train, slurm):
    assert train(SendSignal(2), SaveWhenStopped())[1] == 143
    assert not slurm.exists()


def test_requeueing_can_be_left_to_lightning(train, slurm):
    previous = signal.signal(signal.SIGUSR1, lambda *args: None)
    try:
        sender = SendSignal(2, signal.SIGUSR1)
        assert train(sender, SaveWhenStopped(requeue=False))[1] == 0 and len(sender.seen) == 10
    finally:
        signal.signal(signal.SIGUSR1, previous)


def test_a_job_of_an_array_is_named_by_array_and_task(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert slurm_job() is None
    monkeypatch.setenv("SLURM_JOB_ID", "40")
    assert slurm_job() == "40"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "38")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    assert slurm_job() == "38_2"


# ---------------------------------------------------------------- on the command line


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ranks"), [("DCGAN", 1), ("UnrolledGAN", 2)])
def test_a_stopped_command_resumes_exactly(tmp_path, name, ranks):
    args = [*COMMON, *MODELS[name], *MIDDLE, *([] if ranks == 1 else ["--trainer.devices=2"])]
    seconds = timed(tmp_path / "whole", args, ranks)
    folder, ends = tmp_path / "stopped", []
    while 0 not in ends:
        before = mark(folder)
        pids = start(folder, [*args, *(["--ckpt_path=last"] if ends else [])], ranks)
        begun(folder, before, pids)
        time.sleep(0.3 * seconds)
        if len(ends) < 2:
            kill(pids[-1:], signal.SIGTERM)  # of the processes, only the last
        (end,) = set(finish(pids))
        ends.append(end)
    assert ends in ([143, 0], [143, 143, 0])
    assert compare(folder, tmp_path / "whole") == []


@pytest.mark.slow
def test_a_requeued_job_resumes_by_itself(tmp_path, slurm, monkeypatch):
    args = [*COMMON, *MODELS["UnrolledGAN"]]
    seconds = timed(tmp_path / "whole", args)
    folder = tmp_path / "job"
    (pid,) = start(folder, args)
    begun(folder, 0, [pid])
    time.sleep(0.3 * seconds)
    os.kill(pid, signal.SIGUSR1)
    assert finish([pid]) == [143] and slurm.read_text() == "requeue 17\n"
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    fit(folder, args)
    assert compare(folder, tmp_path / "whole") == []
