"""Random command lines from valid and invalid parts, and their outcomes."""

import contextlib
import io
import os
import random
import re
import traceback
from dataclasses import dataclass
from pathlib import Path

import attacks
import torch

from lightning_gans.cli.main import main

QUICK = {  # a run of one step, and of at most 20 seconds
    "--trainer.max_epochs": "1",
    "--trainer.max_steps": "1",
    "--trainer.max_time": "00:00:00:20",
    "--trainer.limit_val_batches": "1",
    "--trainer.accelerator": "cpu",
    "--trainer.enable_progress_bar": "false",
    "--trainer.enable_model_summary": "false",
    "--samples.every_n_epochs": "0",
    "--report.enabled": "false",
    "--data.batch_size": "16",
}
MODELS = [
    {"--model": "DCGAN", "--model.width": "2", "--model.latent_dim": "3", "--data": "Digits"},
    {"--model": "VanillaGAN", "--model.latent_dim": "3", "--data": "GaussianRing"},
    {"--model": "WGANGP", "--model.width": "2", "--model.latent_dim": "3", "--data": "Digits"},
    {"--model": "UnrolledGAN", "--model.generator": "MLPGenerator", "--model.discriminator": "MLPDiscriminator"}
    | {"--model.unroll_steps": "1", "--data": "GaussianRing"},
    {"--config": "good.yaml"},
]
NUMBERS = ["", "0", "-1", "-0", "nan", "inf", "-inf", "1e308", "1e400", "99999999999999999999", "0.5", "-3.7", "1_0"]
WORDS = ["true", "null", "[]", "{}", "[1,2]", "{a: 1}", "text", "ünï ☃", "a b", "[[[[", "}", ":", "- a", "*", "%s", "'"]
WORDS += ["{class_path: os.system}", "{class_path: Adam, init_args: {lr: nan}}", "&a [*a]", "2026-01-01", "0x10", "\n"]
WORDS += ["!!python/object/apply:os.system [true]", "{class_path: 3}", "{init_args: {}}", "[null]", "a.b.c", "\t"]
WORDS += ["\x00", "\udcff", "[" * 700]
PATHS = ["", ".", "/", "missing", "missing/file", "text.txt", "text.txt/below", "folder", "/dev/null", "/proc/none"]
PATHS += ["a" * 300, "ünï ☃.png", "\x00", "good.ckpt", "cut.ckpt", "empty", "binary", "evil.ckpt", "http:/x", "~no/x"]
CHECKPOINTS = ["good.ckpt", "good.ckpt", "ring.ckpt", "cut.ckpt", "evil.ckpt", "changes.ckpt", "halfway.ckpt"]
CHECKPOINTS += [
    "python.ckpt",
    "good.safetensors",
    "cut.safetensors",
    "other.safetensors",
    "last",
    "best",
    "hpc",
    *PATHS,
]
CONFIGS = ["empty", "binary", "deep.yaml", "list.yaml", "twice.yaml", "itself.yaml", "round.yaml"]
CONFIGS += ["null.yaml", "types.yaml", "callbacks.yaml", "tab.yaml", "python.yaml", "number.yaml", "unicode.yaml"]
CONFIGS += ["good.yaml", *PATHS]

_NUMBERED = """
model.width model.latent_dim model.n_critic model.generator_clip model.discriminator_clip model.generator_accumulation
model.generator_optimizer.lr model.discriminator_optimizer.beta1 model.unroll_steps model.image_shape
data.batch_size data.size data.val_fraction data.num_modes seed_everything threads
trainer.max_epochs trainer.max_steps trainer.max_time trainer.min_epochs trainer.limit_train_batches
trainer.limit_val_batches trainer.log_every_n_steps trainer.gradient_clip_val trainer.accumulate_grad_batches
trainer.val_check_interval trainer.check_val_every_n_epoch trainer.overfit_batches trainer.num_sanity_val_steps
trainer.fast_dev_run checkpoint.every_n_epochs checkpoint.save_top_k
samples.num_samples samples.columns samples.every_n_epochs samples.seed
"""
_NAMED = """
model data model.objective model.generator_optimizer model.generator_scheduler model.generator model.discriminator
data.labels trainer.precision trainer.strategy trainer.logger trainer.callbacks trainer.callbacks+ trainer.plugins
trainer.profiler trainer.accelerator trainer.benchmark trainer.deterministic trainer.detect_anomaly
trainer.inference_mode trainer.barebones trainer.enable_checkpointing checkpoint.monitor checkpoint.mode
checkpoint.filename report.enabled monitor samples optimizer nonsense trainer.nonsense model.nonsense trainer model.help
print_config
"""
_NAMES = [
    *WORDS,
    *NUMBERS,
    "DCGAN",
    "Digits",
    "Hinge",
    "GradientPenalty",
    "ImageFolder",
    "MNIST",
    "SEPGAN",
    "GAN",
    "32",
]


def _each(keys, values):
    return {f"--{key}": values for key in keys.split()}


FIT = {  # the options that are changed, and their values
    **_each(_NUMBERED, NUMBERS + WORDS),
    **_each(_NAMED, _NAMES),
    **_each("experiment runs checkpoint.dirpath trainer.default_root_dir data.root", PATHS),
    "--config": CONFIGS,
    "-c": CONFIGS,
    "--ckpt_path": CHECKPOINTS,
    # of these a large number would start as many processes
    **_each("trainer.devices data.num_workers trainer.num_nodes", ["-3", "0.5", "nan", "x", "[]", ""]),
}
OUT = {"--out": [*PATHS, "a.png", "a.gif", "a.xyz", "folder/a.png", "new/a.png", "/dev/full", "a.safetensors"]}
OTHERS = {
    "sample": {**OUT, **_each("num seed labels routes numbered trust", NUMBERS + WORDS)},
    "interpolate": {**OUT, **_each("seeds rows steps spherical labels", [*NUMBERS, *WORDS, "[1,2,3]", "[0,-1]"])},
    "arithmetic": {**OUT, **_each("a b c labels noise seed", [*NUMBERS, *WORDS, "[1,2]", "[-1]"])},
    "neighbours": {
        **OUT,
        **_each("num k seed labels compared", NUMBERS + WORDS),
        **_each("data features", [*WORDS, "Digits", "GaussianRing", "DigitFeatures", "Blank", "DCGAN"]),
        "--data.root": PATHS,
    },
    "export": {**OUT, **_each("trust", WORDS + NUMBERS)},
    "workspace": {**OUT, **_each("project entity name", WORDS + NUMBERS + PATHS)},
}
NEEDED = {
    "sample": {"--num": "4"},
    "interpolate": {"--rows": "2", "--steps": "2"},
    "arithmetic": {"--a": "[1]", "--b": "[2]", "--c": "[3]"},
    "neighbours": {"--data": "Digits", "--num": "2", "--k": "1", "--compared": "20"},
    "export": {"--out": "out.safetensors"},
}
_FAILED = re.compile("lightning-gans: failed: (batch|the checkpoint) ")
LIGHTNING = ("fit", "validate", "test", "predict")


@contextlib.contextmanager
def at(folder):
    """Work in a folder inside the block; `contextlib.chdir` needs Python 3.11."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def prepare(folder):
    """Write the files that command lines name into a folder: a valid run, and invalid files of every kind."""
    import wandb  # noqa: F401 - it keeps the streams that it finds at import, which must not be those of `run`

    folder = Path(folder)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), at(folder):
        options = [f"{key}={value}" for key, value in (MODELS[0] | QUICK).items()]
        main(["fit", *options, "--runs=made", "--experiment=one"])
    adam = torch.load(folder / "made/one/version_0/checkpoints/last.ckpt", weights_only=True)
    torch.save(adam, folder / "good.ckpt")
    whole = (folder / "good.ckpt").read_bytes()
    (folder / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
    torch.save(adam | {"optimizer_states": [3], "loops": {"fit_loop": 3}}, folder / "halfway.ckpt")
    torch.save(adam | {"gan_network_changes": [{"class_path": 3}]}, folder / "changes.ckpt")
    torch.save(adam | {"hyper_parameters": {}, "gan_class": "lightning_gans.gan.GAN"}, folder / "python.ckpt")
    (folder / "evil.ckpt").write_bytes(attacks.pickles(folder / "it_ran")["in the weights"])
    ring = adam | {"state_dict": {"generator.weight": torch.ones(2)}, "gan_class": "lightning_gans.models.wgan.WGAN"}
    torch.save(ring, folder / "ring.ckpt")
    (folder / "folder").mkdir()
    (folder / "text.txt").write_text("words\n")
    (folder / "empty").touch()
    (folder / "binary").write_bytes(bytes(range(256)) * 20)
    for name, text in {
        "good.yaml": "model: {class_path: DCGAN, init_args: {width: 2, latent_dim: 3}}\ndata: Digits\n",
        "deep.yaml": "model: " + "[" * 700 + "]" * 700,
        "list.yaml": "- a\n- b\n",
        "twice.yaml": "model: DCGAN\nmodel: WGAN\n",
        "itself.yaml": "config: itself.yaml\nmodel: DCGAN\n",
        "round.yaml": "model: &a {class_path: DCGAN, init_args: *a}\n",
        "null.yaml": "model: null\ndata: null\ntrainer: null\n",
        "types.yaml": "model: 3\ndata: [1]\ntrainer: text\n",
        "callbacks.yaml": "model: DCGAN\ntrainer: {callbacks: [3, null, {class_path: x}]}\n",
        "tab.yaml": "model:\n\tclass_path: DCGAN\n",
        "python.yaml": "model: !!python/object/apply:os.system ['touch it_ran']\n",
        "number.yaml": "3\n",
        "unicode.yaml": "mödel: ☃\n? [a, b]\n: c\n1: 2\nnull: 3\n",
    }.items():
        (folder / name).write_text(text)
    with contextlib.redirect_stdout(io.StringIO()), at(folder):
        main(["export", "--checkpoint=good.ckpt", "--out=good.safetensors"])
    whole = (folder / "good.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[:-100])
    (folder / "other.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")


def generate(rng):
    """Return a command line: a valid one with up to three invalid options."""
    commands = [*["fit"] * 8, "validate", "test", "predict", *OTHERS]
    command = rng.choice(commands)
    if command in LIGHTNING:
        given, wrong = rng.choice(MODELS) | QUICK, FIT
        if command != "fit":
            given = given | {"--ckpt_path": rng.choice(["good.ckpt", *CHECKPOINTS])}
    elif command == "workspace":
        given, wrong = {"--project": "mine", "--out": "out.json"}, OTHERS[command]
    else:
        given = {"--checkpoint": rng.choice(["good.ckpt"] * 12 + CHECKPOINTS)} | NEEDED[command]
        wrong = OTHERS[command]
    given = dict(given)
    for key in rng.sample(sorted(wrong), min(len(wrong), rng.choice([0, 1, 1, 1, 2, 3]))):
        given[key] = rng.choice(wrong[key])
    if {"--trainer.max_epochs", "--trainer.max_steps"} & set(given) and rng.random() < 0.03:
        del given[
            rng.choice(sorted(set(given) - {"--trainer.max_epochs", "--trainer.max_steps", "--trainer.max_time"}))
        ]
    args = [f"{key}={value}" for key, value in given.items()]
    chance = rng.random()
    if chance < 0.05 and args:
        args.remove(rng.choice([one for one in args if not one.startswith("--trainer.max")] or args[:1]))
    elif chance < 0.09:
        args.insert(rng.randrange(len(args) + 1), rng.choice(["word", "--", "-x", "-1", "", "--=", "=", "---a", "ünï"]))
    elif chance < 0.12 and args:
        place = rng.randrange(len(args))
        if not args[place].startswith("--trainer.max"):
            at = rng.randrange(2, len(args[place]))
            args[place] = args[place][:at] + args[place][at + 1 :]
    return [command, *args]


@dataclass
class Outcome:
    """The outcome of a command line: "ran", "one line", or what went wrong."""

    what: str
    said: str = ""


def run(args):
    """Run a command line in this process and folder, and return its outcome."""
    out, err = io.StringIO(), io.StringIO()
    before = _run_folders()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main(args)
        outcome = Outcome("ran")
    except SystemExit as stopped:
        said = err.getvalue()
        lines = [line for line in said.splitlines() if line.startswith("lightning-gans: ")]
        if stopped.code in (0, None):
            outcome = Outcome("ran")
        elif stopped.code == 2 and len(lines) == 1 and said.rstrip().endswith(lines[0]) and "Traceback" not in said:
            outcome = Outcome("one line", lines[0])
            if not re.fullmatch(r"lightning-gans: error: \S.{8,1500}", lines[0]):
                outcome = Outcome("not a good line", lines[0])
        elif stopped.code == 1 and len(lines) == 1 and _FAILED.match(lines[0]):
            outcome = Outcome("ran", lines[0])  # until NaN or infinity, or a failed write, as it says
        else:
            outcome = Outcome(f"exit code {stopped.code}", said[-800:])
    except BaseException as error:
        frames = "".join(traceback.format_tb(error.__traceback__)[-3:])
        outcome = Outcome("traceback", f"{type(error).__name__}: {str(error)[:300]}\n{frames}")
    for folder in _run_folders() - before:
        if not (folder / "config.yaml").is_file() and outcome.what != "ran":
            outcome = Outcome(
                "half a run", f"{folder}: {[path.name for path in folder.rglob('*')]} after {outcome.said}"
            )
    return outcome


def _run_folders():
    return {path for path in Path.cwd().glob("**/version_*") if path.is_dir()}


def fuzz(number, seed=0):
    """Run random command lines in this folder, and yield each with its outcome."""
    rng = random.Random(seed)
    for _ in range(number):
        args = generate(rng)
        yield args, run(args)
