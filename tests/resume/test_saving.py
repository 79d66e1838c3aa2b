"""Checkpoints are written completely or not at all, and a run resumes from the newest readable one."""

import errno
import os
import resource
import shutil
import signal
from pathlib import Path

import pytest
import torch
from kills import COMMON, MODELS, start
from kills import fit as fit_cli
from lightning.pytorch.plugins.io import TorchCheckpointIO

from lightning_gans.checkpoints import AtomicCheckpointIO, CheckpointWriteError
from lightning_gans.cli.saved_runs import last_checkpoint

pytestmark = [
    pytest.mark.resume,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
]


def in_a_child(work):
    """Do some work in a forked process, and return its exit code."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def half(save):
    """Return a version of `torch.save` that is killed half-way."""

    def write(content, file, *args, **kwargs):
        whole = file.tell() if hasattr(file, "tell") else 0
        save(content, file, *args, **kwargs)
        file.flush()
        os.ftruncate(file.fileno(), (whole + os.fstat(file.fileno()).st_size) // 2)
        os.kill(os.getpid(), signal.SIGKILL)

    return write


# ---------------------------------------------------------------- one file


def test_a_kill_during_a_save_keeps_the_previous_file(tmp_path, monkeypatch):
    path, saver = tmp_path / "run" / "last.ckpt", AtomicCheckpointIO()
    saver.save_checkpoint({"step": 1, "x": torch.ones(1000)}, path)

    def work():
        monkeypatch.setattr(torch, "save", half(torch.save))
        saver.save_checkpoint({"step": 2, "x": torch.ones(1000)}, path)

    assert in_a_child(work) == -signal.SIGKILL
    assert torch.load(path, weights_only=True)["step"] == 1
    assert sorted(file.name for file in path.parent.glob("*.ckpt")) == ["last.ckpt"], (
        "the unfinished file has another name"
    )
    saver.save_checkpoint({"step": 3}, path)
    assert torch.load(path, weights_only=True)["step"] == 3
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


def test_a_full_disk_is_one_line_and_keeps_the_previous_file(tmp_path):
    path, saver = tmp_path / "last.ckpt", AtomicCheckpointIO()
    saver.save_checkpoint({"step": 1}, path)

    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
        with pytest.raises(
            CheckpointWriteError, match=r"last\.ckpt could not be written \(File too large\); the previous one is kept"
        ):
            saver.save_checkpoint({"step": 2, "x": torch.ones(100_000)}, path)

    assert in_a_child(work) == 0
    assert torch.load(path, weights_only=True)["step"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"], "the unfinished file is removed"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_the_message_of_the_system_is_given(tmp_path, monkeypatch, number):
    def save(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(CheckpointWriteError, match=os.strerror(number)) as caught:
        AtomicCheckpointIO().save_checkpoint({}, tmp_path / "a.ckpt")
    assert "there is no earlier one" in str(caught.value) and "\n" not in str(caught.value)


def test_other_errors_are_raised_unchanged(tmp_path, monkeypatch):
    with pytest.raises((AttributeError, TypeError)):
        AtomicCheckpointIO().save_checkpoint({"a": lambda: 0}, tmp_path / "a.ckpt")

    def save(*args, **kwargs):
        raise RuntimeError("of something else")

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(RuntimeError, match="of something else"):
        AtomicCheckpointIO().save_checkpoint({}, tmp_path / "a.ckpt")


def test_urls_and_storage_options_are_left_to_lightning(monkeypatch):
    passed = []
    monkeypatch.setattr(TorchCheckpointIO, "save_checkpoint", lambda self, *args: passed.append(args))
    AtomicCheckpointIO().save_checkpoint({}, "memory://a.ckpt")
    AtomicCheckpointIO().save_checkpoint({}, "a.ckpt", {"b": 1})
    assert passed == [({}, "memory://a.ckpt", None), ({}, "a.ckpt", {"b": 1})]


def test_the_content_is_that_of_lightning(make_gan, fit, tmp_path):
    kept = []
    for plugins in ([], [AtomicCheckpointIO()]):
        fit(make_gan(), plugins=plugins).save_checkpoint(tmp_path / "a.ckpt")
        kept.append(torch.load(tmp_path / "a.ckpt", weights_only=True))
    assert kept[0].keys() == kept[1].keys()
    for name, value in kept[0]["state_dict"].items():
        assert not isinstance(value, torch.Tensor) or torch.equal(value, kept[1]["state_dict"][name])


# ---------------------------------------------------------------- which file a run resumes from


@pytest.fixture
def kept(tmp_path, make_gan, fit, monkeypatch):
    """Return a folder of two runs, the second one newer, with two checkpoints each."""
    fit(make_gan()).save_checkpoint(tmp_path / "a.ckpt")
    age = 1_000_000
    for run in ("version_0", "version_1"):
        for name in ("step_1.ckpt", "last.ckpt"):
            place = tmp_path / "one" / run / "checkpoints" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tmp_path / "a.ckpt", place)
            os.utime(place, (age, age))
            age += 10
    return tmp_path / "one"


def named(path):
    return Path(path).parts[-3], Path(path).name


def spoil(path, share=0.5):
    age = path.stat().st_mtime
    os.truncate(path, int(path.stat().st_size * share))
    os.utime(path, (age, age))


@pytest.mark.filterwarnings("ignore:.*cannot be read")
def test_the_newest_readable_checkpoint_is_the_last(kept):
    wanted = [(run, name) for run in ("version_1", "version_0") for name in ("last.ckpt", "step_1.ckpt")]
    for run, name in wanted:
        assert named(last_checkpoint(kept)) == (run, name)
        spoil(kept / run / "checkpoints" / name, share=0 if name == "last.ckpt" else 0.5)
    with pytest.raises(ValueError, match=r"--ckpt_path last: none of .*version_1.*, .*version_0.* can be read; give a"):
        last_checkpoint(kept)


def test_a_warning_names_unreadable_checkpoints(kept):
    spoil(kept / "version_1" / "checkpoints" / "last.ckpt")
    with pytest.warns(UserWarning, match=r"version_1.checkpoints.last\.ckpt cannot be read; using .*step_1"):
        last_checkpoint(kept)


def test_unfinished_files_and_those_from_before_a_failure_are_skipped(kept, recwarn):
    folder = kept / "version_1" / "checkpoints"
    for name in ("last.ckpt.unfinished", "healthy.ckpt"):
        shutil.copy(folder / "last.ckpt", folder / name)
    (folder / "last.ckpt").unlink()
    assert named(last_checkpoint(kept)) == ("version_1", "step_1.ckpt") and not recwarn.list
    (folder / "step_1.ckpt").unlink()
    assert named(last_checkpoint(kept)) == ("version_0", "last.ckpt")


def test_a_slurm_job_finds_its_own_checkpoint(kept):
    assert last_checkpoint(kept, "17") is None
    place = kept / "version_0" / "checkpoints" / "last.ckpt"
    saved = torch.load(place, weights_only=True)
    saved["callbacks"]["SaveWhenStopped"] = {"job": "17"}
    torch.save(saved, place)
    assert named(last_checkpoint(kept, "17")) == ("version_0", "last.ckpt")
    assert last_checkpoint(kept, "18") is None


# ---------------------------------------------------------------- on the command line


@pytest.mark.slow
def test_a_run_killed_during_a_save_can_be_resumed(tmp_path):
    """The third save is that of an epoch, the sixth that of last.ckpt."""
    args, killed = [*COMMON, *MODELS["UnrolledGAN"]], 0
    for number in (3, 6):
        folder = tmp_path / str(number)

        def before(number=number):
            real, count = torch.save, [0]

            def save(*args, **kwargs):
                count[0] += 1
                (half(real) if count[0] == number else real)(*args, **kwargs)

            torch.save = save

        (pid,) = start(folder, args, before=before)
        killed += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        files = list(folder.glob("runs/one/version_0/checkpoints/*.ckpt"))
        assert files and all(torch.load(file, weights_only=True) for file in files), "every checkpoint can be read"
        assert list(folder.glob("runs/one/version_0/checkpoints/*.unfinished"))
        fit_cli(folder, [*args, "--ckpt_path=last"])
    assert killed == 2


@pytest.mark.slow
def test_a_full_disk_ends_the_run_with_one_line(tmp_path):
    args = [*COMMON, *MODELS["UnrolledGAN"]]

    def before():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        real, count = torch.save, [0]

        def save(*args, **kwargs):
            count[0] += 1
            if count[0] == 4:
                resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
            real(*args, **kwargs)

        torch.save = save

    (pid,) = start(tmp_path, args, before=before)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    log = (tmp_path / "log_0.txt").read_text()
    assert "Traceback" not in log
    (line,) = [line for line in log.splitlines() if "lightning-gans: failed:" in line]
    assert "could not be written (File too large); the previous one is kept. Make room" in line
    assert torch.load(tmp_path / "runs/one/version_0/checkpoints/last.ckpt", weights_only=True)["global_step"] == 10
    fit_cli(tmp_path, [*args, "--ckpt_path=last"])
