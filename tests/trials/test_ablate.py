"""The command `ablate`: a base with and without stabilizers, from several seeds."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from lightning_gans.cli.main import main

BASE = [
    *("ablate", "--model=GAN", "--model.generator=MLPGenerator", "--model.generator.width", "8"),
    *("--model.discriminator=MLPDiscriminator", "--model.discriminator.width=8", "--threads=1"),
    *("--data=GaussianRing", "--data.num_samples=256", "--data.num_val_samples=64", "--trainer.accelerator=cpu"),
    *("--trainer.callbacks+=GeneratorEMA", "--trainer.max_steps=4", "--monitor.every_n_steps=100"),
]
PLACE = Path("runs/ring_ablation")
pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture
def scored(monkeypatch):
    """Give trials the scores that are asked for, in the order in which they are made."""
    scores = []
    monkeypatch.setattr("lightning_gans.trials.trial.score", lambda *_: scores.pop(0))
    return scores


def table():
    with open(PLACE / "effects.csv", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def ablate(*options):
    main([*BASE, "--experiment=ring", *options])


def trained(name):
    return yaml.safe_load(next(PLACE.glob(f"{name}/version_0/config.yaml")).read_text())


def classes(config):
    return [one["class_path"].rpartition(".")[2] for one in config["trainer"]["callbacks"]]


def test_a_stabilizer_is_added_or_left_out_and_one_that_does_not_fit_is_tried_once(scored, in_process, capsys):
    scored += [0.5, 0.7, 0.4, 0.5, 0.8, 0.3]  # base, R1Penalty, GeneratorEMA; of each seed
    ablate("--stabilizers=R1Penalty,RandomAffine,GeneratorEMA", "--seeds=2")
    rows = table()
    assert list(rows) == ["R1Penalty", "GeneratorEMA", "RandomAffine"]
    assert float(rows["R1Penalty"]["effect"]) == pytest.approx(0.25)
    assert float(rows["GeneratorEMA"]["effect"]) == pytest.approx(0.15), "of its presence"
    assert rows["GeneratorEMA"]["left_out"] == "True" and rows["RandomAffine"]["verdict"] == "fails"
    assert "RandomAffine turns images" in rows["RandomAffine"]["note"]
    made = [Path(command[1]).name for command in in_process if command[0] == "trial"]
    assert made.count("RandomAffine_seed_0") == 1 and "RandomAffine_seed_1" not in made
    assert [one for one in classes(trained("R1Penalty_seed_1")) if one != "Budget"] == ["GeneratorEMA", "R1Penalty"]
    assert [one for one in classes(trained("GeneratorEMA_seed_0")) if one != "Budget"] == []
    assert trained("base_seed_1")["seed_everything"] == 1 and trained("base_seed_0")["trainer"]["max_steps"] == 4
    said = capsys.readouterr().out
    assert "| R1Penalty | added | 0.750 | +0.250 ± 0.050 | 2 |" in said and "score 0.500, mean of 2 of 2 seeds" in said
    for name in ("effects.png", "effects.md", "trials.png"):
        assert (PLACE / name).is_file()


@pytest.mark.slow
def test_the_same_command_again_repeats_nothing_and_more_seeds_add_to_it(scored, in_process):
    scored += [0.5, 0.7]
    ablate("--stabilizers=R1Penalty", "--seeds=1")
    before = len([command for command in in_process if command[0] == "trial"])
    ablate("--stabilizers=R1Penalty", "--seeds=1")
    assert len([command for command in in_process if command[0] == "trial"]) == before == 2
    scored += [0.5, 0.9, 0.1]  # seed 1 of both, then the one whose outcome is lost
    ablate("--stabilizers=R1Penalty", "--seeds=2")
    assert table()["R1Penalty"]["seeds"] == "2"
    (PLACE / "R1Penalty_seed_0" / "outcome.json").unlink()
    ablate("--stabilizers=R1Penalty", "--seeds=2")
    assert float(table()["R1Penalty"]["effect"]) == pytest.approx((0.1 - 0.5 + 0.9 - 0.5) / 2)


def test_a_file_of_stabilizers_with_their_arguments(scored):
    scored += [0.5, 0.7]
    Path("pack_4.yaml").write_text("trainer: {callbacks+: [{class_path: Packing, init_args: {samples: 4}}]}\n")
    ablate("--stabilizers=pack_4.yaml", "--seeds=1", "--seconds=0.01")
    (pack,) = [one for one in trained("pack_4_seed_0")["trainer"]["callbacks"] if "Packing" in one["class_path"]]
    assert pack["init_args"] == {"samples": 4} and list(table()) == ["pack_4"]
    assert trained("pack_4_seed_0")["trainer"]["max_steps"] == -1, "its seconds end it"


def test_all_are_those_of_the_library(scored, monkeypatch):
    monkeypatch.setattr("lightning_gans.cli.ablate._Ablation.make", lambda self, *_: None)
    monkeypatch.setattr("lightning_gans.cli.ablate._Ablation.report", lambda self, *_: None)
    ablate("--seeds=1")
    names = {path.stem for path in (PLACE / "configs").iterdir()}
    assert {"base", "R1Penalty", "Packing", "GeneratorEMA"} <= names and "Penalty" not in names
    assert len(names) >= 30


def test_a_base_without_a_model_is_said(capsys, monkeypatch):
    monkeypatch.setattr("lightning_gans.cli.ablate.resolved", lambda options: "{trainer: {}}")
    assert "give its --config, or name one with --model, such as --model DCGAN" in refused(capsys)


@pytest.mark.slow
def test_the_same_trainings_as_a_sweep(capsys):
    ablate("--stabilizers=R1Penalty", "--seeds=2", "--sweep=true")
    assert f"wandb sweep {PLACE / 'sweep.yaml'}" in capsys.readouterr().out
    sweep = yaml.safe_load((PLACE / "sweep.yaml").read_text())
    values = {name: one["values"] for name, one in sweep["parameters"].items()}
    assert values["seed_everything"] == [0, 1] and len(values["config"]) == 2 and sweep["method"] == "grid"
    assert [Path(one).stem for one in values["config"]] == ["unchanged", "R1Penalty"]
    assert yaml.safe_load(Path(values["config"][0]).read_text()) == {"trainer": {}}
    command = [one for one in sweep["command"] if not one.startswith("$")]
    main([*command, f"--config={values['config'][1]}", "--seed_everything=1", f"--runs={Path.cwd() / 'agents'}"])
    (config,) = Path("agents").rglob("config.yaml")
    config = yaml.safe_load(config.read_text())
    assert classes(config) == ["GeneratorEMA", "R1Penalty"] and config["seed_everything"] == 1
    assert config["trainer"]["logger"]["class_path"].endswith("WandbLogger")


def refused(capsys, *options):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        ablate(*options)
    assert stopped.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.fixture
def at_once(monkeypatch):
    """Leave out what the command line makes of the options of a base, which takes seconds."""
    base = {
        "experiment": "ring",
        "model": {"class_path": "GAN"},
        "trainer": {"callbacks": [{"class_path": "lightning_gans.stabilizers.GeneratorEMA"}]},
    }
    monkeypatch.setattr("lightning_gans.cli.ablate.resolved", lambda options: yaml.safe_dump(base))


@pytest.mark.usefixtures("at_once")
def test_what_cannot_be_ablated_gets_one_line(capsys):
    assert "'Pakcing' is neither" in refused(capsys, "--stabilizers=Pakcing")
    assert "such as 3, 1 and 60" in refused(capsys, "--stabilizers=R1Penalty", "--seeds=0")
    assert "such as 3, 1 and 60" in refused(capsys, "--stabilizers=R1Penalty", "--jobs=0")
    assert "such as 3, 1 and 60" in refused(capsys, "--stabilizers=R1Penalty", "--seconds=-1")
    assert "there is no file none.yaml" in refused(capsys, "--stabilizers=none.yaml")
    Path("empty.yaml").write_text("trainer: {max_steps: 3}\n")
    assert "empty.yaml adds no callbacks" in refused(capsys, "--stabilizers=empty.yaml")
    Path("ema.yaml").write_text("trainer: {callbacks+: [{class_path: GeneratorEMA}]}\n")
    line = refused(capsys, "--stabilizers=ema.yaml")
    assert "adds GeneratorEMA, which the base has; give the name GeneratorEMA to leave it out" in line
    for path in ("configs/base.yaml", "base_seed_0/trial.json"):
        (PLACE / path).parent.mkdir(parents=True, exist_ok=True)
        (PLACE / path).write_text("another: base\n")
    line = refused(capsys, "--stabilizers=R1Penalty", "--seeds=1")
    assert "holds an ablation of another base; give another folder with --out" in line
    line = refused(capsys, "--stabilizers=base.yaml")
    assert "base.yaml has the name of another config; give it another one" in line


def test_a_file_that_has_changed_since_it_was_trained_with_is_refused(capsys, at_once):
    Path("pack.yaml").write_text("trainer: {callbacks+: [{class_path: Packing}]}\n")
    (PLACE / "pack_seed_0").mkdir(parents=True)
    (PLACE / "pack_seed_0" / "trial.json").write_text("{}")
    (PLACE / "configs").mkdir()
    (PLACE / "configs" / "pack.yaml").write_text("trainer: {}\n")
    assert "holds an ablation of another pack; give another folder" in refused(capsys, "--stabilizers=pack.yaml")


@pytest.mark.slow
def test_what_cannot_be_ablated_gets_one_line_whose_remedy_works(capsys, scored):
    scored += [0.1] * 9
    assert "depth" in refused(capsys, "--stabilizers=R1Penalty", "--model.generator.depth=deep")
    assert "the base fails with: " in refused(capsys, "--stabilizers=R1Penalty", "--model.generator.depth=-1")
    ablate("--stabilizers=R1Penalty,R1Penalty", "--seeds=1")
    assert list(table()) == ["R1Penalty"], "once, in the same folder, where nothing was trained"
    assert "give another folder with --out" in refused(capsys, "--stabilizers=R1Penalty", "--trainer.max_steps=3")
    ablate("--stabilizers=GeneratorEMA", "--seeds=1", "--out=runs/other")
    assert json.loads(next(Path("runs/other").glob("base_seed_0/outcome.json")).read_text())["batches"] == 4
    packing = Path(__file__).parents[2] / "configs" / "stabilizers" / "packing.yaml"
    ablate(f"--stabilizers={packing}", "--seeds=1", "--out=runs/packed", "--seconds=0.01")
    assert "Packing" in str(yaml.safe_load(Path("runs/packed/configs/packing.yaml").read_text()))
