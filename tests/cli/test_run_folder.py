"""What a run writes into its folder."""

import re
import shlex
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from short_runs import BRIEF, DIGITS, LIGHTNING_WARNINGS, SMALL, checkpoint, column, metrics, same_state, settings_of

from lightning_gans.callbacks.health import failure_monitor
from lightning_gans.callbacks.health.diagnosis import HEALTHY, MODE_COLLAPSE
from lightning_gans.cli.main import main

pytestmark = LIGHTNING_WARNINGS


def test_run_folder(run):
    assert run.parent.name == "dcgan_digits", "<model>_<data>"
    files = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert files >= {
        "config.yaml",
        "metrics.csv",
        "checkpoints/last.ckpt",
        "samples/epoch_0001.png",
        "samples/epoch_0002.png",
        "samples/real.png",
        "samples/training.gif",
        "report.html",
    }
    assert [name for name in sorted(files) if name.startswith("samples/epoch")] == [
        "samples/epoch_0000.png",
        "samples/epoch_0001.png",
        "samples/epoch_0002.png",
    ]
    assert not [path for path in run.parents[2].iterdir() if path.name != "runs"], "nothing beside it"


def test_metrics_count_batches(run):
    steps = [int(row["step"]) for row in metrics(run) if row["loss/generator"]]
    assert steps == list(range(6))
    assert column(run, "progress/generator_updates") == [1, 2, 3, 4, 5, 6]
    assert len(column(run, "val/discriminator_loss")) == 2
    assert np.isfinite(column(run, "loss/discriminator") + column(run, "val/generator_loss")).all()


def test_sample_images(run):
    frames = [Image.open(run / "samples" / name) for name in ("epoch_0001.png", "epoch_0002.png", "real.png")]
    assert len({frame.size for frame in frames}) == 1 and np.asarray(frames[2]).std() > 50, "digits in black and white"
    assert not np.array_equal(*(np.asarray(frame) for frame in frames[:2])), "training changes the samples"
    assert Image.open(run / "samples" / "training.gif").n_frames == 3


def test_report(run, folder, capsys):
    html = (run / "report.html").read_text()
    assert "DCGAN on Digits" in html and "finished" in html and "dcgan_digits version_0" in html
    assert len(re.findall(r'alt="(the beginning|epoch 1|epoch 2|real samples|the whole run)"', html)) == 5
    assert all(f'aria-label="{title}"' in html for title in ("Losses", "Separation", "Gradient norms"))
    assert "class_path: lightning_gans.DCGAN" in html and "checkpoints/last.ckpt" in html
    commands = [unescape(command) for command in re.findall(r'<pre class="command">lightning-gans (.*?)</pre>', html)]
    assert [command.split()[0] for command in commands] == ["sample", "test", "fit"]
    shutil.copytree(run.parents[1], folder / "runs")
    for command in commands:
        main([*shlex.split(command), *([] if command.startswith("sample") else BRIEF[1:])])
    runs = folder / "runs" / "dcgan_digits"
    assert (folder / "grid.png").is_file() and {path.name for path in runs.iterdir()} == {"version_0", "version_1"}
    assert column(runs / "version_0", "progress/generator_updates") == list(range(1, 13)), (
        "trained longer, in its folder"
    )
    assert "report.html in a browser" in capsys.readouterr().out


def test_every_run_has_its_own_folder(folder, capsys):
    for version in (0, 1):
        main(["fit", *DIGITS, *SMALL, *BRIEF, "--experiment=mine", "--runs=kept", f"--seed_everything={version}"])
    runs = [folder / "kept" / "mine" / f"version_{version}" for version in (0, 1)]
    assert sorted(runs[0].parent.iterdir()) == runs and not (folder / "runs").exists()
    assert [settings_of(one)["seed_everything"] for one in runs] == [0, 1]
    assert not same_state(*(checkpoint(one)["state_dict"] for one in runs))
    assert not (runs[0] / "samples").exists(), "every_n_epochs=0 disables sample images"
    said = capsys.readouterr().out
    assert "The run is in kept/mine/version_1" in said
    main(re.findall(r"lightning-gans (sample .*)", said)[-1].split())
    assert Path("grid.png").is_file()


@pytest.mark.parametrize("state", [HEALTHY, MODE_COLLAPSE], ids=lambda state: state.name)
def test_a_run_that_ends_in_a_failure_names_the_page_with_remedies(folder, monkeypatch, capsys, state):
    monkeypatch.setattr(failure_monitor, "diagnose", lambda *_: (state, "a reason"))
    main(["fit", *DIGITS, *SMALL, *BRIEF, "--monitor.every_n_steps=1", "--monitor.patience=1"])
    message = "The run ended in a failure: mode collapse (hard). See runs/dcgan_digits/version_0/health.md for its beg"
    assert (message in capsys.readouterr().out) == (state == MODE_COLLAPSE)
    assert Path("runs/dcgan_digits/version_0/health.md").is_file()


def test_without_a_logger_no_run_folder_is_created(folder):
    main(["fit", *DIGITS, *SMALL, *BRIEF, "--trainer.logger=false", "--trainer.enable_checkpointing=false"])
    assert not (folder / "runs").exists()


def test_the_last_epoch_has_a_sample_image(folder):
    main(["fit", *DIGITS, *SMALL, "--samples.every_n_epochs=2", "--trainer.max_epochs=3"])
    names = [path.name for path in sorted(folder.rglob("epoch*.png"))]
    assert names == ["epoch_0000.png", "epoch_0002.png", "epoch_0003.png"]


def test_options_of_sample_images(run, folder):
    options = ["--samples.num_samples=6", "--samples.columns=3", "--samples.seed=1", "--samples.gif=false"]
    main(["fit", *DIGITS, *SMALL, *options])
    other = folder / "runs" / "dcgan_digits" / "version_0"
    width, height = Image.open(other / "samples" / "epoch_0002.png").size
    assert abs(width / height - 3 / 2) < 0.05
    assert not (other / "samples" / "training.gif").exists()
    latents = [checkpoint(one)["callbacks"]["SampleGrid"]["latents"] for one in (run, other)]
    assert latents[0].shape == (64, 8) and latents[1].shape == (6, 8) and not torch.equal(latents[0][:6], latents[1])
    assert same_state(checkpoint(run)["state_dict"], checkpoint(other)["state_dict"]), "training is unaffected"
