"""The sweep of W&B in configs/sweeps: its command lines are valid, and its metric is logged."""

import itertools

import numpy as np
import pytest
import yaml
from short_runs import CONFIGS, LIGHTNING_WARNINGS, QUIET, column, printed

from lightning_gans.cli.main import main

pytestmark = LIGHTNING_WARNINGS


SWEEP = yaml.safe_load((CONFIGS / "sweeps" / "two_rates.yaml").read_text())


def sweep_command(**chosen):
    """Return the command line that W&B's agent makes from these values, in the order of their names."""
    arguments = [f"--{name}={value}" for name, value in sorted(chosen.items())]
    words = [word for part in SWEEP["command"] for word in (arguments if part == "${args}" else [part])]
    assert words[:2] == ["${env}", "${program}"] and SWEEP["program"] == "lightning-gans"
    return [word.replace("=configs/", f"={CONFIGS}/") for word in words[2:]]


def sweep_choices():
    """Return the first and the last value of every parameter."""
    values = {name: parameter["values"] for name, parameter in SWEEP["parameters"].items()}
    return [{name: given[place] for name, given in values.items()} for place in (0, -1)]


def test_the_sweep_has_the_format_of_wandb():
    assert SWEEP["method"] in ("grid", "random", "bayes") and SWEEP["metric"]["goal"] in ("minimize", "maximize")
    assert all(list(parameter) == ["values"] for parameter in SWEEP["parameters"].values())
    assert set(SWEEP) == {"program", "project", "method", "metric", "parameters", "command"}
    assert all((CONFIGS.parent / config).is_file() for config in SWEEP["parameters"]["config"]["values"])


@pytest.mark.parametrize("chosen", sweep_choices(), ids=str)
def test_the_command_of_a_sweep_is_valid(capsys, chosen):
    config = printed(capsys, *sweep_command(**chosen)[1:])
    for player in ("generator", "discriminator"):
        rate = config["model"]["init_args"][f"{player}_optimizer"]["init_args"]["lr"]
        assert rate == chosen[f"model.{player}_optimizer.lr"]
    named = [callback["class_path"].rsplit(".")[-1] for callback in config["trainer"]["callbacks"]]
    stabilizer = yaml.safe_load((CONFIGS.parent / chosen["config"]).read_text())["trainer"].get("callbacks+", [])
    assert named == ["Evaluation", *(callback["class_path"] for callback in stabilizer)]
    assert config["trainer"]["logger"]["class_path"].endswith("WandbLogger")


@pytest.mark.slow
def test_every_command_of_the_sweep_is_valid(capsys):
    values = [[(name, value) for value in one["values"]] for name, one in SWEEP["parameters"].items()]
    for chosen in itertools.product(*values):
        assert printed(capsys, *sweep_command(**dict(chosen))[1:])["model"]["class_path"].endswith("DCGAN")


@pytest.mark.slow
def test_the_metric_of_the_sweep_is_logged(folder):
    chosen = sweep_choices()[1]
    main([*sweep_command(**chosen), "--trainer.max_epochs=1", "--trainer.limit_train_batches=2", *QUIET])
    (run,) = folder.glob("runs/*/version_0")
    assert np.isfinite(column(run, SWEEP["metric"]["name"])).all() and column(run, SWEEP["metric"]["name"])
