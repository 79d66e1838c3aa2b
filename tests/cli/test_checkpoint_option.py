"""Checkpoints on the command line: load, evaluate, predict and resume."""

import os
import warnings

import numpy as np
import pytest
import torch
from helpers import few, slow
from short_runs import (
    BRIEF,
    CONFIGS,
    DIGITS,
    LIGHTNING_WARNINGS,
    SMALL,
    WITH_REPORT,
    checkpoint,
    column,
    draw,
    last,
    same_state,
    settings_of,
    updates,
)

from lightning_gans import DCGAN, GAN, WGAN, WGANGP, VanillaGAN
from lightning_gans.callbacks import SampleGrid
from lightning_gans.cli.main import main
from lightning_gans.data import Digits
from lightning_gans.networks import GaussianWithCode
from lightning_gans.objectives import NonSaturating, Relativistic, Wasserstein

pytestmark = LIGHTNING_WARNINGS


RING = ["--data=GaussianRing", "--trainer.max_steps=5", *SMALL[1:], "--trainer.limit_train_batches=5"]
WIDE = ["--model.width=8", "--model.latent_dim=3"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "kind", "objective"),
    [
        ([*DIGITS, *SMALL], DCGAN, NonSaturating),
        slow(["--model=VanillaGAN", *RING, "--model.generator_width=8"], VanillaGAN, NonSaturating),
        (["--model=WGAN", *WIDE, "--model.clip=0.02", *RING], WGAN, Wasserstein),
        slow(["--model=WGANGP", *WIDE, "--model.gradient_penalty=0.3", *RING], WGANGP, Wasserstein),
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


@pytest.mark.slow
@pytest.mark.parametrize("command", ["validate", "test"])
def test_validate_and_test_use_the_checkpoint(command, run, folder, capsys):
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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run", "conditional_run"])
def test_predict_writes_samples(name, request, folder):
    run = request.getfixturevalue(name)
    main(["predict", "--config", str(run / "config.yaml"), "--ckpt_path", str(last(run))])
    samples = folder / "runs" / "dcgan_digits" / "version_0" / "samples"
    parts = [torch.load(path, weights_only=True) for path in sorted(samples.glob("batch_*.pt"))]
    size = len(Digits().load("test"))
    assert torch.cat(parts).shape == (size, 1, 8, 8) and torch.cat(parts).abs().max() <= 1
    assert len(torch.cat(parts).unique(dim=0)) == size, "all latents differ"
    assert len(list(samples.glob("batch_*.png"))) == len(parts) == 3


def test_a_run_resumes_from_a_checkpoint_of_another_place(run, folder):
    args = [*DIGITS, *WITH_REPORT, "--trainer.max_epochs=3"]
    main(["fit", *args, "--ckpt_path", str(last(run))])
    resumed = folder / "runs" / "dcgan_digits" / "version_0"
    before, after = checkpoint(run), checkpoint(resumed)
    assert [(saved["epoch"], saved["global_step"], updates(saved)) for saved in (before, after)] == [
        (1, 6, (6, 6)),
        (2, 9, (9, 9)),
    ]
    assert column(resumed, "progress/generator_updates") == [7, 8, 9]
    page = (resumed / "report.html").read_text()
    assert "resumed from" in page and os.path.relpath(last(run)) in page
    assert [path.name for path in sorted(resumed.glob("samples/epoch*"))] == ["epoch_0003.png"]
    latents = [saved["callbacks"]["SampleGrid"]["latents"] for saved in (before, after)]
    assert torch.equal(*latents)
    assert [state["state"][0]["step"] for state in after["optimizer_states"]] == [9, 9], "the optimizers too"
    main(["fit", "--config", str(resumed / "config.yaml")])
    repeated = checkpoint(resumed.with_name("version_1"))
    assert same_state(repeated["state_dict"], after["state_dict"]), "and the config of a resumed run repeats it"


def test_settings_given_with_a_checkpoint_are_kept(run, folder):
    main(
        ["fit", *DIGITS, *SMALL, *BRIEF, "--trainer.max_epochs=3", "--model.n_critic=3", "--ckpt_path", str(last(run))]
    )
    resumed = folder / "runs" / "dcgan_digits" / "version_0"
    assert settings_of(resumed)["model"]["init_args"]["n_critic"] == 3
    assert updates(checkpoint(resumed)) == (9, 7), "six before, then one of three batches"


LONGER = [*SMALL, "--trainer.max_epochs=3"]  # than the run, which has something left to train then
WRONG_FILES = {
    "text": b"hello\n",
    "other text": b"text, not a checkpoint\n",
    "nothing": b"",
    "noise": bytes(np.random.default_rng(0).integers(0, 256, 3000, dtype=np.uint8)),
}


@pytest.mark.parametrize("content", few(WRONG_FILES, "text", "noise"))
def test_a_file_that_is_not_a_checkpoint(content, refused, folder):
    (folder / "wrong.file").write_bytes(WRONG_FILES[content])
    assert "wrong.file" in refused("sample", "--checkpoint=wrong.file")
    assert "wrong.file" in refused("fit", *DIGITS, "--ckpt_path=wrong.file", *SMALL)


def test_a_file_of_other_tensors(refused, folder):
    torch.save({"weights": torch.ones(2)}, folder / "wrong.file")
    assert "wrong.file" in refused("sample", "--checkpoint=wrong.file")
    for command in ("fit", "test"):
        assert "wrong.file" in refused(command, *DIGITS, "--ckpt_path=wrong.file", *SMALL)


def test_a_checkpoint_of_another_model(refused, run):
    line = refused("fit", "--model=WGAN", "--data=Digits", "--ckpt_path", last(run), *LONGER)
    assert "DCGAN" in line and "WGAN" in line.replace("DCGAN", "") and "use the config" in line
    line = refused("fit", *DIGITS, "--data.size=16", "--ckpt_path", last(run), *LONGER)
    assert "shape" in line and "use the config" in line


@pytest.mark.parametrize("other", [["--model=WGAN"], ["--model=LSGANLike", "--import=like"], ["--model.width=8"]])
def test_a_finished_checkpoint_of_another_model_is_not_taken_for_this_one(other, refused, run, folder, monkeypatch):
    (folder / "like.py").write_text("from lightning_gans import DCGAN\n\n\nclass LSGANLike(DCGAN):\n    pass\n")
    monkeypatch.syspath_prepend(folder)
    line = refused("fit", *DIGITS, *SMALL, *other, "--ckpt_path", last(run))
    assert "DCGAN" in line and "use the config that was saved beside the checkpoint" in line
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("changes", [[], ["--trainer.callbacks+=SpectralNorm"]], ids=["plain", "changed networks"])
def test_a_finished_checkpoint_of_this_model_has_nothing_left_to_train(changes, folder, capsys):
    main(["fit", *DIGITS, *SMALL, *BRIEF, *changes])
    main(["fit", *DIGITS, *SMALL, *BRIEF, *changes, "--ckpt_path=last"])
    assert "Nothing left to train: 1 epochs are done" in capsys.readouterr().out


def without(saved, part):
    return {name: content for name, content in saved.items() if name != part}


DAMAGED = {  # what is wrong, and the part that the line names
    "an optimizer": (lambda saved: saved | {"optimizer_states": [3]}, "optimizer_states"),
    "the groups of an optimizer": (lambda saved: saved | {"optimizer_states": [{"state": {}}]}, "optimizer_states"),
    "no schedules": (lambda saved: without(saved, "lr_schedulers"), "lr_schedulers"),
    "the loops": (lambda saved: saved | {"loops": {"validate_loop": {}}}, "loops"),
    "the progress of a loop": (lambda saved: saved | {"loops": {"fit_loop": {"epoch_progress": {}}}}, "loops"),
    "the callbacks": (lambda saved: saved | {"callbacks": {"SampleGrid": 3}}, "callbacks"),
    "the counters": (lambda saved: saved | {"state_dict": saved["state_dict"] | {"_extra_state": 3}}, "state_dict"),
}


@pytest.mark.parametrize("fault", few(DAMAGED, "an optimizer", "the progress of a loop", "the counters"))
def test_a_damaged_part_of_a_checkpoint_is_one_line(fault, refused, run, folder):
    damage, part = DAMAGED[fault]
    torch.save(damage(checkpoint(run)), "damaged.ckpt")
    line = refused("fit", *DIGITS, "--ckpt_path=damaged.ckpt", *LONGER)
    assert f"--ckpt_path damaged.ckpt: the checkpoint cannot be restored: its part '{part}'" in line
    assert not (folder / "runs").exists()


def test_weights_alone_cannot_be_resumed_but_tested(refused, run):
    saved = {key: value for key, value in checkpoint(run).items() if key not in ("optimizer_states", "lr_schedulers")}
    torch.save(saved, "weights.ckpt")
    assert "holds weights only" in refused("fit", *DIGITS, "--ckpt_path=weights.ckpt", *SMALL)
    main(["test", *DIGITS, "--ckpt_path=weights.ckpt", *SMALL])


def test_a_checkpoint_with_more_weights_than_the_model_is_one_line(refused, run):
    saved = checkpoint(run)
    saved["state_dict"]["generator.extra"] = torch.ones(1)
    torch.save(saved, "larger.ckpt")
    line = refused("fit", *DIGITS, "--ckpt_path=larger.ckpt", *LONGER)
    assert "does not fit this DCGAN" in line and "generator.extra" in line


def test_a_url_is_checked_too(refused):
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://wrong.ckpt", "wb") as file:
        file.write(b"text")
    assert "'memory://wrong.ckpt' is not a checkpoint" in refused("fit", *DIGITS, "--ckpt_path=memory://wrong.ckpt")


def of_callback(saved, name, **state):
    (key,) = [key for key in saved["callbacks"] if name in key]
    return saved | {"callbacks": saved["callbacks"] | {key: state}}


UNREADABLE = {  # parts whose content only their owner knows
    "a callback's state": lambda saved: of_callback(saved, "FailureMonitor", state="healthy"),
    "the data's state": lambda saved: saved | {"Digits": {}},
    "the GAN's own state": lambda saved: (
        saved | {"state_dict": saved["state_dict"] | {"_extra_state": {"stabilizers": []}}}
    ),
    "a file of Lightning 1.4": lambda saved: saved | {"pytorch-lightning_version": "1.4.0"},
}


@pytest.mark.parametrize("fault", few(UNREADABLE, "a callback's state", "the GAN's own state"))
def test_a_state_that_its_owner_cannot_read_is_one_line(fault, refused, run, folder):
    torch.save(UNREADABLE[fault](checkpoint(run)), "damaged.ckpt")
    line = refused("fit", *DIGITS, "--ckpt_path=damaged.ckpt", *LONGER)
    assert "--ckpt_path damaged.ckpt: the checkpoint cannot be restored" in line
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("resumes", [True, False])
def test_a_bug_outside_of_restoring_keeps_its_traceback(resumes, run, monkeypatch):
    def bug(*args, **kwargs):
        raise KeyError("a bug")

    monkeypatch.setattr(SampleGrid, "on_train_start" if resumes else "setup", bug)
    with pytest.raises(KeyError, match="a bug"):
        main(["fit", *DIGITS, *SMALL, *(["--ckpt_path", str(last(run)), "--trainer.max_epochs=9"] if resumes else [])])


def test_checkpoints_by_batches_are_saved_without_lightnings_advice_to_save_another_state(folder):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        main(["fit", *DIGITS, *SMALL, *BRIEF, "--checkpoint.every_n_train_steps=2"])
    assert not any("pre-optimization" in str(one.message) for one in caught)
    (run,) = folder.glob("runs/*/version_0")
    assert checkpoint(run)["global_step"] == 3
