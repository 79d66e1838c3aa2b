"""Any command line is a run, or one line and exit code 2: never a traceback, never an unfinished run folder."""

import random
from pathlib import Path

import command_lines
import pytest
import torch

from lightning_gans.cli.errors import first_line, is_deliberate

pytestmark = [pytest.mark.untrusted, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    place = tmp_path_factory.mktemp("prepared")
    command_lines.prepare(place)
    return place


@pytest.fixture
def folder(prepared, monkeypatch):
    """Work in the folder with the files that command lines name, which all tests share."""
    monkeypatch.chdir(prepared)
    monkeypatch.setenv("WANDB_MODE", "offline")
    threads = torch.get_num_threads()
    yield prepared
    torch.set_num_threads(threads)
    assert not (prepared / "it_ran").exists()


def outcomes(number, seed):
    kinds = {"ran": 0, "one line": 0}
    for args, outcome in command_lines.fuzz(number, seed):
        assert outcome.what in kinds, f"{outcome.what}: lightning-gans {args}\n{outcome.said}"
        kinds[outcome.what] += 1
    return kinds


def test_random_command_lines(folder):
    kinds = outcomes(3, seed=0)
    assert kinds["one line"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
def test_many_random_command_lines(folder, seed):
    kinds = outcomes(200, seed)
    assert kinds["one line"] > 100 and kinds["ran"] > 25, "enough of both"


def fit(*args):
    options = command_lines.MODELS[0] | command_lines.QUICK
    return command_lines.run(["fit", *[f"{key}={value}" for key, value in options.items()], *args])


@pytest.mark.parametrize("config", ["deep.yaml", "round.yaml"])
@pytest.mark.parametrize("command", ["fit", "sample"])
def test_a_config_that_exceeds_the_recursion_limit_is_one_line(command, config, folder):
    outcome = command_lines.run([command, f"--config={config}"])
    assert outcome.what == "one line" and "nested too deeply or contain" in outcome.said


@pytest.mark.parametrize("value", ["[" * 700, "[" * 150 + "]" * 150, "&a [*a]"])
def test_a_value_that_is_nested_too_deeply_is_one_line(value, folder):
    assert fit(f"--model.objective={value}").what == "one line"


def test_a_checkpoint_with_damaged_parts_is_one_line(folder):
    outcome = fit("--ckpt_path=halfway.ckpt")
    assert outcome.what == "one line" and "--ckpt_path halfway.ckpt: the checkpoint cannot be restored" in outcome.said


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        (
            "--trainer.val_check_interval=0",
            "val_check_interval=0, check_val_every_n_epoch=1): expected numbers above 0",
        ),
        ("--trainer.check_val_every_n_epoch=-1", "check_val_every_n_epoch=-1): expected numbers above 0"),
        ("--data.size=99999999999999999999", "a number is too large for this machine"),
        ("--model=MNIST", "the class 'MNIST' is of another kind than expected here"),
        ("--runs=text.txt/below", "not a directory; give another path"),
        (f"--experiment={'a' * 300}", "expected the name of a folder in --runs, such as dcgan_digits"),
        ("--checkpoint.filename={step:x y}", "'{step:x y}' does not give a file name"),
        ("--checkpoint.filename=a\0b", "does not give a file name"),
        ("--trainer.devices=nan", "devices"),
        ("--checkpoint.dirpath=text.txt/below", "text.txt' is not a folder; give another path"),
    ],
)
def test_mistakes_found_by_random_command_lines(argument, says, folder):
    outcome = fit(argument)
    assert outcome.what == "one line" and says in outcome.said, outcome.said


def test_a_refused_run_leaves_no_folder_and_keeps_other_runs(folder):
    too_large = ["--runs=own", "--data.size=99999999999999999999"]
    assert fit(*too_large).what == "one line" and not Path("own").exists()
    assert fit("--runs=own", "--experiment=mine").what == "ran"
    fit("--experiment=mine", *too_large)
    assert [path.name for path in Path("own/mine").iterdir()] == ["version_0"]


def test_every_wrong_outcome_is_recognised(folder, monkeypatch):
    def broken(args):
        raise KeyError("a bug")

    monkeypatch.setattr(command_lines, "main", broken)
    assert command_lines.run(["fit"]).what == "traceback"

    def half(args):
        Path("runs/x/version_7").mkdir(parents=True)
        raise SystemExit(2)

    monkeypatch.setattr(command_lines, "main", half)
    assert command_lines.run(["fit"]).what == "half a run"
    monkeypatch.setattr(command_lines, "main", lambda args: exec("raise SystemExit(1)"))
    assert command_lines.run(["fit"]).what == "exit code 1"


def test_one_seed_gives_the_same_lines():
    first, second, other = [[command_lines.generate(rng) for _ in range(20)] for rng in map(random.Random, (0, 0, 1))]
    assert first == second != other


def test_errors_for_the_user():
    assert is_deliberate(MemoryError()) and is_deliberate(PermissionError(13, "Permission denied", "x"))
    assert not is_deliberate(KeyError("x")) and not is_deliberate(RuntimeError("shape"))
    assert is_deliberate(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert first_line(PermissionError(13, "Permission denied", "x")) == "'x': permission denied; give another path."
    worker = ValueError(
        "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File x\n"
        "ValueError: cut.jpg cannot be decoded (truncated); remove it\n"
    )
    assert first_line(worker) == "cut.jpg cannot be decoded (truncated); remove it" and is_deliberate(worker)
