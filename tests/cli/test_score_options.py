"""Scores on the command line: during training, afterwards, and settings that are refused."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
import yaml
from helpers import few
from PIL import Image
from short_runs import BRIEF, DIGITS, ENSEMBLE, LIGHTNING_WARNINGS, QUIET, SMALL, column, fit_once, last

from lightning_gans.cli.main import main

pytestmark = LIGHTNING_WARNINGS


def scores_of(run):
    return json.loads((run / "scores.json").read_text())


def evaluation(folder, name="scores.yaml", metrics=("PairwiseDiversity",), **arguments):
    """Write a config that adds an Evaluation to a run, and return the option that names it."""
    settings = {"metrics": list(metrics), "num_samples": 40, **arguments}
    callback = {"class_path": "Evaluation", "init_args": settings}
    (folder / name).write_text(yaml.safe_dump({"trainer": {"callbacks+": [callback]}}))
    return f"--config={folder / name}"


def digests(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def scored_run(tmp_path_factory):
    place = tmp_path_factory.mktemp("config")
    by_score = ["--checkpoint.monitor=val/diversity", "--checkpoint.mode=min", "--trainer.max_epochs=3"]
    return fit_once(tmp_path_factory, *DIGITS, *SMALL, evaluation(place), *by_score)


def test_a_run_keeps_the_checkpoint_with_the_best_score_and_the_last(scored_run):
    figures = column(scored_run, "val/diversity")
    assert len(figures) == 3
    steps = {path.name: torch.load(path, weights_only=True)["global_step"] for path in scored_run.rglob("*.ckpt")}
    best = 3 * (figures.index(min(figures)) + 1)
    assert steps == {f"step_{best:07d}.ckpt": best, "last.ckpt": 9} and best != 9, "the best is not the last"
    assert scores_of(scored_run)["figures"]["diversity"] == pytest.approx(figures[-1])
    assert not list(scored_run.rglob("*-v1.ckpt"))


@pytest.mark.parametrize("command", ["validate", "test"])
def test_a_trained_model_is_scored(command, scored_run, folder, capsys):
    experiment = shutil.copytree(scored_run.parent, folder / "runs" / "dcgan_digits")
    before = digests(experiment)
    repeated = evaluation(folder)  # which the run's config holds already
    main([command, f"--config={scored_run / 'config.yaml'}", repeated, "--ckpt_path=last", "--runs=runs"])
    said = capsys.readouterr().out
    assert len(re.findall(r"^diversity ", said, re.MULTILINE)) == 1 and "metric  " not in said, "one table"
    split = {"validate": "val", "test": "test"}[command]
    assert f"40 generated samples (seed 0) beside 40 real ones of Digits ({split} split)" in said
    assert "These figures are in runs/dcgan_digits/version_1/scores.json." in said
    record = scores_of(experiment / "version_1")
    assert record["checkpoint"] == "runs/dcgan_digits/version_0/checkpoints/last.ckpt"
    assert (record["split"], record["generator_updates"]) == (split, 9)
    if command == "validate":
        assert record["figures"] == pytest.approx(scores_of(scored_run)["figures"]), "those of the last epoch"
    assert before.items() <= digests(experiment).items(), "nothing is overwritten"


def test_a_model_that_was_trained_without_scores_is_scored(run, folder, capsys):
    metrics = ["ClassCoverage", {"class_path": "PrecisionRecall", "init_args": {"features": "DigitFeatures"}}]
    main(["test", f"--config={run / 'config.yaml'}", evaluation(folder, metrics=metrics), f"--ckpt_path={last(run)}"])
    said = capsys.readouterr().out
    assert {"classes", "kl_uniform", "precision", "recall"} <= {line.split(" ")[0] for line in said.splitlines()}
    record = scores_of(folder / "runs/dcgan_digits/version_0")
    assert record["networks"]["precision"] == "DigitFeatures" and record["figures"]["classes"] >= 1
    assert [path.name.split("_")[:3] for path in sorted((folder / "runs/statistics").iterdir())] == [
        ["Digits", "test", "40"]
    ] * 2


def test_a_model_without_a_discriminator_is_scored(folder, capsys):
    model = ["--model=SEPGAN", *ENSEMBLE, "--model.generator.width=4", "--data.batch_size=16"]
    main(["fit", *model, *SMALL, *BRIEF, evaluation(folder)])
    (run,) = folder.glob("runs/sepgan_digits/*")
    main(["test", f"--config={run / 'config.yaml'}", f"--ckpt_path={last(run)}"])
    assert "SEPGAN after 3 generator updates" in capsys.readouterr().out
    assert len(column(run, "val/diversity")) == 1, "at the end of an epoch without validation"


FD = {"class_path": "FrechetDistance", "init_args": {"features": "DigitFeatures"}}
UNSCORED = {  # the arguments of an Evaluation that is refused, and parts of the line
    "no scores": ({"metrics": []}, ["metrics=[]", "at least one score"]),
    "unknown score": ({"metrics": ["ModeCovrage"]}, ["did you mean ModeCoverage"]),
    "none": ({"num_samples": 0}, ["num_samples=0", "at least 2"]),
    "negative": ({"num_samples": -3}, ["num_samples=-3", "at least 2"]),
    "not a number": ({"num_samples": float("nan")}, ["num_samples", "nan", "Expected a <class 'int'>"]),
    "split": ({"split": "valid"}, ["split", "valid", "'train', 'val', 'test'"]),
    "fewer samples than features": ({"metrics": [FD]}, ["FrechetDistance", "129", "would get 40", "give more"]),
    "fewer reals than features": ({"metrics": [FD], "split": "test"}, ["FrechetDistance", "129 real samples"]),
    "data without modes": ({"metrics": ["ModeCoverage"]}, ["ModeCoverage", "Digits has no means", "use it on"]),
    "folder": ({"statistics": "scores.yaml"}, ["statistics='scores.yaml'", "give another"]),
}


@pytest.mark.parametrize("fault", few(UNSCORED, "no scores", "none", "fewer samples than features", "folder"))
def test_an_invalid_evaluation_is_one_line(fault, refused, folder, run):
    arguments, says = UNSCORED[fault]
    option = evaluation(folder, **arguments)
    command = ["test", "--ckpt_path", last(run)] if "split" in arguments else ["fit"]
    line = refused(*command, *DIGITS, option, *QUIET)
    assert all(word in line for word in says), line


def images(folder, shade=0):
    """Write twenty small images, and return a command that trains on them."""
    (folder / "images").mkdir(exist_ok=True)
    for number in range(20):
        Image.fromarray(np.full((8, 8, 3), shade + number, np.uint8)).save(folder / "images" / f"{number}.png")
    data = ["--data=ImageFolder", "--data.root=images", "--data.size=8", "--data.batch_size=4"]
    return ["fit", "--model=DCGAN", "--model.width=4", *data]


def test_a_monitored_metric_that_is_not_logged_is_one_line(refused, folder):
    line = refused("fit", *DIGITS, *SMALL, evaluation(folder), "--checkpoint.monitor=val/fid")
    assert "monitors val/fid" in line and "use one of val/diversity" in line


def test_data_without_a_validation_split_is_one_line(refused, folder):
    line = refused(*images(folder), "--data.val_fraction=0", evaluation(folder), *QUIET)
    assert "ImageFolder has no val split" in line and "train" in line


@pytest.mark.slow
def test_statistics_of_other_data_are_one_line(refused, folder):
    run = [*images(folder), "--data.val_fraction=0.3", evaluation(folder)]
    main([*run, *SMALL, *BRIEF])
    images(folder, shade=200)
    assert "made of other data" in refused(*run, *QUIET)
    (file,) = (folder / "runs" / "statistics").iterdir()
    file.write_bytes(b"text")
    assert "cannot be read" in refused(*run, *QUIET)
