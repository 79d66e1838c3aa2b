"""Runs of the command line that are killed and resumed, and their comparison with an uninterrupted run.

The tests of this folder and `benchmarks/reliability_resume.py` use it. A run is a fork of a process that has imported
everything, so that it starts in a tenth of a second; the command and the signals are real.
"""

import json
import math
import os
import random
import re
import signal
import socket
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from lightning_gans.__main__ import main

CONFIGS = Path(__file__).parents[1] / "configs"
STEPS = ["--trainer.max_epochs=4", "--trainer.limit_train_batches=10", "--trainer.log_every_n_steps=1"]
COMMON = [
    *STEPS,
    "--experiment=one",
    "--trainer.accelerator=cpu",
    "--trainer.limit_val_batches=2",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--monitor.every_n_steps=4",
    "--monitor.num_samples=16",
    "--samples.num_samples=8",
    "--report.enabled=false",
]
MIDDLE = [
    f"--config={Path(__file__).with_name('middle.yaml')}"
]  # without it, checkpoints are saved at the end of every epoch
BATCHES = 40
IMAGES = ["--data=Digits", "--data.batch_size=16"]
RING = ["--data=GaussianRing", "--data.batch_size=32", "--data.num_val_samples=64"]
MLPS = [
    "--model.generator=MLPGenerator",
    "--model.generator.latents=4",
    "--model.generator.width=16",
    "--model.discriminator=MLPDiscriminator",
    "--model.discriminator.width=16",
]


def stabilizers(*names):
    return [f"--config={CONFIGS / 'stabilizers' / name}.yaml" for name in names]


MODELS = {  # every model, with all stabilizers that have a state or draw random numbers; each takes a second or two
    "VanillaGAN": [
        "--model=VanillaGAN",
        "--model.generator_width=64",
        "--model.discriminator_width=16",
        *IMAGES,
        *stabilizers("instance_noise", "label_smoothing", "dropout"),
    ],
    "DCGAN": [
        "--model=DCGAN",
        "--model.width=4",
        *IMAGES,
        "--data.labels=true",
        *stabilizers("generator_ema", "experience_replay", "minibatch_stddev", "spectral_norm"),
    ],
    "WGAN": ["--model=WGAN", "--model.width=4", *IMAGES, *stabilizers("image_pool", "historical_averaging")],
    "WGANGP": [
        "--model=WGANGP",
        "--model.width=4",
        "--model.n_critic=2",
        *IMAGES,
        *stabilizers("generator_ema", "differentiable_augmentation"),
    ],
    "UnrolledGAN": ["--model=UnrolledGAN", "--model.unroll_steps=2", *MLPS, *RING, "--data.fresh=true"],
    "SEPGAN": [
        "--model=SEPGAN",
        "--model.generator=StochasticEnsembleGenerator",
        "--model.generator.width=2",
        "--model.generator.groups=3",
        "--model.classifier=DigitClassifier",
        "--data=Blank",
        "--data.image_shape=[1,28,28]",
        "--data.num_samples=160",
        "--data.batch_size=8",
    ],
    "GAN": [
        "--model=GAN",
        *MLPS,
        *RING,
        "--data.labels=true",
        "--model.generator_scheduler=ExponentialLR",
        "--model.generator_scheduler.gamma=0.99",
        "--model.discriminator_scheduler=CosineAnnealingLR",
        "--model.discriminator_scheduler.T_max=50",
        *stabilizers("r1_penalty", "label_flipping", "balanced_updates", "checkpoint_swap", "weight_decay"),
    ],
}


# ---------------------------------------------------------------- a run in a process of its own


def start(folder, args, ranks=1, before=None):
    """Run `lightning-gans fit` in a forked process, or in one per rank, and return the ids of the processes."""
    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pids = []
    for rank in range(ranks):
        pid = os.fork()
        if pid == 0:
            _run(folder, args, rank, ranks, port, before)
        pids.append(pid)
    return pids


def _run(folder, args, rank, ranks, port, before):
    code = 1
    try:
        os.setpgid(0, 0)  # so that its workers can be killed with it
        os.chdir(folder)
        log = os.open(f"log_{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        warnings.simplefilter("ignore")
        if ranks > 1:
            address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank)}
            os.environ |= {**address, "NODE_RANK": "0", "WORLD_SIZE": str(ranks)}
        if before is not None:
            before()
        main(["fit", *args])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def finish(pids, timeout=120.0):
    """Wait for processes and return their exit codes, −9 for one that was killed."""
    codes, until = {}, time.monotonic() + timeout
    while len(codes) < len(pids):
        for pid in pids:
            if pid not in codes and (done := os.waitpid(pid, os.WNOHANG))[0]:
                codes[pid] = os.waitstatus_to_exitcode(done[1])
        if time.monotonic() > until:
            kill(pids)
            raise TimeoutError(f"processes {pids} did not end in {timeout} s")
        time.sleep(0.002)
    return [codes[pid] for pid in pids]


def kill(pids, signum=signal.SIGKILL):
    for pid in pids:
        for send, number in ((os.killpg, pid), (os.kill, pid)):  # the process alone, where it does not lead a group yet
            try:
                send(number, signum)
                break
            except ProcessLookupError:
                continue


def fit(folder, args, ranks=1, before=None):
    codes = finish(start(folder, args, ranks, before))
    if any(codes):
        raise RuntimeError(f"exit codes {codes}: " + (folder / "log_0.txt").read_text()[-3000:])


def mark(folder):
    """Return what changes when a run is about to train: when the newest config of its folder was written."""
    return max((path.stat().st_mtime_ns for path in folder.glob("runs/one/*/config.yaml")), default=0)


def begun(folder, before, pids):
    """Wait until the run is about to train; `before` is the mark from before it was started."""
    while mark(folder) <= before:
        if any(os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) for pid in pids):
            return
        time.sleep(0.01)


def timed(folder, args, ranks=1):
    """Run without an interruption, and return the seconds from the creation of the run's folder to the end."""
    pids = start(folder, args, ranks)
    begun(folder, 0, pids)
    since = time.monotonic()
    if any(codes := finish(pids)):
        raise RuntimeError(f"exit codes {codes}: " + (folder / "log_0.txt").read_text()[-3000:])
    return time.monotonic() - since


def until_done(folder, args, seconds, kills, source, ranks=1):
    """Kill a run at random moments, resume it each time, then let it end; return the number of kills that hit it."""
    hits = 0
    while True:
        resumed = ["--ckpt_path=last"] if any(folder.glob("runs/one/*/checkpoints/*.ckpt")) else []
        ahead = 1 - (batches_of(folder) / BATCHES if resumed else 0)
        before = mark(folder)
        pids = start(folder, [*args, *resumed], ranks)
        if hits < kills:
            begun(folder, before, pids)
            time.sleep(source.uniform(0, 0.75 * seconds * ahead))  # a run can be faster than the timed one
            kill(pids)
        codes = finish(pids)
        if set(codes) == {0}:
            return hits
        if -signal.SIGKILL not in codes:
            raise RuntimeError(f"exit codes {codes}: " + (folder / "log_0.txt").read_text()[-3000:])
        hits += 1


# ---------------------------------------------------------------- results


@dataclass
class Results:
    """Everything that a run has in its folder at the end."""

    checkpoint: dict
    rows: list
    images: dict
    health: dict
    files: list


def results(folder):
    """Return the results of the last run; one that was killed before its first checkpoint is begun anew."""
    run = max(folder.glob("runs/one/version_*"), key=lambda path: int(path.name.split("_")[1]))
    saved = [torch.load(path, weights_only=True) for path in run.glob("checkpoints/*.ckpt")]
    last = _without_version(max(saved, key=lambda one: one["global_step"]))
    health = run / "health.json"
    return Results(
        {key: value for key, value in last.items() if key not in _RESTART_COUNTERS},
        (run / "metrics.csv").read_text().splitlines(),
        {path.name: path.read_bytes() for path in run.glob("samples/epoch_*.png")},
        json.loads(health.read_text()) if health.is_file() else {},
        [path.name for path in run.glob("checkpoints/*-v*.ckpt")],
    )


_RESTART_COUNTERS = {"loops"}  # of Lightning, which count interruptions


def _without_version(tree):
    """Return a tree of tensors and plain values without the version in the names of folders."""
    if isinstance(tree, dict):
        return {_without_version(key): _without_version(value) for key, value in tree.items()}
    return re.sub(r"version_\d+", "version", tree) if isinstance(tree, str) else tree


def differences(one, other, where=""):
    """Return the places in which two trees of tensors and plain values are not bitwise identical."""
    if isinstance(one, dict) and isinstance(other, dict):
        parts = sorted(set(one) | set(other), key=str)
        missing = object()
        return [
            place
            for part in parts
            for place in differences(one.get(part, missing), other.get(part, missing), f"{where}/{part}")
        ]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return [
            place
            for i, (a, b) in enumerate(zip(one, other, strict=True))
            for place in differences(a, b, f"{where}/{i}")
        ]
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same_kind = one.dtype == other.dtype and one.shape == other.shape
        return [] if same_kind and bool(((one == other) | (one.isnan() & other.isnan())).all()) else [where]
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other):
        return []
    return [] if type(one) is type(other) and one == other else [where]


def compare(interrupted, whole, images=True):
    """Return the places in which an interrupted run and an uninterrupted one differ, none where resuming is exact."""
    first, second = results(interrupted), results(whole)
    found = differences(first.checkpoint, second.checkpoint)
    found += [f"metrics.csv{place}" for place in differences(first.rows, second.rows)]
    found += [f"health.json{place}" for place in differences(first.health, second.health)]
    found += [f"checkpoints{place}" for place in differences(first.files, second.files)]
    if images:
        found += [f"image{place}" for place in differences(first.images, second.images)]
    return found


def batches_of(folder):
    saved = [torch.load(path, weights_only=True, mmap=True) for path in folder.glob("runs/one/*/checkpoints/*.ckpt")]
    return max(one["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["processed"] for one in saved)


def seeded(*words):
    return random.Random(repr(words))
