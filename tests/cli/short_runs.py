"""Command lines of short runs on small data, and readers of what a run writes."""

import csv
from pathlib import Path

import pytest
import torch
import yaml

from lightning_gans.cli.main import main

CONFIGS = Path(__file__).parents[2] / "configs"
QUIET = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
SMALL = [
    "--trainer.max_epochs=2",
    "--trainer.limit_train_batches=3",
    "--trainer.limit_val_batches=2",
    "--trainer.log_every_n_steps=1",
    "--report.enabled=false",  # its curves take as long as the rest of the command
    *QUIET,
]
WITH_REPORT = [*SMALL, "--report.enabled=true"]
DIGITS = ["--model=DCGAN", "--model.width=4", "--model.latent_dim=8", "--data=Digits"]
BRIEF = [
    "--trainer.max_epochs=1",
    "--trainer.limit_val_batches=0",
    "--samples.every_n_epochs=0",
    "--report.enabled=false",
]
ENSEMBLE = [
    "--model.generator=StochasticEnsembleGenerator",
    "--model.classifier=DigitClassifier",
    "--data=Digits",
    "--data.size=28",
]
RING_GAN = ["--model=GAN", "--model.generator=MLPGenerator", "--model.discriminator=MLPDiscriminator"]
FUNCTIONS = ("sample", "interpolate", "arithmetic", "neighbours")
LIGHTNING_WARNINGS = [
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def fit_once(tmp_path_factory, *args):
    """Fit in a folder of its own, and return the run's folder, which tests only read."""
    place = tmp_path_factory.mktemp("fitted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        main(["fit", *args])
    (run,) = place.glob("runs/*/version_0")
    return run


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


def printed(capsys, *args):
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *args, "--print_config"])
    assert stopped.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


def draw(run, out, *args):
    main(["sample", "--checkpoint", str(last(run)), "--out", str(out), *args])
    return Path(out).read_bytes()
