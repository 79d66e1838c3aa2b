"""Callables in a config must make what their setting takes; nothing is called that does not."""

import pytest
import yaml
from helpers import slow
from short_runs import BRIEF, DIGITS, LIGHTNING_WARNINGS, RING_GAN, SMALL

from lightning_gans import GAN
from lightning_gans.cli.main import main

pytestmark = LIGHTNING_WARNINGS
TOUCH = "touch it_ran"
SETTINGS = {  # setting of a GAN's config → the kind that it takes
    "generator_scheduler": "LRScheduler",
    "discriminator_scheduler": "LRScheduler",
    "generator_optimizer": "Optimizer",
    "discriminator_optimizer": "Optimizer",
    "generator.init_args.activation": "Module",
    "generator.init_args.norm": "Module",
    "discriminator.init_args.activation": "Module",
    "discriminator.init_args.norm": "Module",
    "objective": "Objective",
    "generator.init_args.latents": "Latents",
}
WRONG = {
    "a function": {"class_path": "os.system", "init_args": {"command": TOUCH}},
    "a function as text": "os.system",
    "a process": {"class_path": "subprocess.Popen", "init_args": {"args": TOUCH, "shell": True}},
    "a builtin": {"class_path": "builtins.exec", "init_args": {"source": "open('it_ran', 'w')"}},
    "a function of Python": {"class_path": "subprocess.getoutput", "init_args": {"cmd": TOUCH}},
    "a bound method": {"class_path": "pathlib.Path.touch", "init_args": {"self": "it_ran"}},
    "a class of another kind": {"class_path": "lightning_gans.data.Digits"},
}


def config(setting, value):
    model = {
        "class_path": "GAN",
        "init_args": {
            "generator": {"class_path": "MLPGenerator", "init_args": {"width": 4, "latents": 2}},
            "discriminator": {"class_path": "MLPDiscriminator", "init_args": {"width": 4}},
        },
    }
    place = model["init_args"]
    *way, name = setting.split(".")
    for step in way:
        place = place[step]
    place[name] = value
    return {"model": model, "data": "GaussianRing"}


CASES = [(setting, "a function") for setting in SETTINGS] + [("generator_scheduler", wrong) for wrong in WRONG]
CASES += [("generator.init_args.activation", wrong) for wrong in list(WRONG)[1::2]]
IN_SHORT = {"generator_scheduler", "discriminator_optimizer", "generator.init_args.activation", "objective"}
CASES = [case if case[0] in IN_SHORT and case[1] in ("a function", "a bound method") else slow(*case) for case in CASES]


@pytest.mark.parametrize(("setting", "wrong"), CASES)
def test_what_a_setting_does_not_take_is_refused_and_not_called(wrong, setting, folder, refused):
    (folder / "c.yaml").write_text(yaml.safe_dump(config(setting, WRONG[wrong])))
    line = refused("fit", "--config=c.yaml", *SMALL)
    assert SETTINGS[setting] in line and "give the import path of" in line
    assert not (folder / "it_ran").exists() and not (folder / "runs").exists()


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_no_command_calls_it(command, run, folder, refused):
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings["model"]["init_args"]["generator_scheduler"] = WRONG["a function"]
    (folder / "c.yaml").write_text(yaml.safe_dump(settings))
    line = refused(command, "--config=c.yaml", "--ckpt_path", run / "checkpoints" / "last.ckpt")
    assert "generator_scheduler: os.system is no class of LRScheduler" in line and "not called" in line
    assert not (folder / "it_ran").exists()


def test_the_remedy_works_and_so_does_a_function_that_says_what_it_returns(folder):
    scheduler = "{class_path: torch.optim.lr_scheduler.ExponentialLR, init_args: {gamma: 0.5}}"
    activation = "--model.generator.activation=torch.nn.ELU"
    main(
        [
            "fit",
            *RING_GAN,
            "--data=GaussianRing",
            activation,
            f"--model.generator_scheduler={scheduler}",
            *SMALL,
            *BRIEF,
        ]
    )
    (run,) = folder.glob("runs/*/version_0")
    assert "ELU" in str(GAN.load_from_checkpoint(run / "checkpoints/last.ckpt").generator)
    (folder / "my_acts.py").write_text(
        "from collections.abc import Callable\nfrom torch import nn\n"
        "def made(alpha: float = 1.0) -> Callable[[], nn.Module]:\n    return lambda: nn.ELU(alpha)\n"
    )
    given = "{class_path: my_acts.made, init_args: {alpha: 0.5}}"
    options = ["--import=my_acts", f"--model.generator.activation={given}"]
    main(["fit", *RING_GAN, "--data=GaussianRing", *SMALL, *BRIEF, *options])


def test_callables_of_data_and_callbacks_are_checked_too(folder, refused):
    (folder / "my_data.py").write_text(
        "from collections.abc import Callable\nfrom lightning.pytorch import Callback\nfrom torch import nn\n"
        "from lightning_gans.data import Digits\n"
        "class Changed(Digits):\n    def __init__(self, change: Callable[[], nn.Module] = nn.Identity, **kwargs):\n"
        "        super().__init__(**kwargs)\n"
        "class Changes(Callback):\n    def __init__(self, change: Callable[[], nn.Module] = nn.Identity):\n"
        "        change()\n"
    )
    wrong = "{change: {class_path: os.system, init_args: {command: touch it_ran}}}"
    data = f"--data={{class_path: Changed, init_args: {wrong}}}"
    assert "change: os.system is no class of Module" in refused(
        "fit", "--import=my_data", "--model=DCGAN", data, *SMALL
    )
    callback = f"--trainer.callbacks+={{class_path: Changes, init_args: {wrong}}}"
    assert "change: os.system is no class of Module" in refused("fit", "--import=my_data", *DIGITS, callback, *SMALL)
    assert not (folder / "it_ran").exists()
