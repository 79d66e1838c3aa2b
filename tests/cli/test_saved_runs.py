"""Which checkpoints are a run's, wherever it saves them, and which one `--ckpt_path best` means."""

import shutil
from pathlib import Path

import pytest
import torch
from short_runs import BRIEF, DIGITS, LIGHTNING_WARNINGS, SMALL, checkpoint, column, fit_once, last, settings_of

from lightning_gans.cli import resume, saved_runs
from lightning_gans.cli.main import main
from lightning_gans.cli.saved_runs import best_checkpoint, checkpoints_of, last_checkpoint, run_of

pytestmark = LIGHTNING_WARNINGS
FIT = ["fit", *DIGITS, *SMALL, "--report.enabled=false", "--samples.every_n_epochs=0"]


@pytest.fixture
def said(lines_of):
    """The lines that say which checkpoint is taken, and where the run continues."""
    return lines_of(saved_runs, resume)


def save(path, steps=1, best=(), run=None):
    """Save as little of a checkpoint as says which it is; `best` has pairs of a metric and a file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    keepers = {
        f"ModelCheckpoint{number}": {
            "monitor": monitor,
            "best_model_path": file,
            "best_model_score": torch.tensor(2.5) if file else None,
        }
        for number, (monitor, file) in enumerate(best)
    }
    callbacks = keepers | ({"History": {"run": run}} if run else {})
    content = {"state_dict": {}, "pytorch-lightning_version": "2.6.0", "global_step": steps, "callbacks": callbacks}
    torch.save(content, path)
    return path


# ---------------------------------------------------------------- the best


@pytest.fixture(scope="module")
def best_run(tmp_path_factory):
    """A run of two epochs with a best checkpoint."""
    return fit_once(tmp_path_factory, *FIT[1:], "--checkpoint.monitor=val/generator_loss")


@pytest.mark.parametrize("command", ["test", "validate", "predict"])
def test_best_is_the_checkpoint_with_the_best_score_of_the_run(command, best_run, folder, said):
    shutil.copytree(best_run.parents[1], folder / "moved")
    (wanted,) = (folder / "moved/dcgan_digits/version_0/checkpoints").glob("step_*")
    main([command, "--config", str(best_run / "config.yaml"), "--runs=moved", "--ckpt_path=best"])
    (result,) = (folder / "moved/dcgan_digits").glob("version_1")
    assert folder / settings_of(result)["ckpt_path"] == wanted, "in the folder where the run is now"
    score = min(column(best_run, "val/generator_loss"))
    assert said == [
        f"--ckpt_path best is {wanted.relative_to(folder)}, which has the best val/generator_loss, {score:.4g}."
    ]


def test_the_newest_run_that_has_a_best_checkpoint_is_taken(folder, said):
    runs = folder / "runs" / "one"
    for version, best in enumerate((["val/fd"], ["val/fd", "val/kid"], [])):
        place = runs / f"version_{version}" / "checkpoints"
        files = [(name, str(save(place / f"{name[4:]}.ckpt", 1))) for name in best]
        save(place / "last.ckpt", 3, files or [("val/fd", "")])
    assert best_checkpoint(runs, None) == str(runs / "version_1/checkpoints/fd.ckpt"), "of several metrics the first"
    assert best_checkpoint(runs, "val/kid") == str(runs / "version_1/checkpoints/kid.ckpt")
    assert said[0].endswith("version_1/checkpoints/fd.ckpt, which has the best val/fd, 2.5.")
    with pytest.raises(FileNotFoundError, match=r"no run below .*one' has a .* a best val/x, .* give --ckpt_path last"):
        best_checkpoint(runs, "val/x")


def test_the_record_of_the_newest_checkpoint_counts(folder, said):
    place = folder / "runs" / "one" / "version_0" / "checkpoints"
    for name, steps in (("early", 2), ("late", 5), ("healthy", 9)):
        save(place / f"{name}.ckpt", steps, [("val/fd", f"/gone/checkpoints/{name}.ckpt")])
    assert best_checkpoint(place.parents[1], None) == str(place / "late.ckpt")


def test_a_best_checkpoint_in_another_folder_is_found_where_it_was_saved(folder, said):
    kept = save(folder / "elsewhere" / "best.ckpt")
    save(folder / "runs/one/version_0/checkpoints/last.ckpt", 3, [("val/fd", str(kept))])
    assert best_checkpoint(folder / "runs/one", None) == str(kept)


@pytest.mark.parametrize("command", ["test", "fit"])
def test_best_without_a_run_that_monitored_anything_is_one_line(command, run, refused, folder):
    shutil.copytree(run.parents[1], folder / "runs")
    line = refused(command, *DIGITS, "--ckpt_path=best")
    assert "--ckpt_path best: no run below 'runs/dcgan_digits'" in line and "--checkpoint.monitor val/fd" in line


def test_a_best_checkpoint_that_is_gone_is_one_line(refused, folder):
    save(folder / "runs/dcgan_digits/version_0/checkpoints/last.ckpt", 3, [("val/fd", "/gone/step_1.ckpt")])
    line = refused("test", *DIGITS, "--ckpt_path=best")
    assert "version_0/checkpoints/step_1.ckpt, which had the best val/fd, is gone; give the path of another" in line


def test_training_continues_from_the_best_in_a_new_folder(best_run, folder, said):
    shutil.copytree(best_run.parents[1], folder / "runs")
    early = next((folder / "runs/dcgan_digits/version_0/checkpoints").glob("step_*"))
    saved = torch.load(early, weights_only=True)
    torch.save(saved | {"global_step": 3}, early)
    main([*FIT, "--trainer.max_epochs=3", "--ckpt_path=best"])
    assert "best is runs/dcgan_digits/version_0/checkpoints/step" in said[0]
    assert said[1].endswith("version_1: that run continued to batch 6.")


# ---------------------------------------------------------------- saved outside of the run's folder


OWN = ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.dirpath=kept", "--trainer.callbacks.save_last=true"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "given"), [(["--checkpoint.dirpath=kept"], "kept/last.ckpt"), (OWN, "last")], ids=["standard", "own"]
)
def test_a_run_that_saves_elsewhere_resumes_in_its_own_folder(place, given, folder, said):
    main([*FIT, *place, "--trainer.max_epochs=1"])
    main([*FIT, *place, f"--ckpt_path={given}"])
    (run,) = (folder / "runs/dcgan_digits").iterdir()
    assert said == [] and column(run, "progress/generator_updates") == [1, 2, 3, 4, 5, 6]
    assert not (run / "checkpoints").exists() and torch.load("kept/last.ckpt", weights_only=True)["global_step"] == 6


def test_runs_that_share_a_folder_of_checkpoints_have_their_own_in_it(folder):
    for version, name in enumerate(("first", "second")):
        run = folder / "runs" / "one" / f"version_{version}"
        run.mkdir(parents=True)
        (run / "config.yaml").write_text("checkpoint:\n  dirpath: kept\n")
        save(f"kept/{name}.ckpt", 9 - version, run=f"one/version_{version}")
    first, second = (folder / "runs" / "one" / f"version_{version}" for version in (0, 1))
    assert [one.path for one in checkpoints_of(first)[0]] == [Path("kept/first.ckpt")]
    assert last_checkpoint(folder / "runs" / "one") == "kept/second.ckpt"
    assert run_of("kept/second.ckpt", "runs").absolute() == second
    shutil.rmtree(second)
    assert run_of("kept/second.ckpt", "runs") is None
    (first / "config.yaml").write_text("checkpoint:\n  dirpath: other\n")
    assert run_of("kept/first.ckpt", "runs") is None, "the run of that name is another one"


@pytest.mark.parametrize("config", ["[", "checkpoint: 3", "trainer: {callbacks: [3, {class_path: 4}]}", "\x00"])
def test_a_config_that_is_damaged_names_no_folder(config, folder):
    run = folder / "version_0"
    save(run / "checkpoints" / "last.ckpt")
    (run / "config.yaml").write_text(config)
    assert [one.path for one in checkpoints_of(run)[0]] == [run / "checkpoints" / "last.ckpt"]


def test_an_old_checkpoint_elsewhere_begins_a_new_folder_and_says_why(run, folder, said):
    shutil.copy(last(run), "old.ckpt")
    main([*FIT, *BRIEF[1:], "--trainer.max_epochs=3", "--ckpt_path=old.ckpt"])
    assert said[0].startswith("The run continues from old.ckpt in a new folder, runs/dcgan_digits/version_0: it is not")
    assert checkpoint(folder / "runs/dcgan_digits/version_0")["global_step"] == 9
