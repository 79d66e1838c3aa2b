"""Classes of a user's own on the command line: --import brings their module into every command."""

import sys

import pytest
import torch
import yaml
from short_runs import BRIEF, DIGITS, FUNCTIONS, LIGHTNING_WARNINGS, SMALL, last, printed, settings_of

from lightning_gans import checkpoints
from lightning_gans.cli.main import main

pytestmark = LIGHTNING_WARNINGS
MODULE = """\
from torch import nn
from lightning_gans import DCGAN, Stabilizer
from lightning_gans.data import Digits
from lightning_gans.networks import DCGANGenerator

class Mine(DCGAN):
    def __init__(self, image_shape, note="none", **kwargs):
        super().__init__(image_shape, width=2, latent_dim=3, **kwargs)
        self.note = note

class Act(nn.Module):
    def forward(self, x):
        return x.clamp(min=0)

class MyGenerator(DCGANGenerator): ...
class MyDigits(Digits): ...

class Scaled(Stabilizer):
    def on_generator_loss(self, gan, step, loss):
        return loss * 2

def make_act() -> nn.Module:
    return Act()
"""
TINY = [*SMALL, *BRIEF, "--trainer.limit_train_batches=1"]


@pytest.fixture(autouse=True)
def my_gans(folder, monkeypatch):
    """Write a module of one's own into the current folder, which is not on the path of imports."""
    (folder / "my_gans.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(checkpoints.trust, "_trusted", [])
    yield
    for name in ("my_gans", "not_mine", "below.my_nets"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "flag", [["--import", "my_gans"], ["--import=my_gans"], ["--import=my_gans.py"], ["--import=[my_gans]"]]
)
def test_a_model_of_ones_own_is_named_by_its_class(flag, folder, capsys):
    config = printed(capsys, *flag, "--model=Mine", "--data=MyDigits")
    assert config["model"]["class_path"] == "my_gans.Mine" and config["data"]["class_path"] == "my_gans.MyDigits"
    assert config["import"] == [flag[-1].removeprefix("--import=").strip("[]")]


@pytest.mark.slow
def test_every_command_has_it(folder, capsys):
    main(
        [
            "fit",
            "--import=my_gans",
            "--model=Mine",
            "--model.note=words",
            "--data=MyDigits",
            *TINY,
            "--trainer.callbacks+=Scaled",
        ]
    )
    (run,) = folder.glob("runs/*/version_0")
    assert settings_of(run)["import"] == ["my_gans"] and "--import my_gans" in capsys.readouterr().out
    del sys.modules["my_gans"]
    config = ["--config", str(run / "config.yaml"), "--trainer.limit_val_batches=1"]
    for command in ("fit", "validate", "test", "predict"):
        main([command, *config, *(["--ckpt_path", str(last(run))] if command != "fit" else [])])
    assert sys.modules["my_gans"], "by `import` in the config of the run"
    given = {"arithmetic": ["--a=[1]", "--b=[2]", "--c=[3]"], "neighbours": ["--num=2", "--k=1", "--compared=20"]}
    for command in (*FUNCTIONS, "export"):
        main([command, "--checkpoint", str(last(run)), "--import", "my_gans", *given.get(command, [])])


def test_without_it_the_line_names_it_and_that_line_works(folder, refused):
    main(["fit", "--import=my_gans", "--model=my_gans.Mine", "--data=Digits", *TINY])
    (run,) = folder.glob("runs/*/version_0")
    content = checkpoints.read_checkpoint(last(run)) | {"gan_class": "not_mine.Theirs"}
    content["hyper_parameters"]["_class_path"] = "not_mine.Theirs"
    torch.save(content, "a.ckpt")
    (folder / "not_mine.py").write_text(MODULE.replace("class Mine", "class Theirs"))
    assert "--import" in refused("sample", "--checkpoint=a.ckpt") and "not_mine" not in sys.modules
    main(["sample", "--checkpoint=a.ckpt", "--import", "not_mine"])


def test_modules_and_functions_of_an_imported_module_are_built_from_a_checkpoint(folder, refused):
    networks = {
        "generator": {"class_path": "my_gans.MyGenerator", "init_args": {"width": 2, "activation": "my_gans.Act"}},
        "discriminator": {
            "class_path": "DCGANDiscriminator",
            "init_args": {"width": 2, "activation": "my_gans.make_act"},
        },
    }
    (folder / "own.yaml").write_text(
        yaml.safe_dump({"import": "my_gans", "model": {"class_path": "GAN", "init_args": networks}})
    )
    main(["fit", "--config=own.yaml", "--data=Digits", *TINY])
    (run,) = folder.glob("runs/*/version_0")
    del sys.modules["my_gans"]
    checkpoints.trust._trusted.clear()
    line = refused("sample", "--checkpoint", last(run).relative_to(folder))
    assert "asks for 'my_gans." in line and "--import my_gans;" in line and "my_gans" not in sys.modules
    main(["sample", "--checkpoint", str(last(run)), "--import=my_gans"])


@pytest.mark.parametrize(
    ("given", "text", "says"),
    [
        ("nowhere", None, "there is no nowhere.py in"),
        ("below.nowhere", None, "there is no below/nowhere.py in"),
        ("", None, "expected the name of a module"),
        ("not_mine", "import nothing_of_that_name", "needs nothing_of_that_name, which is not installed"),
        ("not_mine", "x = 1\ny = 1 / 0", "ZeroDivisionError: division by zero, not_mine.py, line 2"),
        ("not_mine", "x = (", "SyntaxError"),
        ("not_mine", "raise SystemExit(3)", 'below `if __name__ == "__main__":`'),
        (
            "not_mine",
            "from lightning_gans import Stabilizer\nclass A(Stabilizer):\n    def on_target(self): ...",
            "on_targets?",
        ),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_line(given, text, says, folder, refused):
    if text is not None:
        (folder / "not_mine.py").write_text(text)
    for command in (["fit", *DIGITS], ["sample", "--checkpoint=a.ckpt"]):
        assert says in refused(*command, f"--import={given}")


def test_several_modules_and_one_in_a_folder(folder, capsys):
    (folder / "below").mkdir()
    (folder / "below" / "my_nets.py").write_text(
        "from lightning_gans.networks import DCGANGenerator\nclass Net(DCGANGenerator): ...\n"
    )
    (folder / "also.yaml").write_text("import: my_gans\n")
    args = [
        "--config=also.yaml",
        "--import",
        "below.my_nets",
        "--model=GAN",
        "--model.generator=Net",
        "--model.discriminator=DCGANDiscriminator",
    ]
    config = printed(capsys, *args, "--trainer.callbacks+=my_gans.Scaled")
    assert config["import"] == ["below.my_nets", "my_gans"]
    assert config["model"]["init_args"]["generator"]["class_path"] == "below.my_nets.Net"


def test_the_help_of_every_command_names_it(capsys):
    for command in ("fit", "sample", "export", "workspace"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert "--import" in capsys.readouterr().out
