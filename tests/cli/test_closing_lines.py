"""What is printed at the end of a run: files that there are, and a command that uses the best of them."""

import re
import shlex
from html import unescape
from pathlib import Path

import pytest
from short_runs import BRIEF, DIGITS, LIGHTNING_WARNINGS, SMALL

from lightning_gans.cli.main import main

pytestmark = LIGHTNING_WARNINGS
FIT = ["fit", *DIGITS, *SMALL, *BRIEF]
FOLDER = "The run is in runs/dcgan_digits/version_0: "
ALONE = "Without a logger the run has no folder of its own; it wrote "
NO_LOGGER, NO_CHECKPOINTS = "--trainer.logger=false", "--trainer.enable_checkpointing=false"
DRAW = "Draw new samples: lightning-gans "


def closing_lines(capsys, *args):
    capsys.readouterr()
    main([*FIT, *args])
    said = capsys.readouterr().out
    return said[said.index("\n" + (ALONE if NO_LOGGER in args else FOLDER[:14])) + 1 :].splitlines()


PLACES = {
    "everything": (["--samples.every_n_epochs=1"], f"{FOLDER}config.yaml, metrics.csv, checkpoints/ and samples/."),
    "no checkpoints": ([NO_CHECKPOINTS], f"{FOLDER}config.yaml and metrics.csv."),
    "no logger": ([NO_LOGGER, "--samples.every_n_epochs=1"], f"{ALONE}checkpoints/ and samples/."),
    "no logger, another root": ([NO_LOGGER, "--trainer.default_root_dir=other"], f"{ALONE}other/checkpoints/."),
    "neither": ([NO_LOGGER, NO_CHECKPOINTS], f"{ALONE}no files."),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", PLACES)
def test_what_a_run_wrote_is_said_and_nothing_else(case, folder, capsys):
    args, expected = PLACES[case]
    (folder / "samples").mkdir()  # of another program
    lines = closing_lines(capsys, *args)
    assert lines[0] == expected
    home = folder / "runs/dcgan_digits/version_0" if NO_LOGGER not in args else folder
    for name in re.split(", | and ", expected.rpartition(": " if NO_LOGGER not in args else "wrote ")[2].rstrip(".")):
        assert name == "no files" or (home / name).exists()
    assert len(lines) == 2 - (NO_CHECKPOINTS in args)
    if NO_CHECKPOINTS not in args:
        main(shlex.split(lines[1].removeprefix(DRAW)))
        assert Path("grid.png").is_file()


def test_checkpoints_elsewhere_are_said_to_be_there(capsys):
    lines = closing_lines(capsys, "--checkpoint.dirpath=kept")
    assert lines[:2] == [f"{FOLDER}config.yaml and metrics.csv.", "Its checkpoints are in kept."]
    assert lines[2].startswith(f"{DRAW}sample --checkpoint kept/last.ckpt")


KEEPERS = {
    "without a last one": (["--checkpoint.save_last=false"], "step_0000003.ckpt"),
    "beside another kind": (
        ["--trainer.callbacks+=OnExceptionCheckpoint", "--trainer.callbacks.dirpath=other"],
        "last.ckpt",
    ),
}


@pytest.mark.parametrize("case", KEEPERS)
def test_the_command_names_a_checkpoint_whatever_the_callbacks_are(case, capsys):
    args, name = KEEPERS[case]
    assert f"checkpoints/{name} " in closing_lines(capsys, *args)[-1]


def test_with_a_monitor_samples_and_scores_are_those_of_the_best(folder, capsys):
    args = ["--checkpoint.monitor=val/generator_loss", "--trainer.limit_val_batches=1", "--report.enabled=true"]
    lines = closing_lines(capsys, *args, "--trainer.max_epochs=2")
    run = folder / "runs/dcgan_digits/version_0"
    (best,) = (path.relative_to(folder) for path in run.glob("checkpoints/step_*"))
    assert re.fullmatch(rf"The checkpoint with the best val/generator_loss, [\d.]+: {best}", lines[-2])
    assert lines[-1] == f"{DRAW}sample --checkpoint {best} --out grid.png"
    found = re.findall(r'<pre class="command">(.*?)</pre>', (run / "report.html").read_text())
    sample, test, fit = (shlex.split(unescape(command)) for command in found)
    assert sample[3] == test[5] == str(best) and fit[5] == f"{best.parent}/last.ckpt"
