"""Ctrl-C and SIGTERM end a run at any moment: it is saved, and a line says where it is and how to resume."""

import logging
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from kills import COMMON, MODELS, begun, compare, finish, fit, kill, start, timed
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from lightning_gans.callbacks import Evaluation, SaveWhenStopped
from lightning_gans.callbacks.stopping import RunStopped, end_if_signalled, resume_with
from lightning_gans.checkpoints import AtomicCheckpointIO
from lightning_gans.data import GaussianRing
from lightning_gans.metrics import Score
from lightning_gans.stabilizers import GeneratorEMA

pytestmark = [
    pytest.mark.resume,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
]


class Send(Callback):
    """Send this process a signal in a hook, the first time that a batch of this number is done."""

    def __init__(self, hook, batch=0, signum=signal.SIGINT, times=1):
        self.batch, self.signum, self.times, self.batches = batch, signum, times, []
        setattr(self, hook, self.send)

    def send(self, trainer, pl_module, *args, **kwargs):
        if not trainer.sanity_checking and pl_module.discriminator_updates >= self.batch:
            for _ in range(self.times):
                self.times -= 1
                os.kill(os.getpid(), self.signum)


class Count(Callback):
    """Note which batches are trained and which epochs validated."""

    def __init__(self):
        self.batches, self.validated = [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.batches.append(trainer.fit_loop.epoch_loop.total_batch_idx)

    def on_validation_end(self, trainer, pl_module):
        if not trainer.sanity_checking:
            self.validated.append(trainer.current_epoch)


@pytest.fixture
def train(make_gan, quiet, tmp_path):
    """Train for two epochs of five batches, and return the GAN, the exit code, and what was trained."""

    def train(*callbacks, seed=0, ckpt_path=None, keeps=True, **settings):
        gan, count = make_gan(dropout=0.2), Count()
        torch.manual_seed(seed)
        keeper = [ModelCheckpoint(tmp_path / "kept", save_last=True, every_n_epochs=100)] if keeps else []
        settings = {**quiet, "max_epochs": 2, "enable_checkpointing": True if keeps else None, **settings}
        trainer = Trainer(**settings, plugins=[AtomicCheckpointIO()], callbacks=[count, *callbacks, *keeper])
        data = GaussianRing(num_samples=43, batch_size=8, num_val_samples=32)
        try:
            trainer.fit(gan, data, ckpt_path=ckpt_path)
            code = 0
        except SystemExit as end:
            code = end.code
        return gan, code, count

    return train


def saved(tmp_path):
    return torch.load(tmp_path / "kept" / "last.ckpt", weights_only=True)


MOMENTS = {  # where the signal arrives: a callback that sends it, and how many batches are done then
    "a batch": (lambda signum: Send("on_train_batch_start", 2, signum), 3),
    "the last batch of an epoch": (lambda signum: Send("on_train_batch_start", 4, signum), 5),
    "the end of a batch": (lambda signum: Send("on_train_batch_end", 3, signum), 3),
    "a validation": (lambda signum: Send("on_validation_batch_start", 0, signum), 5),
    "the end of an epoch": (lambda signum: Send("on_train_epoch_end", 0, signum), 5),
    "a save": (lambda signum: Send("on_save_checkpoint", 0, signum), 5),
}


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_is_saved_and_resumes_exactly(train, weights, tmp_path, moment, signum, caplog):
    make, batches = MOMENTS[moment]
    keeper = ModelCheckpoint(tmp_path / "kept", every_n_epochs=1 if moment == "a save" else 100, save_last=True)
    with caplog.at_level(logging.INFO):
        _, code, done = train(make(signum), keeper, SaveWhenStopped(), keeps=False, enable_checkpointing=True)
    assert code == 128 + signum and len(done.batches) == batches
    (line,) = [record.getMessage() for record in caplog.records if "Resume it: " in record.getMessage()]
    name = "Ctrl-C" if signum == signal.SIGINT else "SIGTERM"
    assert line.startswith(f"{name}: the run ends here and is saved. Resume it: trainer.fit(model, data, ckpt_path='")
    assert line.endswith("/kept/last.ckpt')") and saved(tmp_path)["global_step"] == batches
    assert not list(tmp_path.rglob("*.unfinished"))
    gan, code, rest = train(SaveWhenStopped(), seed=5, ckpt_path=tmp_path / "kept" / "last.ckpt")
    assert code == 0 and rest.batches == list(range(batches, 10))
    whole, _, _ = train(keeps=False)
    assert torch.equal(weights(gan), weights(whole))


def test_the_weights_of_a_validation_that_is_cut_short_are_those_of_training(train, weights, tmp_path):
    """In a validation the generator has the averaged weights, which must not be saved in place of its own."""
    ema = lambda: GeneratorEMA(half_life=8)  # noqa: E731
    train(ema(), Send("on_validation_batch_start"), SaveWhenStopped())
    gan, _, _ = train(ema(), SaveWhenStopped(), ckpt_path=tmp_path / "kept" / "last.ckpt")
    whole, _, _ = train(ema(), keeps=False)
    assert torch.equal(weights(gan), weights(whole))


class Slow(Score):
    """A score that sends a signal with the third batch of fakes, and counts them."""

    name = "slow"
    uses_real = False

    def __init__(self, signum, at=3):
        super().__init__()
        self.signum, self.at, self.batches = signum, at, 0
        self.add_state("fake_count", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, samples, real):
        if not real and len(samples) > 2:  # two samples are a trial
            self.batches += 1
            if self.batches == self.at:
                os.kill(os.getpid(), self.signum)

    def compute(self):
        return torch.tensor(1.0)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("validates", [True, False])
def test_an_evaluation_ends_between_two_batches(train, weights, tmp_path, monkeypatch, signum, validates):
    monkeypatch.chdir(tmp_path)
    slow = Slow(signum)
    split = {"split": "train"} if not validates else {}
    limits = {} if validates else {"limit_val_batches": 0}
    evaluation = Evaluation([slow], num_samples=160, statistics=None, **split)
    _, code, done = train(evaluation, SaveWhenStopped(), **limits)
    assert code == 128 + signum and slow.batches == 3 and len(done.batches) == 5
    gan, code, rest = train(SaveWhenStopped(), ckpt_path=tmp_path / "kept" / "last.ckpt", **limits)
    assert code == 0 and rest.batches == list(range(5, 10))
    whole, _, _ = train(keeps=False, **limits)
    assert torch.equal(weights(gan), weights(whole))


@pytest.mark.parametrize("command", ["validate", "test"])
def test_sigterm_ends_the_evaluation_of_a_trained_model(make_gan, quiet, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    slow = Slow(signal.SIGTERM)
    trainer = Trainer(**quiet, callbacks=[Evaluation([slow], num_samples=160, statistics=None)])
    with pytest.raises(RunStopped) as stopped:
        getattr(trainer, command)(make_gan(), datamodule=GaussianRing(num_val_samples=32, num_test_samples=32))
    assert stopped.value.code == 143 and slow.batches == 3


def test_ctrl_c_twice_ends_a_run_at_once(train, tmp_path, caplog, capfd):
    with caplog.at_level(logging.INFO):
        _, code, done = train(Send("on_train_batch_start", 2, times=2), SaveWhenStopped())
    assert code == 1 and done.batches == [0, 1], "the third batch is not completed"
    assert "press Ctrl-C again to end it at once" in capfd.readouterr().err
    assert "Ctrl-C: the run ends at once. Nothing is saved yet." in caplog.messages
    assert signal.getsignal(signal.SIGINT) is not None


def test_ctrl_c_twice_names_the_checkpoint_that_is_there(train, tmp_path, caplog):
    keeper = ModelCheckpoint(tmp_path / "kept", every_n_train_steps=2, save_last=True)
    with caplog.at_level(logging.INFO):
        train(
            Send("on_train_batch_start", 3, times=2), SaveWhenStopped(), keeper, keeps=False, enable_checkpointing=True
        )
    (line,) = [message for message in caplog.messages if "ends at once" in message]
    assert line.endswith("/kept/last.ckpt')")


def test_ctrl_c_twice_in_a_save_leaves_no_unfinished_file(tmp_path, monkeypatch):
    def interrupted(checkpoint, file):
        file.write(b"half")
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("unexpected pos 64 vs 0")  # by torch, which closes its file

    AtomicCheckpointIO().save_checkpoint({"a": 1}, tmp_path / "a.ckpt")
    monkeypatch.setattr("torch.save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        AtomicCheckpointIO().save_checkpoint({"a": 2}, tmp_path / "a.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]
    assert torch.load(tmp_path / "a.ckpt", weights_only=True) == {"a": 1}


def test_the_previous_handler_of_ctrl_c_is_restored(train):
    handler = signal.getsignal(signal.SIGINT)
    for callbacks in ((Send("on_train_batch_start", 1), SaveWhenStopped()), (SaveWhenStopped(),)):
        train(*callbacks)
        assert signal.getsignal(signal.SIGINT) is handler


def test_the_line_has_a_command_where_the_run_has_a_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Path("runs/one two/version_0")
    run.mkdir(parents=True)
    checkpoint = str(tmp_path / run / "checkpoints" / "last.ckpt")
    assert (
        resume_with(checkpoint, str(run))
        == f"Resume it: trainer.fit(model, data, ckpt_path='{run}/checkpoints/last.ckpt')"
    )
    (run / "config.yaml").write_text("")
    expected = f"lightning-gans fit --config '{run}/config.yaml' --ckpt_path '{run}/checkpoints/last.ckpt'"
    assert resume_with(checkpoint, str(run)) == f"Resume it: {expected}"


def test_processes_agree_on_the_end_of_an_evaluation(make_gan, quiet, monkeypatch):
    from lightning.pytorch.strategies import SingleDeviceStrategy

    trainer, asked = Trainer(**quiet), []
    monkeypatch.setattr(
        SingleDeviceStrategy, "reduce_boolean_decision", lambda self, one, all: asked.append(one) or True
    )
    with pytest.raises(RunStopped):
        end_if_signalled(trainer)
    assert asked == [False], "another process was asked to stop"


# ---------------------------------------------------------------- what a run that ends early has logged


@pytest.mark.parametrize("how", ["Ctrl-C", "error", "end"])
def test_metrics_are_written_however_a_run_ends(train, tmp_path, how):
    class Fails(Callback):
        def on_train_batch_end(self, trainer, pl_module, *args):
            if pl_module.discriminator_updates == 4:
                raise RuntimeError("a fault")

    callbacks = {"Ctrl-C": [Send("on_train_batch_start", 3), SaveWhenStopped()], "error": [Fails()], "end": []}[how]
    settings = {"logger": CSVLogger(tmp_path, "log"), "log_every_n_steps": 50, "limit_val_batches": 0}
    if how == "error":
        with pytest.raises(RuntimeError, match="a fault"):
            train(*callbacks, **settings)
    else:
        train(*callbacks, **settings)
    (path,) = tmp_path.rglob("metrics.csv")
    header, *rows = [line.split(",") for line in path.read_text().splitlines()]
    (row,) = rows
    values = dict(zip(header, row, strict=True))
    assert values["step"] == {"Ctrl-C": "3", "error": "3", "end": "9"}[how]
    assert float(values["loss/generator"]) > 0 and "discriminator/separation" in values


# ---------------------------------------------------------------- on the command line


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_command_stopped_by_ctrl_c_resumes_exactly(tmp_path, ranks):
    args = [*COMMON, *MODELS["DCGAN"], *([] if ranks == 1 else ["--trainer.devices=2"])]
    seconds = timed(tmp_path / "whole", args, ranks)
    folder = tmp_path / "stopped"
    pids = start(folder, args, ranks)
    begun(folder, 0, pids)
    time.sleep(0.3 * seconds)
    kill(pids, signal.SIGINT)
    assert set(finish(pids)) == {130}
    assert (folder / "runs/one/version_0/metrics.csv").is_file()
    fit(folder, [*args, "--ckpt_path=last"]) if ranks == 1 else finish(
        start(folder, [*args, "--ckpt_path=last"], ranks)
    )
    assert compare(folder, tmp_path / "whole") == []
