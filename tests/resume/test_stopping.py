"""A run that is told to stop, by SIGTERM or by SLURM, keeps where it is, and another goes on from there."""

import os
import signal
import stat
import time

import pytest
import torch
from kills import COMMON, GAMES, MIDDLE, begun, compare, finish, fit, kill, start, timed
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


class Tell(Callback):
    """Sends this process a signal in the middle of a batch."""

    def __init__(self, batch, signum=signal.SIGTERM):
        self.batch, self.signum, self.seen = batch, signum, []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.fit_loop.epoch_loop.total_batch_idx == self.batch:
            os.kill(os.getpid(), self.signum)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(trainer.fit_loop.epoch_loop.total_batch_idx)


@pytest.fixture
def play(make_gan, quiet, tmp_path):
    """Fit on five batches an epoch, two epochs; what was played, the GAN, and how it ended."""

    def play(*callbacks, keeps=True, seed=0, ckpt_path=None, **settings):
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

    return play


@pytest.mark.parametrize("batch", [0, 2, 4, 7])
def test_sigterm_ends_the_batch_and_saves_and_the_next_run_goes_on_exactly(play, weights, tmp_path, batch):
    told = Tell(batch)
    _, code = play(told, SaveWhenStopped())
    assert code == 143 and told.seen == list(range(batch + 1)), "the batch that runs is the last"
    saved = torch.load(tmp_path / "kept" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == batch + 1
    rest = Tell(-1)
    gan, code = play(rest, SaveWhenStopped(), seed=5, ckpt_path=tmp_path / "kept" / "last.ckpt")
    assert code == 0 and rest.seen == list(range(batch + 1, 10))
    whole, _ = play(keeps=False)
    assert torch.equal(weights(gan), weights(whole))


def test_the_last_batch_of_an_epoch_ends_the_epoch_first(play, tmp_path):
    scored = []

    class Scored(Callback):
        def on_validation_end(self, trainer, pl_module):
            if not trainer.sanity_checking:
                scored.append(trainer.current_epoch)

    play(Tell(4), Scored(), SaveWhenStopped())
    assert scored == [0], "its validation is done"
    play(Scored(), ckpt_path=tmp_path / "kept" / "last.ckpt")
    assert scored == [0, 1], "and not done again"


def test_whoever_had_the_signal_has_it_again(play):
    mine = signal.signal(signal.SIGTERM, lambda *args: None)
    try:
        handler = signal.getsignal(signal.SIGTERM)
        for callbacks in ((Tell(1), SaveWhenStopped()), (SaveWhenStopped(),)):
            play(*callbacks)
            assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, mine)


def test_without_a_place_to_save_it_ends_all_the_same_and_says_so(play, tmp_path):
    message = "SIGTERM: the run ends, and nothing is saved, since it has no ModelCheckpoint"
    with pytest.warns(UserWarning, match=message):
        _, code = play(Tell(1), SaveWhenStopped(), keeps=False)
    assert code == 143 and not (tmp_path / "kept").exists()


def test_one_process_that_is_told_stops_all(play, monkeypatch, tmp_path):
    told = Tell(-1)
    asked = []

    def agree(self, decision, all=True):
        asked.append(decision)
        return len(asked) == 3

    from lightning.pytorch.strategies import SingleDeviceStrategy

    monkeypatch.setattr(SingleDeviceStrategy, "reduce_boolean_decision", agree)
    monkeypatch.setattr(ModelCheckpoint, "file_exists", lambda self, path, trainer: False)
    _, code = play(told, SaveWhenStopped(), limit_val_batches=0)
    assert code == 143 and told.seen == [0, 1, 2] and asked == [False] * 3
    assert (tmp_path / "kept" / "last.ckpt").is_file()


# ---------------------------------------------------------------- SLURM


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """This process is job 17 of SLURM, whose scontrol notes what it is told."""
    for name, value in {"JOB_ID": "17", "NTASKS": "1", "JOB_NAME": "gan", "PROCID": "0", "LOCALID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SLURM_NODELIST", "localhost")
    monkeypatch.setenv("SLURM_NODEID", "0")
    program = tmp_path / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path / "told.txt"}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return tmp_path / "told.txt"


def test_the_end_of_the_allotted_time_saves_and_queues_the_job_again(play, slurm, tmp_path):
    told = Tell(2, signal.SIGUSR1)
    _, code = play(told, SaveWhenStopped())
    assert code == 143 and told.seen == [0, 1, 2]
    assert slurm.read_text() == "requeue 17\n"
    saved = torch.load(tmp_path / "kept" / "last.ckpt", weights_only=True)
    assert saved["callbacks"]["SaveWhenStopped"] == {"job": "17"} and saved["global_step"] == 3
    assert not list(tmp_path.rglob("hpc_ckpt*")), "Lightning's own handler, which saves at once, was not called"


def test_a_queue_that_does_not_answer_is_said(play, slurm, tmp_path):
    (tmp_path / "bin" / "scontrol").write_text("#!/bin/sh\necho no such job >&2\nexit 1\n")
    with pytest.warns(UserWarning, match=r"`scontrol requeue 17` failed \(no such job\); requeue the job yourself"):
        play(Tell(2, signal.SIGUSR1), SaveWhenStopped())


def test_sigterm_does_not_queue_again(play, slurm):
    assert play(Tell(2), SaveWhenStopped())[1] == 143
    assert not slurm.exists()


def test_requeueing_can_be_left_to_lightning(play, slurm):
    heard = signal.signal(signal.SIGUSR1, lambda *args: None)
    try:
        told = Tell(2, signal.SIGUSR1)
        assert play(told, SaveWhenStopped(requeue=False))[1] == 0 and len(told.seen) == 10
    finally:
        signal.signal(signal.SIGUSR1, heard)


def test_a_job_of_an_array_has_a_name_of_its_own(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert slurm_job() is None
    monkeypatch.setenv("SLURM_JOB_ID", "40")
    assert slurm_job() == "40"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "38")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    assert slurm_job() == "38_2"


# ---------------------------------------------------------------- by the command line


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ranks"), [("DCGAN", 1), ("UnrolledGAN", 2)])
def test_a_command_that_is_told_to_stop_goes_on_exactly(tmp_path, name, ranks):
    args = [*COMMON, *GAMES[name], *MIDDLE, *([] if ranks == 1 else ["--trainer.devices=2"])]
    seconds = timed(tmp_path / "whole", args, ranks)
    folder, ends = tmp_path / "told", []
    while 0 not in ends:
        pids = start(folder, [*args, *(["--ckpt_path=last"] if ends else [])], ranks)
        begun(folder, len(ends), pids)
        time.sleep(0.3 * seconds)
        if len(ends) < 2:
            kill(pids[-1:], signal.SIGTERM)  # the last of the processes alone
        (end,) = set(finish(pids))
        ends.append(end)
    assert ends in ([143, 0], [143, 143, 0])
    assert compare(folder, tmp_path / "whole") == []


@pytest.mark.slow
def test_a_job_that_is_queued_again_goes_on_by_itself(tmp_path, slurm, monkeypatch):
    args = [*COMMON, *GAMES["UnrolledGAN"]]
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
