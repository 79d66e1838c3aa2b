"""One run, one history: a resumed run continues in its folder, and what cannot continue there is said."""

import os
import re
import shutil

import pytest
import torch
from jsonargparse import Namespace
from PIL import Image
from short_runs import (
    DIGITS,
    LIGHTNING_WARNINGS,
    SMALL,
    WITH_REPORT,
    checkpoint,
    column,
    last,
    metrics,
    same_state,
    settings_of,
)

from lightning_gans.cli import resume
from lightning_gans.cli.main import main
from lightning_gans.training import run_settings

pytestmark = LIGHTNING_WARNINGS
THREE = [*DIGITS, *SMALL, "--trainer.max_epochs=3"]
BEST = ["--checkpoint.monitor=val/generator_loss", "--checkpoint.mode=max"]


@pytest.fixture
def said(lines_of):
    """The lines that a resume prints."""
    return lines_of(resume, run_settings)


@pytest.fixture
def kept(run, folder):
    """A run of two epochs in this folder, which may be changed."""
    shutil.copytree(run.parents[1], folder / "runs")
    return folder / "runs" / "dcgan_digits" / "version_0"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run of three epochs."""
    place = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        main(["fit", *THREE])
    return place / "runs" / "dcgan_digits" / "version_0"


def test_a_resumed_run_has_one_folder_with_all_of_it(kept, whole, said):
    main(["fit", *THREE, "--ckpt_path=last"])
    assert [path.name for path in kept.parent.iterdir()] == ["version_0"] and said == []
    assert (kept / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    names = {path.name for path in (kept / "checkpoints").iterdir()}
    assert names == {path.name for path in (whole / "checkpoints").iterdir()}
    assert same_state(checkpoint(kept)["state_dict"], checkpoint(whole)["state_dict"])
    for epoch in range(4):
        picture = f"samples/epoch_000{epoch}.png"
        assert (kept / picture).read_bytes() == (whole / picture).read_bytes()
    assert Image.open(kept / "samples" / "training.gif").n_frames == 4
    assert settings_of(kept)["ckpt_path"] is None and settings_of(kept)["trainer"]["max_epochs"] == 3
    (earlier,) = kept.glob("config_until_batch_*.yaml")
    assert earlier.name == "config_until_batch_6.yaml" and "max_epochs: 2" in earlier.read_text()
    main(["fit", "--config", str(kept / "config.yaml")])
    again = kept.with_name("version_1")
    for name in ("metrics.csv", "config.yaml"):
        assert (again / name).read_bytes() == (kept / name).read_bytes(), "the config of a resumed run repeats it"


def test_what_came_after_the_checkpoint_is_replaced(kept, whole):
    with (kept / "metrics.csv").open("a", newline="") as file:
        for step, row in zip((6, 7), metrics(kept), strict=False):
            file.write(",".join((row | {"step": str(step)}).values()) + "\r\n")
        file.write("1.5,2")  # cut off by a kill
    main(["fit", *THREE, "--ckpt_path=last"])
    assert (kept / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()


def test_rows_of_a_run_killed_within_an_epoch_are_those_of_the_whole_run(folder):
    """Also the row that Lightning logs after the checkpoint, and a loss that it repeats where none is new."""
    args = ["fit", *DIGITS, *SMALL, "--model.n_critic=2", "--samples.every_n_epochs=0"]
    args += ["--checkpoint.every_n_train_steps=2", "--checkpoint.save_top_k=-1", "--monitor.every_n_steps=0"]
    main(args)
    run = folder / "runs" / "dcgan_digits" / "version_0"
    whole = (run / "metrics.csv").read_bytes()
    lines = whole.splitlines(keepends=True)
    place = lines[0].strip().split(b",").index(b"step")
    kept = [line for line in lines[1:] if int(line.strip().split(b",")[place]) < 3]
    (run / "metrics.csv").write_bytes(b"".join([lines[0], *kept]))
    for path in (run / "checkpoints").iterdir():
        if path.name != "step_0000004.ckpt":
            path.unlink()
    main([*args, "--ckpt_path=last"])
    assert (run / "metrics.csv").read_bytes() == whole
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [
        "last.ckpt",
        "step_0000004.ckpt",
        "step_0000006.ckpt",
    ]


def test_the_report_of_a_resumed_run_shows_all_of_it(kept):
    main(["fit", *DIGITS, *WITH_REPORT, "--trainer.max_epochs=3", "--ckpt_path=last"])
    html = (kept / "report.html").read_text()
    assert re.findall(r'alt="(epoch \d)"', html) == ["epoch 1", "epoch 2", "epoch 3"]
    assert "duration since the resume" in html


def test_a_path_to_the_checkpoint_resumes_the_run_whatever_its_experiment(folder, said):
    main(["fit", *THREE, "--experiment=mine", "--trainer.max_epochs=1"])
    run = folder / "runs" / "mine" / "version_0"
    main(["fit", *THREE, "--ckpt_path", str(last(run))])
    assert [path.name for path in (folder / "runs").iterdir()] == ["mine"] and said == []
    assert column(run, "progress/generator_updates") == list(range(1, 10))
    assert settings_of(run)["experiment"] == "mine", "so that --config and --ckpt_path last find it"


NEW_FOLDERS = {
    "another experiment": (["--experiment=other"], "runs/other/version_0: --experiment other is another one"),
    "another place": (["--runs=elsewhere"], "elsewhere/dcgan_digits/version_0: it is not below --runs elsewhere"),
}


@pytest.mark.parametrize("reason", NEW_FOLDERS)
def test_a_new_folder_that_was_asked_for_is_used_and_the_run_is_named(kept, said, reason):
    options, words = NEW_FOLDERS[reason]
    before = {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    main(["fit", *THREE, *options, "--ckpt_path", str(last(kept))])
    (line,) = said
    assert f"continues from {last(kept)} in a new folder, {words}" in line
    assert {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()} == before
    new = kept.parents[2] / words.partition(":")[0]
    assert column(new, "progress/generator_updates") == [7, 8, 9]
    assert settings_of(new)["ckpt_path"] == str(last(kept))


def test_a_checkpoint_from_the_middle_begins_a_run_of_its_own(kept, said):
    """What the run has done since is not lost."""
    saved = checkpoint(kept) | {"global_step": 3}
    torch.save(saved, kept / "checkpoints" / "early.ckpt")
    before = (kept / "metrics.csv").read_bytes()
    main(["fit", *THREE, "--ckpt_path", str(kept / "checkpoints" / "early.ckpt")])
    assert "a new folder, runs/dcgan_digits/version_1: that run continued to batch 6" in said[0]
    assert (kept / "metrics.csv").read_bytes() == before and last(kept.with_name("version_1")).is_file()


def test_last_is_the_run_with_the_highest_number_whatever_its_time(kept, run):
    os.utime(last(kept), (2e9, 2e9))
    newer = shutil.copytree(run, kept.with_name("version_10"))
    shutil.copytree(run, kept.with_name("version_9"))
    for path in newer.rglob("*"):
        os.utime(path, (1e9, 1e9))
    main(["fit", *THREE, "--ckpt_path=last"])
    assert checkpoint(newer)["epoch"] == 2 and checkpoint(kept)["epoch"] == 1


def test_a_finished_run_has_nothing_left_to_train(folder, capsys):
    args = ["fit", *DIGITS, *SMALL, *BEST]
    main(args)
    run = folder / "runs" / "dcgan_digits" / "version_0"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    capsys.readouterr()
    for extra in ([], ["--trainer.max_epochs=1", "--experiment=other"]):
        main([*args, f"--ckpt_path={last(run)}", *extra])
        assert capsys.readouterr().out.startswith("Nothing left to train: ")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert [path.name for path in (folder / "runs").iterdir()] == ["dcgan_digits"]


@pytest.mark.slow
def test_the_best_of_a_resumed_run_is_that_of_the_whole_run(folder, monkeypatch):
    """From wherever it is resumed: paths in a checkpoint are relative to where the run was started."""
    args = ["fit", *DIGITS, *SMALL, *BEST, "--samples.every_n_epochs=0"]
    main([*args, "--trainer.max_epochs=4", "--experiment=whole"])
    main([*args, "--experiment=parts"])
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    main([*args, "--trainer.max_epochs=4", "--experiment=parts", "--runs=../runs", "--ckpt_path=last"])
    found = []
    for name in ("whole", "parts"):
        run = folder / "runs" / name / "version_0"
        keeper = next(one for key, one in checkpoint(run)["callbacks"].items() if "val/generator_loss" in key)
        files = sorted(path.name for path in run.glob("checkpoints/*"))
        found.append((float(keeper["best_model_score"]), keeper["best_model_path"].rpartition("/")[2], files))
    assert found[0] == found[1]


def test_an_asked_learning_rate_is_used_recorded_and_said(kept, said):
    main(["fit", *THREE, "--model.generator_optimizer.lr=1e-5", "--ckpt_path=last"])
    assert column(kept, "generator/learning_rate")[-4:] == pytest.approx([2e-4, 1e-5, 1e-5, 1e-5])
    assert "the generator's learning rate 2e-4 → 1e-5, as asked" in said[0]
    assert settings_of(kept)["model"]["init_args"]["generator_optimizer"]["init_args"]["lr"] == 1e-5


def test_the_seed_in_the_config_is_the_one_that_is_used(kept, said):
    main(["fit", *THREE, "--seed_everything=5", "--ckpt_path=last"])
    assert settings_of(kept)["seed_everything"] == 0 and "The seed stays 0" in said[0]


def test_a_refused_resume_changes_nothing(kept, refused):
    before = {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    path = last(kept).relative_to(kept.parents[2])
    for options in (["--model.generator_optimizer=RMSProp"], ["--model.width=8"]):
        line = refused("fit", *THREE, *options, "--ckpt_path", path)
        assert "optimizer was Adam and is RMSProp now" in line or "does not fit" in line
        assert {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()} == before


def test_from_starts_a_new_run_with_trained_weights(kept, folder):
    main(["fit", *THREE, "--from", str(last(kept)), "--trainer.max_epochs=1"])
    new = kept.with_name("version_1")
    assert column(new, "progress/generator_updates") == [1, 2, 3]
    assert settings_of(new)["from"] == str(last(kept))
    assert column(new, "generator/learning_rate") == pytest.approx([2e-4] * 3)
    main(["fit", "--config", str(new / "config.yaml"), "--ckpt_path=last", "--trainer.max_epochs=2"])
    assert column(new, "progress/generator_updates") == list(range(1, 7)), "a resume of it is a resume"


def test_from_a_file_that_is_no_checkpoint_is_one_line(refused, folder):
    assert "no checkpoint at 'nowhere.ckpt'" in refused("fit", *DIGITS, *SMALL, "--from=nowhere.ckpt")
    assert not (folder / "runs").exists()


# ---------------------------------------------------------------- trial runs and jobs of SLURM


def test_a_trial_run_does_not_resume_and_says_what_does(kept, refused):
    line = refused("fit", *DIGITS, *SMALL, "--ckpt_path=last", "--trainer.fast_dev_run=true")
    assert "--trainer.fast_dev_run tries the first batches of a new run" in line and "give --from FILE" in line
    main(["fit", *DIGITS, *SMALL, "--from", str(last(kept)), "--trainer.fast_dev_run=true"])
    assert [path.name for path in kept.parent.iterdir()] == ["version_0"]


def test_a_trial_of_a_test_restores_the_checkpoint(kept, capsys):
    main(["test", *DIGITS, *SMALL, "--ckpt_path=last", "--trainer.fast_dev_run=2"])
    assert "test/discriminator_loss" in capsys.readouterr().out


@pytest.mark.parametrize("job", [None, "", "17"])
def test_a_count_of_restarts_resumes_nothing_but_the_job_itself(job, kept, monkeypatch):
    for name in ("JOB_ID", "ARRAY_JOB_ID", "ARRAY_TASK_ID"):
        monkeypatch.delenv(f"SLURM_{name}", raising=False)
    if job is not None:
        monkeypatch.setenv("SLURM_JOB_ID", job)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    settings = Namespace(trainer=Namespace(fast_dev_run=False))
    for experiment in (kept.parent, kept.parent / "empty"):
        assert resume.checkpoint_to_restore(None, "fit", experiment, settings) is None
    torch.save(checkpoint(kept) | {"callbacks": {"SaveWhenStopped": {"job": job}}}, last(kept))
    found = resume.checkpoint_to_restore(None, "fit", kept.parent, settings)
    assert found == (str(last(kept)) if job else None)
