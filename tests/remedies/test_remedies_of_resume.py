"""Every remedy for a run that is resumed works when it is typed."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import torch
from remedied import command, each_row

pytestmark = [pytest.mark.untrusted, pytest.mark.slow]

QUIET = ["--data=Digits", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
QUIET += ["--trainer.enable_model_summary=false", "--samples.every_n_epochs=0", "--report.enabled=false"]
QUIET += ["--trainer.limit_train_batches=1", "--trainer.limit_val_batches=0", "--trainer.log_every_n_steps=1"]
DCGAN = ["--model=DCGAN", "--model.width=2", "--model.latent_dim=3", *QUIET]
MLP = ["--model=GAN", "--model.generator=MLPGenerator", "--model.discriminator=MLPDiscriminator"]
MLP += ["--model.generator.width=2", "--data=GaussianRing", *QUIET[1:]]
RUN = "runs/dcgan_digits/version_0"
LAST = f"{RUN}/checkpoints/last.ckpt"
BEST = ["--checkpoint.monitor=val/generator_loss", "--trainer.limit_val_batches=1"]
WEIGHTS_ONLY = ["--checkpoint.save_weights_only=true"]
EVALUATION = ["--trainer.callbacks+=Evaluation", "--trainer.callbacks.metrics=[FrechetDistance]"]
LOCK = "import fcntl, os, sys; file = os.open(sys.argv[1], os.O_RDWR); fcntl.lockf(file, fcntl.LOCK_EX)"
LOCK += "; print(flush=True); input()"


@cache
def files(options):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train(*options)
        return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def begin(*options):
    """Lay down a run of one batch, and return its last checkpoint."""
    shutil.rmtree("runs", ignore_errors=True)
    for name, content in files(options).items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content)
    return LAST


def train(*options):
    return command("fit", *DCGAN, "--trainer.max_epochs=1", *options)


def resume(*options, run=RUN, last=None):
    """Resume a run of one batch, and find it continued in its folder."""
    command("fit", *DCGAN, "--trainer.max_epochs=2", *options)
    assert torch.load(last or f"{run}/checkpoints/last.ckpt", weights_only=True)["global_step"] == 2


def try_first_batches(*options):
    command("fit", *DCGAN, "--trainer.fast_dev_run=1", *options)


def evaluate(given=None):
    command("test", *DCGAN, "--trainer.limit_test_batches=1", *([] if given is None else [f"--ckpt_path={given}"]))


# ---------------------------------------------------------------- a checkpoint that does not fit


def with_saved_config(run=RUN):
    last = f"{run}/checkpoints/last.ckpt"
    command("fit", f"--config={run}/config.yaml", "--trainer.max_epochs=2", f"--ckpt_path={last}")
    assert torch.load(last, weights_only=True)["global_step"] == 2


def make_shallower():
    command("fit", *MLP, "--model.generator.depth=2", "--trainer.max_epochs=1")
    command("fit", *MLP, "--model.generator.depth=1", "--trainer.max_epochs=2", "--ckpt_path=last")


def resume_with(**changes):
    saved = torch.load(begin(), weights_only=True)
    saved["callbacks"] |= changes.pop("callbacks", {})
    torch.save({**saved, **changes}, "changed.ckpt")
    resume("--ckpt_path=changed.ckpt")


def resume_saved_with(value):
    begin()
    assert f"save_weights_only: {value}" in Path(RUN, "config.yaml").read_text()
    resume("--ckpt_path=last")


# ---------------------------------------------------------------- a run in progress, a full disk


@contextmanager
def in_progress():
    """Hold the lock of a run's folder in another process."""
    pipe = subprocess.PIPE
    other = subprocess.Popen([sys.executable, "-c", LOCK, f"{RUN}/.lock"], stdin=pipe, stdout=pipe, text=True)
    other.stdout.readline()
    try:
        yield
    finally:
        other.communicate("end\n")


def resume_in_progress(*options, run=RUN):
    begin()
    with in_progress():
        resume(*options, run=run)


def resume_after_its_end():
    with in_progress():
        pass
    resume("--ckpt_path=last")


@contextmanager
def full_disk():
    def save(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "save", save)
        yield


def resume_on_full_disk():
    begin()
    with full_disk():
        resume("--ckpt_path=last")


def resume_in_another_place(which):
    begin()
    resume("--checkpoint.dirpath=another", f"--ckpt_path={which}", last="another/last.ckpt")


def start_on_full_disk():
    with full_disk():
        train()


# ---------------------------------------------------------------- last and best


def without_readable():
    Path(begin()).rename("kept.ckpt")
    for name in ("last.ckpt", "step_0000001.ckpt"):
        Path(RUN, "checkpoints", name).write_bytes(b"cut off")
    resume("--ckpt_path=last")


def without_best():
    begin(*BEST)
    next(Path(RUN, "checkpoints").glob("step_*")).unlink()
    evaluate("best")


def train_for_best(metric):
    train(*EVALUATION, f"--checkpoint.monitor={metric}", "--trainer.limit_val_batches=1")
    evaluate("best")


REMEDIES = {
    "the checkpoint was made by … and does not fit this": (
        lambda: resume(f"--ckpt_path={begin()}", "--model.width=4"),
        {"use the config that was saved beside the checkpoint": with_saved_config},
    ),
    "the checkpoint does not fit this … (": (
        make_shallower,
        {
            "use the config that was saved beside the checkpoint": lambda: with_saved_config(
                "runs/gan_gaussianring/version_0"
            )
        },
    ),
    ", and the model is a": (
        lambda: train(f"--ckpt_path={begin()}", "--model=WGAN"),
        {"use the config that was saved beside the checkpoint": with_saved_config},
    ),
    "the checkpoint cannot be restored (": (
        lambda: resume_with(callbacks={"FailureMonitor": {"state": "healthy"}}),
        {"give another checkpoint": lambda: resume(f"--ckpt_path={LAST}")},
    ),
    "the checkpoint cannot be restored: its part": (
        lambda: resume_with(optimizer_states=[3]),
        {"give another checkpoint": lambda: resume(f"--ckpt_path={LAST}")},
    ),
    "the checkpoint holds weights only": (
        lambda: resume(f"--ckpt_path={begin(*WEIGHTS_ONLY)}"),
        {
            "or start from these weights with --from {}": lambda path: train("--from", path),
            "give one that was saved with --checkpoint.save_weights_only {},": resume_saved_with,
        },
    ),
    "Nothing left to train": (
        lambda: warnings.warn(train(f"--ckpt_path={begin()}"), stacklevel=1),
        {"give a larger number to continue the run": lambda: resume("--ckpt_path=last")},
    ),
    "--from starts a new run and --ckpt_path continues one": (
        lambda: resume(f"--from={begin()}", "--ckpt_path=last"),
        {"leave one of them out": lambda: (train(f"--from={LAST}", "--experiment=new"), resume("--ckpt_path=last"))},
    ),
    "--trainer.fast_dev_run tries the first batches": (
        lambda: try_first_batches(f"--ckpt_path={begin()}"),
        {
            "give --from FILE in place of --ckpt_path": lambda: try_first_batches(f"--from={LAST}"),
            "leave one of them out": lambda: (try_first_batches(), resume(f"--ckpt_path={LAST}")),
        },
    ),
    "needs a trained model": (
        lambda: (begin(*BEST), evaluate()),
        {"give --ckpt_path FILE": lambda: evaluate(LAST), "or '{}' or": evaluate, "or '{}' for": evaluate},
    ),
    "the run in … is in progress": (
        lambda: resume_in_progress("--ckpt_path=last"),
        {
            "or give --experiment {} --ckpt_path {} to": lambda name, path: resume_in_progress(
                f"--experiment={name}", f"--ckpt_path={path}", run=f"runs/{name}/version_0"
            ),
            "wait for its end": resume_after_its_end,
        },
    ),
    "could not be written": (
        resume_on_full_disk,
        {
            "Make room": lambda: resume("--ckpt_path=last"),
            "or give another place, then resume with --ckpt_path {}": resume_in_another_place,
        },
    ),
    "--ckpt_path last: none of": (
        without_readable,
        {"give a checkpoint's path": lambda: resume("--ckpt_path=kept.ckpt", run=RUN.replace("0", "1"))},
    ),
    "--ckpt_path last: no run below": (
        lambda: resume(f"--ckpt_path={begin() and 'last'}", "--experiment=mine"),
        {"give a checkpoint's path": lambda: resume(f"--ckpt_path={LAST}")},
    ),
    "--ckpt_path best: …, which had the best": (
        without_best,
        {"give the path of another checkpoint": lambda: evaluate(LAST)},
    ),
    "--ckpt_path best: no run below": (
        lambda: (begin(), evaluate("best")),
        {
            "give --ckpt_path {} or a file": evaluate,
            "or a file": lambda: evaluate(LAST),
            "train with an Evaluation (configs/metrics/) and --checkpoint.monitor {} for one": train_for_best,
        },
    ),
}
MORE = {  # of messages that library_messages does not find
    "there is no earlier one. Make room": (
        start_on_full_disk,
        {"Make room or give another place, then start the run again": train},
    )
}
NO_MESSAGES = ("In fit, start a new run with the weights of this checkpoint",)


test_a_remedy_works = each_row(REMEDIES | MORE)
