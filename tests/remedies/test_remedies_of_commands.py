"""Every remedy for a mistake on the command line works when it is typed."""

import inspect
import sys
from importlib import metadata
from pathlib import Path

import pytest
from lightning_utilities.core.imports import RequirementCache
from remedied import command, each_row

pytestmark = [pytest.mark.untrusted, pytest.mark.slow]

CONFIGS = Path(__file__).parents[2] / "configs"
DCGAN = ["--model=DCGAN", "--model.width=2", "--model.latent_dim=3"]
STEP = ["--trainer.max_steps=1", "--trainer.barebones=true", "--trainer.accelerator=cpu"]
MLP = ["--model=GAN", "--model.discriminator=MLPDiscriminator", "--data=GaussianRing", *STEP]
PLAIN = "{class_path: PlainGenerator, init_args: {module: {class_path: torch.nn.PReLU}}}"
NETWORKS = ("DCGANGenerator", "DCGANDiscriminator")
EVALUATION = ["--trainer.callbacks+=Evaluation", "--trainer.callbacks.metrics=[FrechetDistance]"]
FLAGS = ("trainer.barebones", "trainer.enable_checkpointing")
HINGE = "--model.objective=lightning_gans.objectives.Hinge"
KEEPING = [*DCGAN, "--data=Digits", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
KEEPING += ["--trainer.enable_model_summary=false", "--samples.every_n_epochs=0", "--report.enabled=false"]
KEEPING += ["--trainer.max_epochs=1", "--trainer.limit_train_batches=1", "--trainer.limit_val_batches=1"]


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")


def step(*options, model="DCGAN"):
    """Train on one batch, without any files."""
    sizes = DCGAN[1:] if model == "DCGAN" else []
    return command("fit", f"--model={model}", *sizes, "--data=Digits", *STEP, *options)


def keep(*options):
    """Train on one batch, and keep a run."""
    return command("fit", *KEEPING, *options)


WITHOUT_LABELS = "--model.discriminator.num_classes=0"


def acgan(*options):
    """Train a conditional GAN on one batch."""
    step(
        "--model.generator=MLPGenerator",
        "--model.discriminator=MLPDiscriminator",
        "--data.labels=true",
        *options,
        model="GAN",
    )


OPTIONS = ("--model.generator=DCGANGenerator", "--model.discriminator=DCGANDiscriminator")
WITHOUT_NORM = """
model:
  class_path: GAN
  init_args:
    generator: {class_path: DCGANGenerator, init_args: {width: 2}}
    discriminator: {class_path: DCGANDiscriminator, init_args: {width: 2, norm: null}}
data: {class_path: Digits, init_args: {size: 8}}
"""


LIMITED = ["--trainer.limit_test_batches=1", "--trainer.enable_progress_bar=false"]


# ---------------------------------------------------------------- configs


def with_config(text=None):
    """Train by a config with this text, or by one of those in configs/."""
    path = CONFIGS / "vanilla_ring.yaml"
    if text is not None:
        path = Path("given.yaml")
        path.write_text(text)
    command("fit", "--config", path, *STEP, "--trainer.log_every_n_steps=null")


def own_callback(**settings):
    own = {"save_top_k": -1, "filename": "own_{step}", **settings}
    return ["--trainer.callbacks+=ModelCheckpoint", *(f"--trainer.callbacks.{key}={own[key]}" for key in own)]


def parse(objective):
    """Read a setting with little left of the stack, as Python's limit is on it."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 250)
    try:
        step(f"--model.objective={objective}", "--print_config")
    finally:
        sys.setrecursionlimit(limit)


# ---------------------------------------------------------------- options


def checkpoints_without(flag, *flags):
    """Train with those of these flags but for one."""
    keep(*(f"--{one}=true" for one in flags if one != flag))


def arithmetic(*options, keeps=False):
    checkpoint = []
    if keeps:
        keep()
        checkpoint = ["--checkpoint=runs/dcgan_digits/version_0/checkpoints/last.ckpt"]
    command("arithmetic", *checkpoint, *options)


def tested(option):
    """Test a run from its checkpoint, given by this option."""
    keep()
    run = "runs/dcgan_digits/version_0"
    command("test", f"--config={run}/config.yaml", f"{option}={run}/checkpoints/last.ckpt", *LIMITED)


def plain(module="torch.nn.PReLU", *options):
    """Train a GAN whose generator is a module of torch."""
    generator = PLAIN.replace("torch.nn.PReLU", module)
    command("fit", "--model=GAN", f"--model.generator={generator}", *options, "--model.generator.latents=2", *MLP[1:])


def lists(option, name, flag, *values):
    assert option in command(name, f"--{flag}", *values)


# ---------------------------------------------------------------- packages


def without(module, act):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module, None)
        act()


def install(extra):
    """See that pip would install the package of this extra, as it is here, and do what needed it."""
    needed = [one for one in metadata.requires("lightning-gans") if f'extra == "{extra}"' in one]
    assert any("wandb-workspaces" in one for one in needed)
    workspace()


def workspace(project="mine"):
    command("workspace", f"--project={project}")


def monitor_device(psutil=True):
    """Use a callback that needs psutil, which is installed here."""
    with pytest.MonkeyPatch.context() as patch:
        if psutil is not True:
            patch.setattr("lightning.pytorch.callbacks.device_stats_monitor._PSUTIL_AVAILABLE", psutil)
        keep("--trainer.callbacks+=DeviceStatsMonitor")


REMEDIES = {
    "expected one of the commands": (
        lambda: command("paint"),
        {"expected one of the commands {},": lambda name: command(name, *DCGAN, *STEP)},
    ),
    "name a model, such as --model DCGAN": (
        lambda: command("fit", *STEP),
        {"name a model, such as --model {},": lambda name: step(model=name), "or give a --config": with_config},
    ),
    "is of another kind than expected here": (
        lambda: step(model="MNIST"),
        {"give one that fits": lambda: step(model="DCGAN")},
    ),
    "install it, or leave this option out": (
        lambda: monitor_device(RequirementCache("psutil>=99")),
        {"install it": monitor_device, "or leave this option out": keep},
    ),
    "give another option, or install the package with pip": (
        lambda: monitor_device(False),
        {
            "give another option": lambda: keep("--trainer.callbacks+=LearningRateMonitor"),
            "or install the package with pip": monitor_device,
        },
    ),
    "the settings are nested too deeply": (
        lambda: parse("[" * 700 + "]" * 700),
        {"give simpler ones": lambda: parse("Hinge")},
    ),
    "'…': …; give another path": (
        lambda: (Path("file").touch(), keep("--runs=file/below")),
        {"give another path": lambda: keep("--runs=folder")},
    ),
    "a number is too large for this machine": (
        lambda: step(f"--data.size={10**20}"),
        {"give smaller ones": lambda: step("--data.size=9")},
    ),
    "no file can have the name": (
        lambda: command("fit", f"--config={'a' * 300}"),
        {"give the path of a config": with_config},
    ),
    "is given twice": (
        lambda: with_config("model: VanillaGAN\ndata: GaussianRing\nmodel: DCGAN\n"),
        {"leave one of them": lambda: with_config("model: VanillaGAN\ndata: GaussianRing\n")},
    ),
    "is not a YAML file": (
        lambda: with_config("model: [1, 2\n  x: {"),
        {"give a config such as those in configs/": with_config},
    ),
    "holds no settings": (lambda: with_config(""), {"give a config such as those in configs/": with_config}),
    "is nested too deeply or contains itself": (
        lambda: with_config("model: &a {class_path: DCGAN, init_args: *a}\n"),
        {"give a config such as those in configs/": with_config},
    ),
    "the value contains itself": (
        lambda: step("--trainer.callbacks=&a [*a]"),
        {"without an alias (*)": lambda: step("--trainer.callbacks=[]")},
    ),
    "is set from the data (its": (
        lambda: step("--model.image_shape=[1,9,9]"),
        {
            "change the data instead: its size": lambda: step("--data.size=9"),
            "for classes, --data.labels {}.": lambda value: step(f"--data.labels={value}"),
        },
    ),
    "is set from the data (its …) and cannot be given": (
        lambda: command("fit", *MLP, "--model.generator=MLPGenerator", "--model.discriminator.num_classes=3"),
        {
            "--data.labels {};": lambda value: step(f"--data.labels={value}"),
            "a discriminator without labels is given {}": lambda number: command(
                "fit", *MLP, "--model.generator=MLPGenerator", f"--model.discriminator.num_classes={number}"
            ),
        },
    ),
    "so that nothing teaches the generator its labels": (
        lambda: acgan(WITHOUT_LABELS),
        {
            "give the discriminator num_classes={} (on the command line leave its num_classes out)": lambda _: acgan(),
            "or add AuxiliaryClassifier ({})": lambda option: acgan(WITHOUT_LABELS, option),
        },
    ),
    "expected the name of a folder in --runs": (
        lambda: keep("--experiment=../up"),
        {
            "such as {};": lambda name: keep(f"--experiment={name}"),
            "use letters, digits, '_' and '-'": lambda: keep("--experiment=My-run_2"),
        },
    ),
    "expected the path of a folder in characters": (
        lambda: keep("--runs=\x1b[2J"),
        {"in characters that can be printed": lambda: keep("--runs=mine")},
    ),
    "with the same settings, whose states": (
        lambda: keep(*own_callback(), *own_callback()),
        {
            "give ModelCheckpoint once": lambda: keep(*own_callback()),
            "or change the settings of one of them": lambda: keep(*own_callback(), *own_callback(every_n_epochs=2)),
        },
    ),
    "with the same monitor, mode and intervals": (
        lambda: keep(*own_callback(), "--checkpoint.dirpath=kept"),
        {
            "change the settings of that callback instead": lambda: keep(*own_callback(dirpath="kept")),
            "or leave it out": lambda: keep("--checkpoint.dirpath=kept"),
        },
    ),
    "does not give a file name": (
        lambda: keep("--checkpoint.filename={step:x y}"),
        {"give a pattern such as '{}'": lambda pattern: keep(f"--checkpoint.filename={pattern}")},
    ),
    "expected a project's name": (lambda: workspace(""), {"such as {}": workspace}),
    "null cannot be given on the command line": (
        lambda: step(*OPTIONS, "--model.discriminator.norm=null", model="GAN"),
        {"write it in a --config file": lambda: with_config(WITHOUT_NORM)},
    ),
    "workspace needs the package": (
        lambda: without("wandb_workspaces.reports.v2", workspace),
        {'add it: pip install -U "lightning-gans[{}]"': install},
    ),
}
MORE = {  # of messages that library_messages does not find
    "unknown command": (lambda: command("fti"), {"did you mean '{}'?": lambda name: command(name, *DCGAN, *STEP)}),
    "unknown class 'DCGN'": (lambda: step(model="DCGN"), {"did you mean {} or": lambda name: step(model=name)}),
    "unknown class 'Zzz'": (
        lambda: step("--model.objective=Zzz"),
        {
            "give a class of this library": lambda: step("--model.objective=Hinge"),
            "or a full import path": lambda: step(HINGE),
        },
    ),
    "was passed. Checkpointing can impact": (
        lambda: checkpoints_without("", *FLAGS),
        {"leave out --{} or --{}.": lambda *flags: [checkpoints_without(flag, *FLAGS) for flag in flags]},
    ),
    "No quantity for top_k to track": (
        lambda: keep("--checkpoint.save_top_k=3"),
        {
            "give a --checkpoint.monitor, such as {} of an Evaluation": lambda metric: keep(
                *EVALUATION, "--checkpoint.save_top_k=3", f"--checkpoint.monitor={metric}"
            ),
            "or --checkpoint.save_top_k {} or {}.": lambda *numbers: [
                keep(f"--checkpoint.save_top_k={number}") for number in numbers
            ],
        },
    ),
    "are required: a, b, c": (
        lambda: arithmetic("--checkpoint=x.ckpt"),
        {"give --{} and --{} and --{}.": lambda *names: arithmetic(*(f"--{name}=[1]" for name in names), keeps=True)},
    ),
    "are required: generator, discriminator": (
        lambda: step(model="GAN"),
        {
            "give --{} and --{}.": lambda *names: step(
                *(f"--{name}={kind}" for name, kind in zip(names, NETWORKS, strict=True)), model="GAN"
            )
        },
    ),
    "are required: in_features, out_features": (
        lambda: plain("torch.nn.Linear"),
        {"give --{} and --{}.": lambda *names: plain("torch.nn.Linear", *(f"--{name}=2" for name in names))},
    ),
    "are required: monitor": (
        lambda: keep("--trainer.callbacks+=EarlyStopping"),
        {"give --{}.": lambda name: keep("--trainer.callbacks+=EarlyStopping", f"--{name}=val/generator_loss")},
    ),
    "Option 'widht' is not accepted": (
        lambda: step("--model.widht=3"),
        {
            "`lightning-gans {} --{} {}` lists the options": lambda *words: (
                lists("--model.width", *words),
                step("--model.width=3"),
            )
        },
    ),
    "unrecognized arguments": (
        lambda: command("sample", "--checkpont=x"),
        {"`--help` after the command lists the options": lambda: lists("--checkpoint", "sample", "help")},
    ),
    "does not correspond to a subclass of Generator": (
        lambda: command("fit", "--model.generator=torch.nn.PReLU", *MLP),
        {f"give a plain torch module in a PlainGenerator: {PLAIN}": plain},
    ),
    "give the import path of a class of that kind": (
        lambda: step("--model.objective=torch.nn.Tanh"),
        {"give the import path of a class of that kind": lambda: step(HINGE)},
    ),
    "Not a valid subclass of": (
        lambda: step("--model.objective=[3]"),
        {"give the import path of a class of that kind": lambda: step(HINGE)},
    ),
    "codec can't decode": (lambda: tested("--checkpoint"), {"a checkpoint is given as {}": tested}),
    "File does not exist": (
        lambda: command("fit", "--config=nowhere.yaml"),
        {"give the path of a config": with_config},
    ),
    "use --trainer.accelerator cpu": (
        lambda: step("--trainer.accelerator=mps"),
        {"use --trainer.accelerator {}.": lambda name: step(f"--trainer.accelerator={name}")},
    ),
}
RESCUE = "trials/test_rescue.py::test_what_cannot_be_rescued_gets_one_line_whose_remedy_works"
ELSEWHERE = {
    "the monitor has named no failure in": RESCUE,
    "expected numbers above 0, such as 60, 1 and 3": RESCUE,
    "expected the folder of a run of `lightning-gans fit`": RESCUE,
    "does not hold the config of a run": RESCUE,
    "--state '…': expected one of": RESCUE,
    "Train with it, from the beginning": (
        "trials/test_rescue.py::test_each_remedy_is_tried_beside_the_run_unchanged_and_the_best_has_a_config"
    ),
    "wait until it has ended": "trials/test_trials.py::test_two_processes_do_not_make_the_same_trials",
    "does not take images of shape …": "models/test_robust_classifier.py::test_any_network_can_be_trained",
    "for two images, expected (2, …)": "models/test_robust_classifier.py::test_any_network_can_be_trained",
    "holds a trial with other settings": (
        "trials/test_trials.py::test_a_trial_that_has_ended_is_not_repeated_and_another_of_its_name_refused"
    ),
    "nor a function that is declared to return": (
        "cli/test_factories.py::test_the_remedy_works_and_so_does_a_function_that_says_what_it_returns"
    ),
    "give WANDB_MODE=offline before the command": (
        "cli/test_run_loggers.py::test_wandb_writes_into_the_run_folder_and_gets_the_whole_config"
    ),
}
CANNOT_BE_DONE = {"log in by `wandb login`": "it needs an account"}
NO_MESSAGES = (
    "^(Subtypes: .*|Errors:",
    "^- Expected a <class '(?:float|int)'>.*$",
    "^- Expected a dot import path string: .*$",
    "expected [^\\n]*)$",
    "(?:Expected a dot import path string|Unexpected import path format|No module named)",
)


test_a_remedy_works = each_row(REMEDIES | MORE)
