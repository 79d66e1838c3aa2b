"""The command line: what a run leaves behind, what can be done with it, and what is said of mistakes."""

import csv
import itertools
import json
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import lightning_gans
from lightning_gans import DCGAN, GAN, WGAN, WGANGP, VanillaGAN
from lightning_gans.__main__ import COMMANDS, main
from lightning_gans.callbacks.health import failure_monitor
from lightning_gans.callbacks.health.diagnosis import HEALTHY, MODE_COLLAPSE
from lightning_gans.data import Digits
from lightning_gans.networks import GaussianWithCode
from lightning_gans.objectives import NonSaturating, Relativistic, Wasserstein

CONFIGS = Path(__file__).parents[1] / "configs"
QUIET = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
SMALL = [
    "--trainer.max_epochs=2",
    "--trainer.limit_train_batches=3",
    "--trainer.limit_val_batches=2",
    "--trainer.log_every_n_steps=1",
    *QUIET,
]
DIGITS = ["--model=DCGAN", "--model.width=4", "--model.latent_dim=8", "--data=Digits"]
BRIEF = [
    "--trainer.max_epochs=1",
    "--trainer.limit_val_batches=0",
    "--samples.every_n_epochs=0",
    "--report.enabled=false",
]

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    return tmp_path


def fitted_once(tmp_path_factory, *args):
    """The folder of a run made for the whole file, which tests only read."""
    place = tmp_path_factory.mktemp("fitted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        main(["fit", *args])
    (run,) = place.glob("runs/*/version_0")
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fitted_once(tmp_path_factory, *DIGITS, *SMALL)


@pytest.fixture(scope="module")
def conditional_run(tmp_path_factory):
    return fitted_once(tmp_path_factory, *DIGITS, "--data.labels=true", *SMALL)


def last(run):
    return run / "checkpoints" / "last.ckpt"


def checkpoint(run):
    return torch.load(last(run), weights_only=True)


def metrics(run):
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def column(run, name):
    return [float(row[name]) for row in metrics(run) if row.get(name)]


def settings_of(run):
    return yaml.safe_load((run / "config.yaml").read_text())


def updates(saved):
    counters = saved["state_dict"]["_extra_state"]
    return counters["discriminator_updates"], counters["generator_updates"]


def same_state(one, other):
    return one.keys() == other.keys() and all(
        torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]
        for key, value in one.items()
    )


# ---------------------------------------------------------------- what a run leaves behind


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


def test_pictures(run):
    frames = [Image.open(run / "samples" / name) for name in ("epoch_0001.png", "epoch_0002.png", "real.png")]
    assert len({frame.size for frame in frames}) == 1 and np.asarray(frames[2]).std() > 50, "digits in black and white"
    assert not np.array_equal(*(np.asarray(frame) for frame in frames[:2])), "it learns"
    assert Image.open(run / "samples" / "training.gif").n_frames == 2


def test_the_page_about_the_run(run, folder, capsys):
    html = (run / "report.html").read_text()
    assert "DCGAN on Digits" in html and "finished" in html and "dcgan_digits version_0" in html
    assert len(re.findall(r'alt="(epoch 1|epoch 2|real samples|the whole run)"', html)) == 4
    assert all(f'aria-label="{title}"' in html for title in ("Losses", "Separation", "Gradient norms"))
    assert "class_path: lightning_gans.DCGAN" in html and "checkpoints/last.ckpt" in html
    commands = [unescape(command) for command in re.findall(r'<pre class="command">lightning-gans (.*?)</pre>', html)]
    assert [command.split()[0] for command in commands] == ["sample", "test", "fit"]
    shutil.copytree(run.parents[1], folder / "runs")
    for command in commands:
        main([*shlex.split(command), *([] if command.startswith("sample") else BRIEF[1:])])
    second = folder / "runs" / "dcgan_digits" / "version_2"
    assert (folder / "grid.png").is_file() and (second / "metrics.csv").is_file(), "after the test's version_1"
    assert "report.html in a browser" not in capsys.readouterr().out and not (second / "report.html").exists()


def test_runs_stand_side_by_side(folder, capsys):
    for version in (0, 1):
        main(["fit", *DIGITS, *SMALL, *BRIEF, "--experiment=mine", "--runs=kept", f"--seed_everything={version}"])
    runs = [folder / "kept" / "mine" / f"version_{version}" for version in (0, 1)]
    assert sorted(runs[0].parent.iterdir()) == runs and not (folder / "runs").exists()
    assert [settings_of(one)["seed_everything"] for one in runs] == [0, 1]
    assert not same_state(*(checkpoint(one)["state_dict"] for one in runs))
    assert not (runs[0] / "samples").exists(), "every_n_epochs=0 switches pictures off"
    said = capsys.readouterr().out
    assert "The run is in kept/mine/version_1" in said
    main(re.findall(r"lightning-gans (sample .*)", said)[-1].split())
    assert Path("grid.png").is_file()


@pytest.mark.parametrize("state", [HEALTHY, MODE_COLLAPSE], ids=lambda state: state.name)
def test_a_run_that_ends_in_a_failure_says_where_help_is(folder, monkeypatch, capsys, state):
    monkeypatch.setattr(failure_monitor, "diagnose", lambda *_: (state, "it was written"))
    main(["fit", *DIGITS, *SMALL, *BRIEF, "--monitor.every_n_steps=1", "--monitor.patience=1"])
    last = "It ends in a failure: mode collapse (hard). runs/dcgan_digits/version_0/health.md says since when"
    assert (last in capsys.readouterr().out) == (state == MODE_COLLAPSE)
    assert Path("runs/dcgan_digits/version_0/health.md").is_file()


def test_no_logger_makes_no_run_folder(folder):
    main(["fit", *DIGITS, *SMALL, *BRIEF, "--trainer.logger=false", "--trainer.enable_checkpointing=false"])
    assert not (folder / "runs").exists()


def test_the_last_epoch_has_its_picture(folder):
    main(["fit", *DIGITS, *SMALL, "--samples.every_n_epochs=2", "--trainer.max_epochs=3"])
    assert [path.name for path in sorted(folder.rglob("epoch*.png"))] == ["epoch_0002.png", "epoch_0003.png"]


def test_options_of_the_pictures(run, folder):
    options = ["--samples.num_samples=6", "--samples.columns=3", "--samples.seed=1", "--samples.gif=false"]
    main(["fit", *DIGITS, *SMALL, *options])
    other = folder / "runs" / "dcgan_digits" / "version_0"
    width, height = Image.open(other / "samples" / "epoch_0002.png").size
    assert abs(width / height - 3 / 2) < 0.05
    assert not (other / "samples" / "training.gif").exists()
    latents = [checkpoint(one)["callbacks"]["SampleGrid"]["latents"] for one in (run, other)]
    assert latents[0].shape == (64, 8) and latents[1].shape == (6, 8) and not torch.equal(latents[0][:6], latents[1])
    assert same_state(checkpoint(run)["state_dict"], checkpoint(other)["state_dict"]), "the game is not touched"


# ---------------------------------------------------------------- loggers


def test_tensorboard_writes_into_the_run_folder(folder):
    pytest.importorskip("tensorboard")
    main(["fit", *DIGITS, *SMALL, "--config", str(CONFIGS / "logger" / "tensorboard.yaml")])
    (events,) = folder.rglob("events.out.tfevents*")
    assert events.parent == folder / "runs" / "dcgan_digits" / "version_0"
    written = events.read_bytes()
    assert b"loss/generator" in written and b"samples/grid" in written
    assert (events.parent / "metrics.csv").is_file() and last(events.parent).is_file()
    main(["fit", "--config", str(events.parent / "config.yaml")])
    assert [path.parent.name for path in sorted(folder.rglob("events.out*"))] == ["version_0", "version_1"]


def wandb_records(path):
    """What an offline run keeps for W&B: records of wandb.proto in a LevelDB log."""
    proto = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    data, place, record, records = path.read_bytes(), 7, b"", []
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # the rest of a block is empty
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack_batch("<IHB", data[place : place + 7])
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            records.append(proto.Record.FromString(record))
            record = b""
    return records


@pytest.mark.slow  # it waits for W&B's own process, and has failed on a machine that was busy
def test_wandb_writes_into_the_run_folder_and_knows_the_whole_config(folder):
    import wandb

    args = ["fit", *DIGITS, *SMALL, *BRIEF, "--samples.every_n_epochs=1", "--samples.num_samples=4"]
    for version in (0, 1):
        try:
            main([*args, "--config", str(CONFIGS / "logger" / "wandb.yaml")])
            run = folder / "runs" / "dcgan_digits" / f"version_{version}"
            kept = dict(wandb.run.config)
            assert wandb.run.project == "lightning-gans"
        finally:
            wandb.finish()
        assert len(list(run.glob("wandb/offline-run-*/*.wandb"))) == 1 and last(run).is_file()
        assert list(run.glob("wandb/offline-run-*/files/output.log")), "which W&B's own process writes"
        assert not (folder / "wandb").exists() and not (folder / "lightning-gans").exists()
        saved = settings_of(run)
        for section in ("model", "data", "trainer", "samples", "seed_everything"):
            assert kept[section] == saved[section], section
        (written,) = run.glob("wandb/offline-run-*/*.wandb")
        records = wandb_records(written)
        axes = [one.metric for one in records if one.HasField("metric")]
        assert [one.step_metric for one in axes if one.glob_name == "*"] == ["trainer/global_step"]
        lines = [
            {item.key or "/".join(item.nested_key): item.value_json for item in one.history.item}
            for one in records
            if one.HasField("history")
        ]
        lines = [line for line in lines if "loss/generator" in line]
        assert [line["trainer/global_step"] for line in lines] == ["0", "1", "2"], "batches"
        assert [line["progress/images"] for line in lines] == ["64", "128", "192"]
        assert {"gradients/generator", "discriminator/separation", "generator/learning_rate"} <= set(lines[0])
        (picture,) = run.glob("wandb/offline-run-*/files/media/images/samples/grid*.png")
        assert np.array_equal(np.asarray(Image.open(picture)), np.asarray(Image.open(run / "samples/epoch_0001.png")))


# ---------------------------------------------------------------- configs and options


def printed(capsys, *args):
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *args, "--print_config"])
    assert stopped.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


def test_the_later_config_wins_and_the_line_wins_over_all(folder, capsys):
    (folder / "one.yaml").write_text("model: {class_path: DCGAN, init_args: {width: 4, latent_dim: 5}}\ndata: Digits\n")
    (folder / "two.yaml").write_text(
        "model: {class_path: DCGAN, init_args: {width: 6}}\n"
        "data: {class_path: Digits, init_args: {size: 12, batch_size: 7}}\n"
    )
    config = printed(capsys, "--config=one.yaml", "-c", "two.yaml", "--data.size=20", "--trainer.max_epochs=3")
    assert config["model"]["class_path"] == "lightning_gans.DCGAN"
    assert (config["model"]["init_args"]["width"], config["model"]["init_args"]["latent_dim"]) == (6, 5)
    assert (config["data"]["init_args"]["size"], config["data"]["init_args"]["batch_size"]) == (20, 7)
    assert config["trainer"]["max_epochs"] == 3
    config = printed(capsys, "--config=two.yaml", "--config=one.yaml")
    assert config["model"]["init_args"]["width"] == 4


def test_options_without_named_data_are_those_of_the_digits(capsys, folder):
    config = printed(capsys, "--model=DCGAN", "--data.size=12", "--data.batch_size=7")
    assert config["data"]["class_path"].endswith(".Digits")
    assert (config["data"]["init_args"]["size"], config["data"]["init_args"]["batch_size"]) == (12, 7)
    (folder / "two.yaml").write_text("model: DCGAN\ndata: {init_args: {size: 12}}\n")
    assert printed(capsys, "--config=two.yaml")["data"]["init_args"]["size"] == 12


def test_digits_are_the_default_data_and_leave_nothing_in_other_data(capsys):
    assert printed(capsys, "--model=DCGAN")["data"]["class_path"].endswith(".Digits")
    data = printed(capsys, "--model=VanillaGAN", "--data=GaussianRing", "--data.num_modes=5")["data"]
    assert data["class_path"].endswith(".GaussianRing") and "size" not in data["init_args"]


def test_an_optimizer_takes_its_rate_from_the_line(folder):
    main(["fit", *DIGITS, *SMALL, *BRIEF, "--model.discriminator_optimizer.lr=4e-4"])
    saved = checkpoint(folder / "runs/dcgan_digits/version_0")
    assert [state["param_groups"][0]["lr"] for state in saved["optimizer_states"]] == [2e-4, 4e-4]
    assert saved["optimizer_states"][1]["param_groups"][0]["betas"] == (0.5, 0.999)


def test_an_optimizer_and_a_schedule_by_class(folder):
    schedule = "{class_path: torch.optim.lr_scheduler.ExponentialLR, init_args: {gamma: 0.5}}"
    optimizer = ["--model.generator_optimizer=torch.optim.AdamW", "--model.generator_optimizer.lr=0.1"]
    main(["fit", *DIGITS, *SMALL, *BRIEF, *optimizer, f"--model.generator_scheduler={schedule}"])
    saved = checkpoint(folder / "runs/dcgan_digits/version_0")
    assert saved["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(0.1 / 2**3)
    assert saved["optimizer_states"][1]["param_groups"][0]["lr"] == 2e-4
    gan = GAN.load_from_checkpoint(last(folder / "runs/dcgan_digits/version_0"))
    (generator_optimizer, _), (scheduler,) = gan.configure_optimizers()
    assert isinstance(generator_optimizer, torch.optim.AdamW) and scheduler.gamma == 0.5


def test_labels_make_the_model_conditional(conditional_run, run):
    assert checkpoint(conditional_run)["hyper_parameters"]["num_classes"] == 10
    gan = GAN.load_from_checkpoint(last(conditional_run))
    assert gan.generator.num_classes == gan.discriminator.num_classes == 10
    width, height = Image.open(conditional_run / "samples" / "epoch_0001.png").size
    assert width > height, "one column per class"
    assert GAN.load_from_checkpoint(last(run)).generator.num_classes == 0


@pytest.mark.filterwarnings("ignore:GradientPenalty with BatchNorm")
def test_stabilizers_from_a_config_take_part(folder, run):
    (folder / "stabilizers.yaml").write_text(
        "trainer:\n  callbacks+: [WeightClipping, {class_path: GradientPenalty, init_args: {weight: 20}}]\n"
    )
    main(["fit", *DIGITS, "--config=stabilizers.yaml", *SMALL, *BRIEF])
    made = folder / "runs/dcgan_digits/version_0"
    penalties = column(made, "loss/gradient_penalty")
    assert len(penalties) == 3 and 15 < penalties[0] <= 20, "a critic that is nearly flat pays the whole weight"
    weights = [value for name, value in checkpoint(made)["state_dict"].items() if name == "discriminator.head.0.weight"]
    assert weights[0].abs().max() <= 0.01
    assert "loss/gradient_penalty" not in metrics(run)[0]


def test_callbacks_of_two_configs_add_up(folder, capsys):
    (folder / "one.yaml").write_text("trainer:\n  callbacks+: [GradientPenalty]\n")
    (folder / "two.yaml").write_text("trainer:\n  callbacks+: [WeightClipping]\n")
    config = printed(capsys, *DIGITS, "--config=one.yaml", "--config=two.yaml")
    names = [callback["class_path"].rsplit(".", 1)[1] for callback in config["trainer"]["callbacks"]]
    assert names == ["GradientPenalty", "WeightClipping"]


# ---------------------------------------------------------------- using a checkpoint

RING = ["--data=GaussianRing", "--trainer.max_steps=5", *SMALL[1:], "--trainer.limit_train_batches=5"]
WIDE = ["--model.width=8", "--model.latent_dim=3"]


@pytest.mark.parametrize(
    ("args", "kind", "objective"),
    [
        ([*DIGITS, *SMALL], DCGAN, NonSaturating),
        (["--model=VanillaGAN", *RING, "--model.generator_width=8"], VanillaGAN, NonSaturating),
        (["--model=WGAN", *WIDE, "--model.clip=0.02", *RING], WGAN, Wasserstein),
        (["--model=WGANGP", *WIDE, "--model.gradient_penalty=0.3", *RING], WGANGP, Wasserstein),
        (["--config", str(CONFIGS / "mixed_ring.yaml"), *RING, "--model.objective=Relativistic"], GAN, Relativistic),
    ],
    ids=["DCGAN", "VanillaGAN", "WGAN", "WGANGP", "GAN"],
)
def test_load_from_checkpoint(args, kind, objective, folder):
    main(["fit", *args, *BRIEF])
    (run,) = folder.glob("runs/*/version_0")
    saved = checkpoint(run)
    gan = GAN.load_from_checkpoint(last(run), weights_only=True)
    assert type(gan) is kind and type(gan.objective) is objective
    assert same_state(gan.state_dict(), saved["state_dict"])
    assert (gan.discriminator_updates, gan.generator_updates) == updates(saved)
    optimizers, _ = gan.configure_optimizers()
    for optimizer, state in zip(optimizers, saved["optimizer_states"], strict=True):
        ours, theirs = optimizer.param_groups[0], state["param_groups"][0]
        assert {**ours, "params": len(ours["params"])} == {**theirs, "params": len(theirs["params"])}
    if kind is WGAN:
        assert gan.stabilizers[0].limit == 0.02 and gan.n_critic == 5
        assert all(parameter.detach().abs().max() <= 0.02 for parameter in gan.discriminator.parameters())
    if kind is WGANGP:
        assert gan.stabilizers[0].weight == 0.3 and updates(saved) == (5, 1)
    if kind is GAN:
        assert isinstance(gan.generator.latents, GaussianWithCode)
    assert draw(run, "samples.png", "--num=3")


@pytest.mark.parametrize("command", ["validate", "test"])
def test_evaluation_is_of_the_checkpoint(command, run, folder, capsys):
    config = ["--config", str(run / "config.yaml"), "--trainer.limit_val_batches=null"]
    main([command, *config, "--ckpt_path", str(last(run))])
    split = {"validate": "val", "test": "test"}[command]
    assert f"{split}/discriminator_loss" in capsys.readouterr().out
    result = folder / "runs" / "dcgan_digits" / "version_0"
    gan = GAN.load_from_checkpoint(last(run)).eval()
    with torch.no_grad():
        expected = torch.cat([gan.discriminator(x) for x in getattr(Digits(), f"{split}_dataloader")()]).mean()
    assert column(result, f"{split}/real_logit") == [pytest.approx(float(expected), rel=1e-4)]
    assert not list(folder.rglob("*.ckpt"))


@pytest.mark.parametrize("name", ["run", "conditional_run"])
def test_predict_writes_samples(name, request, folder):
    run = request.getfixturevalue(name)
    main(["predict", "--config", str(run / "config.yaml"), "--ckpt_path", str(last(run))])
    samples = folder / "runs" / "dcgan_digits" / "version_0" / "samples"
    parts = [torch.load(path, weights_only=True) for path in sorted(samples.glob("batch_*.pt"))]
    size = len(Digits().load("test"))
    assert torch.cat(parts).shape == (size, 1, 8, 8) and torch.cat(parts).abs().max() <= 1
    assert len(torch.cat(parts).unique(dim=0)) == size, "no latents twice"
    assert len(list(samples.glob("batch_*.png"))) == len(parts) == 3


def test_a_run_resumes_from_a_file(run, folder):
    args = [*DIGITS, *SMALL, "--trainer.max_epochs=3"]
    main(["fit", *args, "--ckpt_path", str(last(run))])
    resumed = folder / "runs" / "dcgan_digits" / "version_0"
    before, after = checkpoint(run), checkpoint(resumed)
    assert [(saved["epoch"], saved["global_step"], updates(saved)) for saved in (before, after)] == [
        (1, 6, (6, 6)),
        (2, 9, (9, 9)),
    ]
    assert column(resumed, "progress/generator_updates") == [7, 8, 9]
    page = (resumed / "report.html").read_text()
    assert "goes on from" in page and os.path.relpath(last(run)) in page
    assert [path.name for path in sorted(resumed.glob("samples/epoch*"))] == ["epoch_0003.png"]
    latents = [saved["callbacks"]["SampleGrid"]["latents"] for saved in (before, after)]
    assert torch.equal(*latents)
    assert [state["state"][0]["step"] for state in after["optimizer_states"]] == [9, 9], "the moments go on too"
    main(["fit", "--config", str(resumed / "config.yaml")])
    repeated = checkpoint(resumed.with_name("version_1"))
    assert same_state(repeated["state_dict"], after["state_dict"]), "and a resumed run repeats from its config"


def test_ckpt_path_last_is_the_newest_of_the_experiment(run, conditional_run, folder):
    for version, (source, age) in enumerate([(conditional_run, 200), (run, 0), (conditional_run, 100)]):
        copy = shutil.copytree(source, folder / "kept" / "one" / f"version_{version}")
        written = last(copy).stat().st_mtime
        os.utime(last(copy), (written - age, written - age))
    main(
        [
            "fit",
            *DIGITS,
            *SMALL,
            *BRIEF,
            "--runs=kept",
            "--experiment=one",
            "--trainer.max_epochs=3",
            "--ckpt_path=last",
        ]
    )
    resumed = folder / "kept" / "one" / "version_3"
    assert settings_of(resumed)["ckpt_path"] == "kept/one/version_1/checkpoints/last.ckpt"
    assert updates(checkpoint(resumed)) == (9, 9)


def test_settings_given_with_a_checkpoint_are_kept(run, folder):
    main(
        ["fit", *DIGITS, *SMALL, *BRIEF, "--trainer.max_epochs=3", "--model.n_critic=3", "--ckpt_path", str(last(run))]
    )
    resumed = folder / "runs" / "dcgan_digits" / "version_0"
    assert settings_of(resumed)["model"]["init_args"]["n_critic"] == 3
    assert updates(checkpoint(resumed)) == (9, 7), "six before, and one in three after"


# ---------------------------------------------------------------- sample


def draw(run, out, *args):
    main(["sample", "--checkpoint", str(last(run)), "--out", str(out), *args])
    return Path(out).read_bytes()


def test_sample_depends_on_its_seed_alone(run, folder, capsys):
    first = draw(run, "a.png")
    assert capsys.readouterr().out == "64 samples of DCGAN after 6 generator updates: a.png\n"
    torch.rand(3)
    assert draw(run, "b.png", "--seed=0") == first
    assert draw(run, "b.png", "--seed=1") != first, "and a file of that name is replaced"
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.png"], "nothing else is left"


def test_sample_in_other_formats_and_numbers(run, folder):
    draw(run, "new/folder/grid.jpg", "--num=3")
    draw(run, "grid.png")
    sizes = [Image.open(name).size for name in ("new/folder/grid.jpg", "grid.png")]
    assert sizes[0][1] < sizes[1][1] and sizes[1][0] == sizes[1][1], "one row, eight rows"


def test_sample_takes_labels(conditional_run, folder):
    in_turn = draw(conditional_run, "all.png", "--num=20")
    three = draw(conditional_run, "three.png", "--num=20", "--labels=[3]")
    assert three != in_turn
    assert draw(conditional_run, "both.png", "--num=20", "--labels=[3,7]") not in (in_turn, three)
    assert Image.open("all.png").size[0] > Image.open("both.png").size[0], "one column per class"


# ---------------------------------------------------------------- other looks at a trained generator


def look(capsys, command, run, out, *args):
    """Run a command on a run's checkpoint; the picture's bytes and what was said come back."""
    capsys.readouterr()
    main([command, "--checkpoint", str(last(run)), "--out", out, *args])
    return Path(out).read_bytes(), capsys.readouterr().out


CONCEPTS = ["--a=[1,2]", "--b=[3]", "--c=[4,5,6]"]


def test_a_walk_by_the_command_line(run, conditional_run, folder, capsys):
    first, said = look(capsys, "interpolate", run, "a.png", "--seeds=[3,8]", "--steps=3")
    assert said == "1 path of 3 samples each, linear, of DCGAN after 6 generator updates: a.png\n"
    torch.rand(3)
    assert look(capsys, "interpolate", run, "a.png", "--seeds=[3,8]", "--steps=3")[0] == first
    assert look(capsys, "interpolate", run, "a.png", "--seeds=[3,8]", "--steps=3", "--spherical=true")[0] != first
    look(capsys, "interpolate", conditional_run, "a.gif", "--rows=2", "--steps=3", "--labels=[3,7]")
    assert Image.open("a.gif").n_frames == 4


def test_a_sum_by_the_command_line(run, conditional_run, folder, capsys):
    first, said = look(capsys, "arithmetic", run, "a.png", *CONCEPTS)
    assert said == "a - b + c of 2, 1 and 3 samples of DCGAN after 6 generator updates: a.png\n"
    assert look(capsys, "arithmetic", run, "b.png", *CONCEPTS)[0] == first
    assert look(capsys, "arithmetic", run, "b.png", *CONCEPTS, "--seed=1")[0] != first
    look(capsys, "arithmetic", conditional_run, "b.png", *CONCEPTS, "--labels=[3,7,1]")


def test_neighbours_by_the_command_line(run, conditional_run, folder, capsys):
    first, said = look(capsys, "neighbours", run, "a.png", "--num=2", "--k=3")
    lines = said.splitlines()
    training = f"{len(Digits().load('train')):,}"
    assert lines[0] == (
        f"2 samples of DCGAN after 6 generator updates beside the 3 closest of {training} training samples: a.png"
    )
    assert "Mean distance to the closest training sample" in lines[1] and len(lines) == 2
    given = ["--data=Digits", "--data.batch_size=7"]
    assert look(capsys, "neighbours", run, "b.png", "--num=2", "--k=3", *given)[0] == first
    other, said = look(capsys, "neighbours", run, "b.png", "--num=2", "--k=3", "--features=DigitFeatures")
    assert other != first and said.splitlines()[1] != lines[1]
    look(capsys, "neighbours", conditional_run, "b.png", "--num=2", "--labels=[3]")


def test_mistakes_of_the_other_looks(refused, run, conditional_run, folder):
    for args, says in (
        (["interpolate", "--seeds=[3]"], "seeds=[3]"),
        (["interpolate", "--labels=[1]"], "labels=[1]"),
        (["interpolate", "--steps=1"], "steps=1"),
        (["arithmetic", *CONCEPTS[:2], "--c=[]"], "c=[]"),
        (["arithmetic", *CONCEPTS, "--out=a.xyz"], "a.xyz"),
        (["neighbours", "--k=9999"], "k=9999"),
        (["neighbours", "--data=GaussianRing"], "(2,)"),
        (["neighbours", "--features=torch.nn.Identity"], "Identity"),
        (["sample", "--numbered=true", "--routes=2"], "routes=2"),
    ):
        assert says in refused(args[0], "--checkpoint", last(run), *args[1:])
    assert "10" in refused("interpolate", "--checkpoint", last(conditional_run), "--labels=[10]")
    shutil.copy(last(run), "alone.ckpt")
    assert "config.yaml" in refused("neighbours", "--checkpoint=alone.ckpt")
    assert not list(folder.glob("*.png"))
    for command in FUNCTIONS:
        Path("wrong.file").write_bytes(b"hello")
        concepts = CONCEPTS if command == "arithmetic" else []
        assert "wrong.file" in refused(command, "--checkpoint=wrong.file", *concepts)


# ---------------------------------------------------------------- scores


def scores_of(run):
    return json.loads((run / "scores.json").read_text())


def evaluation(folder, name="scores.yaml", metrics=("PairwiseDiversity",), **arguments):
    """A config that stacks an Evaluation on a run."""
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
    return fitted_once(tmp_path_factory, *DIGITS, *SMALL, evaluation(place), *by_score)


def test_a_run_by_a_score_keeps_the_best_and_the_last(scored_run):
    figures = column(scored_run, "val/diversity")
    assert len(figures) == 3
    steps = {path.name: torch.load(path, weights_only=True)["global_step"] for path in scored_run.rglob("*.ckpt")}
    best = 3 * (figures.index(min(figures)) + 1)
    assert steps == {f"step_{best:07d}.ckpt": best, "last.ckpt": 9} and best != 9, "a test of something"
    assert scores_of(scored_run)["figures"]["diversity"] == pytest.approx(figures[-1])
    assert not list(scored_run.rglob("*-v1.ckpt"))


@pytest.mark.parametrize("command", ["validate", "test"])
def test_a_trained_model_is_scored(command, scored_run, folder, capsys):
    experiment = shutil.copytree(scored_run.parent, folder / "runs" / "dcgan_digits")
    before = digests(experiment)
    stacked = evaluation(folder)  # which the run's own config has already
    main([command, f"--config={scored_run / 'config.yaml'}", stacked, "--ckpt_path=last", "--runs=runs"])
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


def test_any_trained_model_is_scored_afterwards(run, folder, capsys):
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
    game = ["--model=SEPGAN", *ENSEMBLE, "--model.generator.width=4", "--data.batch_size=16"]
    main(["fit", *game, *SMALL, *BRIEF, evaluation(folder)])
    (run,) = folder.glob("runs/sepgan_digits/*")
    main(["test", f"--config={run / 'config.yaml'}", f"--ckpt_path={last(run)}"])
    assert "SEPGAN after 3 generator updates" in capsys.readouterr().out
    assert len(column(run, "val/diversity")) == 1, "at the end of an epoch without validation"


FD = {"class_path": "FrechetDistance", "init_args": {"features": "DigitFeatures"}}
UNSCORED = {  # an Evaluation that must be refused, the game, and what the line says
    "no scores": ({"metrics": []}, ["metrics=[]", "at least one score"]),
    "unknown score": ({"metrics": ["ModeCovrage"]}, ["did you mean ModeCoverage"]),
    "none": ({"num_samples": 0}, ["num_samples=0", "at least 2"]),
    "negative": ({"num_samples": -3}, ["num_samples=-3", "at least 2"]),
    "not a number": ({"num_samples": float("nan")}, ["num_samples", "nan", "Expected a <class 'int'>"]),
    "split": ({"split": "valid"}, ["split", "valid", "'train', 'val', 'test'"]),
    "fewer samples than features": ({"metrics": [FD]}, ["FrechetDistance", "129", "would get 40", "give more"]),
    "fewer reals than features": ({"metrics": [FD], "split": "test"}, ["FrechetDistance", "129 real samples"]),
    "modes that data has not": ({"metrics": ["ModeCoverage"]}, ["ModeCoverage", "Digits has no means", "use it on"]),
    "folder": ({"statistics": "scores.yaml"}, ["statistics='scores.yaml'", "give another"]),
}


@pytest.mark.parametrize("fault", UNSCORED)
def test_an_evaluation_that_is_wrong_is_one_line(fault, refused, folder, run):
    arguments, says = UNSCORED[fault]
    stacked = evaluation(folder, **arguments)
    game = ["test", "--ckpt_path", last(run)] if "split" in arguments else ["fit"]
    line = refused(*game, *DIGITS, stacked, *QUIET)
    assert all(word in line for word in says), line


def pictures(folder, shade=0):
    """Twenty small pictures, and a game on them."""
    (folder / "pictures").mkdir(exist_ok=True)
    for number in range(20):
        Image.fromarray(np.full((8, 8, 3), shade + number, np.uint8)).save(folder / "pictures" / f"{number}.png")
    data = ["--data=ImageFolder", "--data.root=pictures", "--data.size=8", "--data.batch_size=4"]
    return ["fit", "--model=DCGAN", "--model.width=4", *data]


def test_a_checkpoint_by_a_figure_that_is_not_there_is_one_line(refused, folder):
    line = refused("fit", *DIGITS, *SMALL, evaluation(folder), "--checkpoint.monitor=val/fid")
    assert "looks at val/fid" in line and "use one of val/diversity" in line


def test_data_without_a_validation_split_is_one_line(refused, folder):
    line = refused(*pictures(folder), "--data.val_fraction=0", evaluation(folder), *QUIET)
    assert "ImageFolder has no val split" in line and "train" in line


def test_statistics_that_are_not_of_this_data_are_one_line(refused, folder):
    run = [*pictures(folder), "--data.val_fraction=0.3", evaluation(folder)]
    main([*run, *SMALL, *BRIEF])
    pictures(folder, shade=200)
    assert "made of other data" in refused(*run, *QUIET)
    (file,) = (folder / "runs" / "statistics").iterdir()
    file.write_bytes(b"words")
    assert "cannot be read" in refused(*run, *QUIET)


# ---------------------------------------------------------------- help


@pytest.mark.parametrize("args", [[], ["-h"], ["--help"]])
def test_help_names_every_command(args, capsys):
    main(args)
    said = capsys.readouterr().out
    assert all(re.search(rf"^  {command} ", said, re.MULTILINE) for command in COMMANDS)


@pytest.mark.parametrize("command", ["fit", "predict", "sample", "interpolate", "arithmetic", "neighbours"])
def test_help_of_a_command(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    said = capsys.readouterr().out
    assert stopped.value.code == 0 and command in said.splitlines()[0]
    assert ("--ckpt_path" if command in ("fit", "predict") else "--checkpoint") in said


@pytest.mark.parametrize(
    ("args", "option"), [(["--model.help=DCGAN"], "--model.width"), (["--data.help=Digits"], "--data.size")]
)
def test_help_of_a_class(args, option, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *args])
    assert stopped.value.code == 0 and option in capsys.readouterr().out


def test_every_link_of_the_help_is_there(capsys):
    main(["--help"])
    named = re.findall(r"configs/\S+\.yaml", capsys.readouterr().out)
    assert named and all((CONFIGS.parent / name).is_file() for name in named)


def test_help_is_fast():
    args = [sys.executable, "-X", "importtime", "-m", "lightning_gans", "--help"]
    done = subprocess.run(args, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "lightning-gans COMMAND" in done.stdout
    imported = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "lightning_gans" in imported and not imported & {"torch", "lightning", "numpy"}


def test_console_script():
    script = Path(sys.executable).with_name("lightning-gans")
    if not script.exists():
        pytest.skip("the package is not installed")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"lightning-gans {lightning_gans.__version__}\n")


# ---------------------------------------------------------------- mistakes

REMEDY = r"\b(expected?|use|give|name|did you mean|known are|lists?|copy|add|change|leave|end it|keep|delete)\b"


@pytest.fixture
def refused(capsys, folder):
    """Run a command that must be refused; its one line comes back."""

    def refused(*args):
        kept = sorted(folder.rglob("*.ckpt"))
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(arg) for arg in args])
        lines = capsys.readouterr().err.splitlines()
        assert stopped.value.code == 2
        assert len(lines) == 1 and lines[0].startswith("lightning-gans: error: ")
        assert len(lines[0]) < 400 and "Traceback" not in lines[0]
        assert re.search(REMEDY, lines[0], re.IGNORECASE), f"no remedy: {lines[0]}"
        assert sorted(folder.rglob("*.ckpt")) == kept
        return lines[0]

    return refused


ENSEMBLE = [
    "--model.generator=StochasticEnsembleGenerator",
    "--model.classifier=DigitClassifier",
    "--data=Digits",
    "--data.size=28",
]
FUNCTIONS = ("sample", "interpolate", "arithmetic", "neighbours")
RING_GAN = ["--model=GAN", "--model.generator=MLPGenerator", "--model.discriminator=MLPDiscriminator"]
MISTAKES = {
    "command": (["fti"], ["fti", "did you mean 'fit'"]),
    "command that is like no other": (["paint"], ["paint", ", ".join(COMMANDS)]),
    "option": (["fit", "--model=DCGAN", "--experment=mine"], ["experment"]),
    "option of the model": (["fit", "--model=DCGAN", "--model.widht=8"], ["DCGAN", "widht"]),
    "option of the data": (["fit", *DIGITS, "--data.siz=8"], ["Digits", "siz"]),
    "option of an optimizer": (["fit", *DIGITS, "--model.generator_optimizer.rate=1"], ["generator_optimizer", "rate"]),
    "model": (["fit", "--model=DCGN"], ["DCGN", "did you mean DCGAN"]),
    "model that is like no other": (["fit", "--model=Zzz"], ["Zzz"]),
    "data": (["fit", "--model=DCGAN", "--data=Digts"], ["Digts", "did you mean Digits"]),
    "objective": (["fit", *DIGITS, "--model.objective=Wassersten"], ["Wassersten", "did you mean Wasserstein"]),
    "callback": (["fit", *DIGITS, "--trainer.callbacks+=GradientPenlty"], ["GradientPenlty", "mean GradientPenalty"]),
    "logger": (["fit", *DIGITS, "--trainer.logger=WandLogger"], ["WandLogger", "did you mean WandbLogger"]),
    "type in the model": (["fit", "--model=DCGAN", "--model.width=wide"], ["width", "wide", "int"]),
    "type in the trainer": (["fit", *DIGITS, "--trainer.max_epochs=many"], ["max_epochs", "many", "int"]),
    "value of the model": (["fit", "--model=DCGAN", "--model.width=-3"], ["width", "-3"]),
    "value of a callback": (["fit", *DIGITS, "--samples.columns=0"], ["columns=0", "at least 1"]),
    "shape": (["fit", "--model=DCGAN", "--model.image_shape=[1,8,8]"], ["model.image_shape", "--data.labels"]),
    "shape after a blank": (["fit", "--model", "WGAN", "--model.sample_shape", "[2]"], ["model.sample_shape"]),
    "classes": (["fit", *DIGITS, "--model.num_classes=10"], ["model.num_classes", "--data.labels true"]),
    "classes of a network": (
        ["fit", *RING_GAN, "--data=GaussianRing", "--model.generator.init_args.num_classes=3"],
        ["model.generator.init_args.num_classes", "--data.labels true"],
    ),
    "config that is missing": (["fit", "--config=nowhere.yaml"], ["nowhere.yaml", "exist"]),
    "MNIST": (["fit", "--model=DCGAN", "--data=MNIST", "--data.root=nothing"], ["nothing/MNIST/raw", "copy its files"]),
    "folder": (
        ["fit", "--model=DCGAN", "--data=ImageFolder", "--data.root=nothing"],
        ["root=nothing", "give the folder"],
    ),
    "size": (["fit", *DIGITS, "--data.size=4"], ["size=4", "at least 8"]),
    "batch size": (["fit", *DIGITS, "--data.batch_size=9999"], ["batch_size=9999", "use batch_size <="]),
    "devices": (["fit", *DIGITS, "--trainer.accelerator=cpu", "--trainer.devices=-1"], ["-1", "CPU", "such as 2"]),
    "clipping": (["fit", *DIGITS, "--trainer.gradient_clip_val=0.7"], ["0.7", "discriminator_clip"]),
    "accumulation": (["fit", *DIGITS, "--trainer.accumulate_grad_batches=3"], ["3", "discriminator_accumulation"]),
    "steps": (["fit", *DIGITS, "--trainer.max_steps=0"], ["max_steps=0", "above 0"]),
    "n_critic": (["fit", *DIGITS, "--model.n_critic=0"], ["n_critic=0", "above 0"]),
    "images for points": (["fit", "--model=DCGAN", "--data=GaussianRing"], ["(2,)", "MLPGenerator"]),
    "no model": (["fit"], ["model", "--model DCGAN"]),
    "no model but data": (["fit", "--data=Digits"], ["model", "--model DCGAN"]),
    "checkpoint that is missing": (["fit", *DIGITS, "--ckpt_path=nowhere.ckpt"], ["nowhere.ckpt"]),
    "no last checkpoint": (["fit", *DIGITS, "--ckpt_path=last"], ["last", "runs/dcgan_digits", "give a checkpoint"]),
    "sample without a checkpoint": (["sample"], ["checkpoint"]),
    "sample of a missing checkpoint": (["sample", "--checkpoint=nowhere.ckpt"], ["nowhere.ckpt"]),
    "option of sample": (["sample", "--checkpont=nowhere.ckpt"], ["checkpont"]),
    "interpolate without a checkpoint": (["interpolate", "--seeds=[1,2]"], ["checkpoint"]),
    "arithmetic without seeds": (["arithmetic", "--checkpoint=nowhere.ckpt", "--a=[1]", "--b=[2]"], ["give --c"]),
    "neighbours of a missing checkpoint": (["neighbours", "--checkpoint=nowhere.ckpt"], ["nowhere.ckpt"]),
    "neighbours in data that there are not": (
        ["neighbours", "--checkpoint=nowhere.ckpt", "--data=Digts"],
        ["Digts", "did you mean Digits"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(mistake, refused, monkeypatch):
    def no_network(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", no_network)
    args, says = MISTAKES[mistake]
    line = refused(*args, *([] if len(args) == 1 or args[0] in FUNCTIONS else QUIET[:1]))
    assert all(word in line for word in says), line


def linear(**arguments):
    return {"class_path": "Linear", "init_args": {"start": 0.1, **arguments}}


WRONG = [  # a stabilizer, its arguments, the game, and what its line says
    ("LabelSmoothing", {"real": 1.5}, DIGITS, ["LabelSmoothing(real=1.5)", "in (0, 1]"]),
    ("LabelSmoothing", {}, ["--model=WGAN", *DIGITS[1:]], ["LabelSmoothing", "Wasserstein", "leave"]),
    ("LabelFlipping", {"probability": -0.1}, DIGITS, ["LabelFlipping(probability=-0.1)", "in [0, 1]"]),
    ("InstanceNoise", {"sigma": -0.5}, DIGITS, ["InstanceNoise(sigma=-0.5)", "at least 0"]),
    ("InstanceNoise", {"sigma": linear(updates=0)}, DIGITS, ["Linear", "updates of at least 1"]),
    ("InstanceNoise", {"sigma": linear(end=-1)}, DIGITS, ["InstanceNoise", "at least 0"]),
    ("Dropout", {"generator": 1.5}, DIGITS, ["Dropout(generator=1.5)", "[0, 1)"]),
    ("ExperienceReplay", {"share": 2}, DIGITS, ["ExperienceReplay(share=2", "in [0, 1]"]),
    ("ExperienceReplay", {"size": 7}, DIGITS, ["ExperienceReplay(size=7)", "16 fakes of a batch"]),
    ("ExperienceReplay", {"size": 10**13}, DIGITS, ["ExperienceReplay", "GiB", "expected a smaller size"]),
    ("ImagePool", {"size": 7}, DIGITS, ["ImagePool(size=7)", "16 fakes of a batch"]),
    ("CheckpointSwap", {"keep": 0}, DIGITS, ["CheckpointSwap(keep=0)", "at least 1"]),
    ("GeneratorEMA", {"half_life": -1}, DIGITS, ["GeneratorEMA(half_life=-1", "at least 0"]),
    ("R1Penalty", {"weight": -1}, DIGITS, ["R1Penalty(weight=-1", "at least 0"]),
    ("R1Penalty", {"every": 0}, DIGITS, ["R1Penalty(every=0)", "at least 1"]),
    ("JSRegularizer", {}, ["--model=WGAN", *DIGITS[1:]], ["JSRegularizer", "Wasserstein", "use NonSaturating"]),
    ("VirtualBatchNorm", {"size": 65}, [*DIGITS, "--data.size=16"], ["VirtualBatchNorm(size=65)", "16 samples"]),
    ("VirtualBatchNorm", {}, [*RING_GAN, "--data=GaussianRing"], ["VirtualBatchNorm", "no BatchNorm"]),
    ("Packing", {"samples": 3}, DIGITS, ["Packing(samples=3)", "batch of 16", "multiple of 3"]),
    ("FeatureMatching", {}, ["--model=SEPGAN", *ENSEMBLE], ["FeatureMatching", "features", "leave it out"]),
    ("R1Penalty", {}, ["--model=SEPGAN", *ENSEMBLE], ["R1Penalty", "SEPGAN has none"]),
    ("SpectralNorm", {}, ["--model=SEPGAN", *ENSEMBLE], ["SpectralNorm"]),
    ("DifferentiableAugmentation", {}, [*RING_GAN, "--data=GaussianRing"], ["DifferentiableAugmentation", "images"]),
    ("BalancedUpdates", {"rule": {"class_path": "ByAccuracy", "init_args": {"low": 0.9}}}, DIGITS, ["low <= high"]),
]


@pytest.mark.parametrize(
    ("name", "arguments", "game", "says"), WRONG, ids=lambda value: value if type(value) is str else ""
)
def test_a_stabilizer_that_is_wrong_is_one_line(name, arguments, game, says, refused, folder):
    callback = {"class_path": name, "init_args": arguments}
    (folder / "wrong.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks+": [callback]}}))
    size = [] if "--data.batch_size=16" in game or "--data=GaussianRing" in game else ["--data.batch_size=16"]
    line = refused("fit", *game, *size, "--config=wrong.yaml", *QUIET[:1])
    assert all(word in line for word in says), line


def test_a_schedule_that_outlasts_its_run_is_one_line_on_the_way(folder, recwarn):
    main(
        ["fit", *DIGITS, "--config", str(CONFIGS / "stabilizers/instance_noise.yaml"), "--trainer.max_steps=2", *QUIET]
    )
    (line,) = [str(warning.message) for warning in recwarn if "reaches its end" in str(warning.message)]
    assert "after 10000 generator updates, but this run has 2" in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(refused):
    assert "gpu" in refused("fit", *DIGITS, "--trainer.accelerator=gpu")


def test_suggestions_are_classes_of_a_config(refused):
    from lightning_gans.cli_errors import class_names

    assert {"GAN", "DCGAN", "Digits", "MLPGenerator", "Uniform", "Hinge", "Adam", "GradientPenalty"} <= set(
        class_names()
    )
    assert not {"ABC", "Tensor", "Iterable", "as_latents", "initialize"} & set(class_names())


BROKEN = {
    "syntax": ("model: [1, 2\n  x: {", ["faulty.yaml", "line 2"]),
    "words": ("just words\n", []),
    "nothing": ("", []),
    "list": ("- model\n- data\n", []),
    "bytes": (b"\xff\xfe\x00\x81", []),
    "unknown key": ("modell: DCGAN\n", ["modell"]),
    "image_shape": (
        "model: {class_path: DCGAN, init_args: {image_shape: [1, 8, 8]}}\n",
        ["model.init_args.image_shape"],
    ),
    "num_classes of a network": (
        "model:\n  class_path: GAN\n  init_args:\n    discriminator: MLPDiscriminator\n    generator:\n"
        "      class_path: MLPGenerator\n      init_args: {num_classes: 3}\ndata: GaussianRing\n",
        ["model.init_args.generator.init_args.num_classes", "--data.labels true"],
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_config_with_a_fault_is_one_line(fault, refused, folder):
    text, says = BROKEN[fault]
    (folder / "faulty.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    line = refused("fit", "--config=faulty.yaml")
    assert all(word in line for word in says or ["faulty.yaml"]), line


@pytest.mark.parametrize("flags", [["-c", "faulty.yaml"], ["--config", "faulty.yaml"], ["-c=faulty.yaml"]])
def test_every_way_to_give_a_config_is_looked_into(flags, refused, folder):
    (folder / "faulty.yaml").write_text(BROKEN["image_shape"][0])
    assert "model.init_args.image_shape" in refused("fit", *flags)


def test_an_empty_picture_folder(refused, folder):
    (folder / "empty").mkdir()
    for labels in ("false", "true"):
        args = ["fit", "--model=DCGAN", "--data=ImageFolder", "--data.root=empty", f"--data.labels={labels}"]
        assert "empty" in refused(*args, *QUIET[:1])


FILES = {
    "text": b"hello\n",
    "other text": b"just a text, no checkpoint\n",
    "nothing": b"",
    "noise": bytes(np.random.default_rng(0).integers(0, 256, 3000, dtype=np.uint8)),
}


@pytest.mark.parametrize("content", FILES)
def test_a_file_that_is_no_checkpoint(content, refused, folder):
    (folder / "wrong.file").write_bytes(FILES[content])
    assert "wrong.file" in refused("sample", "--checkpoint=wrong.file")
    assert "wrong.file" in refused("fit", *DIGITS, "--ckpt_path=wrong.file", *SMALL)


def test_a_checkpoint_of_something_else(refused, folder):
    torch.save({"weights": torch.ones(2)}, folder / "wrong.file")
    assert "wrong.file" in refused("sample", "--checkpoint=wrong.file")
    for command in ("fit", "test"):
        assert "wrong.file" in refused(command, *DIGITS, "--ckpt_path=wrong.file", *SMALL)


def test_a_checkpoint_of_another_model(refused, run):
    line = refused("fit", "--model=WGAN", "--data=Digits", "--ckpt_path", last(run), *SMALL)
    assert "DCGAN" in line and "WGAN" in line.replace("DCGAN", "") and "use the config" in line
    line = refused("fit", *DIGITS, "--data.size=16", "--ckpt_path", last(run), *SMALL)
    assert "shape" in line and "use the config" in line


def test_mistakes_of_sample(refused, run, conditional_run):
    assert "labels=[3]" in refused("sample", "--checkpoint", last(run), "--labels=[3]")
    assert "10" in refused("sample", "--checkpoint", last(conditional_run), "--labels=[3,10]")
    assert "num=0" in refused("sample", "--checkpoint", last(run), "--num=0")
    assert "many" in refused("sample", "--checkpoint", last(run), "--num=many")
    for out in ("grid.xyz", "grid"):
        assert f"'{out}'" in refused("sample", "--checkpoint", last(run), "--out", out)
        assert not Path(out).exists()


def test_threads_reach_torch(folder):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        main(["fit", *DIGITS, *SMALL, *BRIEF, "--threads=1"])
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


# ---------------------------------------------------------------- workspaces and sweeps at W&B


def sections_of(path):
    made = json.loads(Path(path).read_text())
    config = made["spec"]["section"]["panelBankConfig"]
    return made, {section["name"]: [panel["config"] for panel in section["panels"]] for section in config["sections"]}


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """W&B without a network and without anybody logged in, whatever the machine has."""
    pytest.importorskip("wandb_workspaces")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")


def test_a_workspace_has_panels_for_whatever_a_run_logs(offline, run, capsys):
    main(["workspace", "--project=mine"])
    said = capsys.readouterr().out
    assert "in workspace.json" in said and "WANDB_MODE is offline" in said and "wandb login" in said
    made, sections = sections_of("workspace.json")
    assert (made["project"], made["displayName"]) == ("mine", "GAN")
    groups = ["samples", "val", "loss", "discriminator", "generator", "gradients", "health", "progress"]
    assert list(sections) == groups
    assert sections["samples"][0]["mediaKeys"] == ["samples/grid"]
    lines = [panel for name, panels in sections.items() if name != "samples" for panel in panels]
    assert {panel["xAxis"] for panel in lines} == {"trainer/global_step"}
    for key in [key for key in metrics(run)[0] if "/" in key]:
        assert any(key in panel["metrics"] or re.search(panel.get("metricRegex", "^$"), key) for panel in lines), key
    for key in (
        "val/fd",
        "val/reverse_kl_floor",
        "loss/gradient_penalty",
        "health/generator_gradient",
        "health/energy",
    ):
        assert any(re.search(panel.get("metricRegex", "^$"), key) for panel in lines), key
    assert [panel["chartTitle"] for panel in lines if panel.get("yLogScale")] == ["Learning rates", "Gradient norms"]


def test_a_workspace_takes_names_and_a_file(offline, capsys):
    main(["workspace", "--project=mine", "--entity=us", "--name=Digits", "--out=made/panels.json"])
    made, _ = sections_of("made/panels.json")
    assert (made["project"], made["entity"], made["displayName"]) == ("mine", "us", "Digits")
    assert not Path("workspace.json").exists()


@pytest.mark.parametrize("entity", [[], ["--entity=us"]], ids=str)
def test_a_workspace_without_a_login_is_a_file(offline, monkeypatch, capsys, entity):
    monkeypatch.setenv("WANDB_MODE", "online")
    main(["workspace", "--project=mine", *entity])
    said = capsys.readouterr().out
    reason = "(No API key configured|api_key not configured|HTTPConnectionPool)"  # by version of wandb
    assert Path("workspace.json").is_file() and re.search(f"Not saved at W&B: {reason}", said)


def test_a_workspace_is_saved_where_somebody_is_logged_in(offline, monkeypatch, capsys):
    from wandb_workspaces.workspaces import Workspace

    saved = []
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(Workspace, "save", lambda self: saved.append((self.entity, self.project)))
    monkeypatch.setattr(Workspace, "url", "https://wandb.example/mine")
    main(["workspace", "--project=mine", "--entity=us"])
    assert saved == [("us", "mine")] and not Path("workspace.json").exists()
    assert capsys.readouterr().out == "The workspace is at https://wandb.example/mine\n"
    main(["workspace", "--project=mine", "--entity=us", "--out=kept.json"])
    assert Path("kept.json").is_file()


def test_a_workspace_says_what_it_needs(offline, monkeypatch, refused):
    for project in ("", "us/mine"):
        assert "expected a project's name" in refused("workspace", f"--project={project}")
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
    line = refused("workspace", "--project=mine")
    assert 'pip install -U "lightning-gans[workspace]"' in line


SWEEP = yaml.safe_load((CONFIGS / "sweeps" / "two_rates.yaml").read_text())


def sweep_command(**chosen):
    """The command line that W&B's agent makes of the sweep with these values, in the order of their names."""
    arguments = [f"--{name}={value}" for name, value in sorted(chosen.items())]
    words = [word for part in SWEEP["command"] for word in (arguments if part == "${args}" else [part])]
    assert words[:2] == ["${env}", "${program}"] and SWEEP["program"] == "lightning-gans"
    return [word.replace("=configs/", f"={CONFIGS}/") for word in words[2:]]


def sweep_choices():
    """The first and the last of all values."""
    values = {name: parameter["values"] for name, parameter in SWEEP["parameters"].items()}
    return [{name: given[place] for name, given in values.items()} for place in (0, -1)]


def test_the_sweep_is_one_that_wandb_takes():
    assert SWEEP["method"] in ("grid", "random", "bayes") and SWEEP["metric"]["goal"] in ("minimize", "maximize")
    assert all(list(parameter) == ["values"] for parameter in SWEEP["parameters"].values())
    assert set(SWEEP) == {"program", "project", "method", "metric", "parameters", "command"}
    assert all((CONFIGS.parent / config).is_file() for config in SWEEP["parameters"]["config"]["values"])


@pytest.mark.parametrize("chosen", sweep_choices(), ids=str)
def test_the_values_of_the_sweep_are_understood(capsys, chosen):
    config = printed(capsys, *sweep_command(**chosen)[1:])
    for player in ("generator", "discriminator"):
        rate = config["model"]["init_args"][f"{player}_optimizer"]["init_args"]["lr"]
        assert rate == chosen[f"model.{player}_optimizer.lr"]
    named = [callback["class_path"].rsplit(".")[-1] for callback in config["trainer"]["callbacks"]]
    stabilizer = yaml.safe_load((CONFIGS.parent / chosen["config"]).read_text())["trainer"].get("callbacks+", [])
    assert named == ["Evaluation", *(callback["class_path"] for callback in stabilizer)]
    assert config["trainer"]["logger"]["class_path"].endswith("WandbLogger")


@pytest.mark.slow
def test_every_combination_of_the_sweep_is_understood(capsys):
    values = [[(name, value) for value in one["values"]] for name, one in SWEEP["parameters"].items()]
    for chosen in itertools.product(*values):
        assert printed(capsys, *sweep_command(**dict(chosen))[1:])["model"]["class_path"].endswith("DCGAN")


@pytest.mark.slow
def test_the_sweep_measures_what_it_is_after(folder):
    chosen = sweep_choices()[1]
    main([*sweep_command(**chosen), "--trainer.max_epochs=1", "--trainer.limit_train_batches=2", *QUIET])
    (run,) = folder.glob("runs/*/version_0")
    assert np.isfinite(column(run, SWEEP["metric"]["name"])).all() and column(run, SWEEP["metric"]["name"])
