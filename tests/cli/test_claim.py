"""The folder of a run: claimed by one run, named safely, locked while it is in progress."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import few
from jsonargparse import Namespace
from short_runs import BRIEF, DIGITS, LIGHTNING_WARNINGS, SMALL, last

from lightning_gans.cli.main import main
from lightning_gans.cli.run_folder import RunFolder

pytestmark = LIGHTNING_WARNINGS


def test_runs_that_begin_together_have_folders_of_their_own(tmp_path):
    for _ in range(20):
        barrier = threading.Barrier(8)

        def claim(_, barrier=barrier):
            barrier.wait()
            return RunFolder(str(tmp_path / "runs"), "one")

        with ThreadPoolExecutor(8) as pool:
            folders = list(pool.map(claim, range(8)))
        assert len({folder.path for folder in folders}) == 8
    assert len(list((tmp_path / "runs" / "one").iterdir())) == 160


def test_a_refused_run_gives_its_folder_back(tmp_path):
    kept = RunFolder(str(tmp_path / "runs"), "one")
    (kept.path / "checkpoints").mkdir()
    RunFolder(str(tmp_path / "runs"), "one").remove_if_unused()
    assert [path.name for path in (tmp_path / "runs" / "one").iterdir()] == ["version_0"]
    RunFolder(str(tmp_path / "runs"), "other").remove_if_unused()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["one"]


def test_a_command_that_writes_nothing_claims_nothing(tmp_path):
    assert RunFolder(str(tmp_path / "runs"), "one", claims=False).path.name == "version_0"
    assert not (tmp_path / "runs").exists()


NAMES = ["../../up", "..", "/abs", "a/../b", "a//b", " ", "\x1b[31mred", "a\nb", "a\\b", "x" * 300]


@pytest.mark.parametrize("name", few(NAMES, "../../up", "/abs", "\x1b[31mred", "a\\b"))
def test_names_that_leave_the_folder_or_act_on_a_terminal_are_refused(name, refused, folder):
    line = refused("fit", *DIGITS, *SMALL, f"--experiment={name}")
    assert "--experiment" in line and "\x1b" not in line
    assert not (folder / "runs").exists() and not (folder.parent.parent / "up").exists()


def test_a_folder_of_runs_that_acts_on_a_terminal_is_refused(refused, folder):
    line = refused("fit", *DIGITS, *SMALL, "--runs=\x1b[2J")
    assert "--runs" in line and "\x1b" not in line and not list(folder.iterdir())


@pytest.mark.parametrize("name", ["digits", "a/b", "größe 2", "v1.2_x-y"])
def test_other_names_are_taken(name, tmp_path):
    assert RunFolder(str(tmp_path), name).path == tmp_path / name / "version_0"


def test_a_run_in_progress_cannot_be_resumed(refused, folder, capsys):
    main(["fit", *DIGITS, *SMALL, *BRIEF])
    run = folder / "runs" / "dcgan_digits" / "version_0"
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:  # a process that is in the run
        held = RunFolder("runs", "dcgan_digits", 0)
        os.write(write, b"x")
        os.close(write)
        threading.Event().wait(60)
        os._exit(bool(held))
    try:
        os.read(read, 1)
        before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
        line = refused("fit", *DIGITS, *SMALL, "--ckpt_path", last(run))
        assert "runs/dcgan_digits/version_0 is in progress in another process" in line
        assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    main(["fit", *DIGITS, *SMALL, "--ckpt_path", str(last(run).relative_to(folder))])
    assert [path.name for path in run.parent.iterdir()] == ["version_0"]


# ---------------------------------------------------------------- the run at W&B


def wandb_logger(**arguments):
    return Namespace(class_path="lightning.pytorch.loggers.WandbLogger", init_args=Namespace(save_dir=".", **arguments))


def placed(folder, **arguments):
    logger = wandb_logger(**arguments)
    folder.place_loggers([logger])
    return logger.init_args.get("id")


def test_a_resumed_run_keeps_its_run_at_wandb(tmp_path):
    first, other = RunFolder(str(tmp_path), "one"), RunFolder(str(tmp_path), "one")
    chosen = placed(first, id=None)
    assert len(chosen) == 8 and placed(other, id=None) != chosen
    first.release()
    assert placed(RunFolder(str(tmp_path), "one", 0), id=None) == chosen


def test_a_run_from_before_the_id_was_kept_has_it_in_wandbs_folder(tmp_path):
    run = RunFolder(str(tmp_path), "one")
    (run.path / "wandb" / "offline-run-20260101_101010-abcd1234").mkdir(parents=True)
    assert placed(run, id=None) == "abcd1234"


def test_an_id_of_the_users_own_or_of_a_sweep_is_kept(tmp_path, monkeypatch):
    assert placed(RunFolder(str(tmp_path), "one"), id="mine") == "mine"
    monkeypatch.setenv("WANDB_RUN_ID", "of-the-agent")
    assert placed(RunFolder(str(tmp_path), "one"), id=None) is None, "W&B takes it from there"
