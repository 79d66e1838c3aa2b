"""What help says, and how little it imports."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from short_runs import CONFIGS

import lightning_gans
from lightning_gans.cli.main import COMMANDS, main


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


def test_every_config_in_the_help_exists(capsys):
    main(["--help"])
    named = re.findall(r"configs/\S+\.yaml", capsys.readouterr().out)
    assert named and all((CONFIGS.parent / name).is_file() for name in named)


def test_links_of_data_and_model_are_readable(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    assert "sample_shape(data) --> model.init_args.image_shape" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [(["--help"], 0, "lightning-gans COMMAND"), (["--version"], 0, lightning_gans.__version__), (["fti"], 2, "'fit'")],
    ids=["help", "version", "unknown command"],
)
def test_what_needs_no_torch_does_not_import_it(args, code, says):
    args = [sys.executable, "-X", "importtime", "-m", "lightning_gans", *args]
    done = subprocess.run(args, capture_output=True, text=True, timeout=60)
    assert done.returncode == code and says in done.stdout + done.stderr
    imported = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "lightning_gans.cli.main" in imported and not imported & {"torch", "lightning", "numpy", "jsonargparse"}


def test_console_script():
    script = Path(sys.executable).with_name("lightning-gans")
    if not script.exists():
        pytest.skip("the package is not installed")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"lightning-gans {lightning_gans.__version__}\n")
