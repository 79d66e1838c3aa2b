"""The command `rescue`: what is recommended against the failure of a run, tried on it."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from helpers import few

from lightning_gans.callbacks.health import remedies, states
from lightning_gans.cli.main import main
from lightning_gans.cli.remedied import changes, classes_in
from lightning_gans.cli.rescue import rescue
from lightning_gans.trials import Trained

RING = [
    *("fit", "--model=GAN", "--model.generator=MLPGenerator", "--model.generator.width=8"),
    *("--model.discriminator=MLPDiscriminator", "--model.discriminator.width=8"),
    *("--data=GaussianRing", "--data.num_samples=512", "--data.num_val_samples=64", "--trainer.accelerator=cpu"),
    *("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--experiment=ring"),
    *("--samples.every_n_epochs=0", "--report.enabled=false", "--trainer.max_steps=8"),
]


def failed(state, *more):
    """Return the folder of a short run in which the monitor has named a failure."""
    main([*RING, *more])
    run = max(Path("runs/ring").glob("version_*"))
    event = {"batch": 8, "state": state.name, "evidence": "as the test says", "remedies": []}
    (run / "health.json").write_text(json.dumps({"verdict": state.name, "events": [event], "readings": {}}))
    return run


TRIED = {one.name: one for one in states.STATES if any(remedy.name for remedy in one.remedies)}


@pytest.fixture
def scored(monkeypatch):
    """Give trials the scores that are asked for, in the order in which they are made."""
    scores = []
    monkeypatch.setattr("lightning_gans.trials.trial.score", lambda *_: scores.pop(0))
    return scores


@pytest.fixture
def verdicts(monkeypatch):
    """Give trials the verdicts that are asked for, in the order in which they are made."""
    found = []
    monkeypatch.setattr(Trained, "verdict", property(lambda _: found.pop(0)))
    return found


@pytest.mark.usefixtures("in_process")
def test_each_remedy_is_tried_beside_the_run_unchanged_and_the_best_has_a_config(scored, capsys):
    scored += [0.3, 0.1, 0.5, 0.8]
    run = failed(states.BLURRED)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    rescue(str(run), seconds=0.01)
    said = capsys.readouterr().out
    place = run / "rescue" / "samples_blurred_or_smeared_0.01s"
    table = (place / "trials.md").read_text().partition("\n\n")[0]
    names = [line.split(" | ")[0] for line in table.splitlines()[2:]]
    assert names == ["| both rates 5e-4", "| rates that fall", "| unchanged", "| recipe for points"]
    assert "The best is both rates 5e-4" in said and f"lightning-gans fit --config {place / 'winner.yaml'}" in said
    winner, original = (yaml.safe_load(path.read_text()) for path in (place / "winner.yaml", run / "config.yaml"))
    assert winner["model"]["init_args"]["discriminator_optimizer"]["init_args"]["lr"] == 5e-4
    assert winner["trainer"] == original["trainer"] and winner["data"] == original["data"]
    assert winner["experiment"] == "ring_rescued"
    assert {path: path.read_bytes() for path in before} == before, "the run is left as it is"
    main(["fit", f"--config={place / 'winner.yaml'}"])
    assert Path("runs/ring_rescued/version_0/checkpoints/last.ckpt").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_what_fails_after_the_first_remedy_is_tried_on_top_of_it(scored, verdicts, capsys):
    scored += [0.1, 0.0, 0.2, 0.3, *[0.1, 0.6, 0.2]]
    verdicts += ["samples blurred or smeared", "", "", states.NOISY.name, *["", "healthy", ""]]
    run = failed(states.BLURRED)
    rescue(str(run), seconds=0.01, rounds=3)
    said = capsys.readouterr().out
    (place,) = (run / "rescue").iterdir()
    assert "Round 2, samples noisy: both rates 5e-4 + GeneratorEMA, " in said and "Round 3" not in said
    assert "The best is both rates 5e-4 + R1Penalty, healthy" in said
    assert "lr=5e-4" in (place / "trials.md").read_text().splitlines()[2]
    winner = yaml.safe_load((place / "winner.yaml").read_text())
    assert winner["model"]["init_args"]["discriminator_optimizer"]["init_args"]["lr"] == 5e-4
    assert [one["class_path"].rpartition(".")[2] for one in winner["trainer"]["callbacks"]] == ["R1Penalty"]
    trained = len(list(place.glob("*/outcome.json")))
    rescue(str(run), seconds=0.01, rounds=3)
    assert len(list(place.glob("*/outcome.json"))) == trained == 7


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_a_healthy_trial_with_a_low_score_gets_what_helps_against_stalled_learning(scored, verdicts, capsys):
    scored += [0.1, 0.0, 0.2, 0.3, 0.1]
    verdicts += ["samples blurred or smeared", *["healthy"] * 4]
    rescue(str(failed(states.BLURRED)), seconds=0.01)
    assert (
        "Round 2, learning has stalled far from the data: both rates 5e-4 + recipe for points;"
        in capsys.readouterr().out
    )


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_a_remedy_is_not_tried_on_top_of_itself(scored, verdicts, capsys):
    scored += [0.1, 0.0, 0.2, 0.3, *[0.1, 0.2]]
    verdicts += ["samples blurred or smeared", "", "", states.VANISHING_GRADIENT.name, *["", ""]]
    assert remedies.USUAL_RATES in states.VANISHING_GRADIENT.remedies
    rescue(str(failed(states.BLURRED, "--model.objective=Minimax")), seconds=0.01)
    assert (
        "Round 2, vanishing generator gradient (D too strong): both rates 5e-4 + recipe for points, both rates 5e-4 + "
        "NonSaturating;"
    ) in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_a_run_that_was_a_trial_can_be_rescued(scored):
    scored += [0.3, 0.1, 0.2, 0.8]
    run = failed(states.BLURRED, "--import=lightning_gans.trials", "--trainer.callbacks+=lightning_gans.trials.Budget")
    rescue(str(run), seconds=0.01)
    (place,) = (run / "rescue").iterdir()
    assert yaml.safe_load((place / "winner.yaml").read_text())["trainer"]["callbacks"] == []


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_a_run_on_data_of_the_users_own_is_rescued_too(scored, monkeypatch, capsys):
    scored += [0.3, 0.1, 0.2, 0.8]
    Path("my_rings.py").write_text(
        "from lightning_gans.data import GaussianRing\n\n\nclass MyRing(GaussianRing):\n    pass\n"
    )
    run = failed(states.BLURRED, "--import=my_rings", "--data=my_rings.MyRing")
    monkeypatch.delitem(sys.modules, "my_rings")
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one not in ("", str(Path.cwd()))])
    main(["rescue", f"--run={run}", "--seconds=0.01"])
    assert "The best is both rates 5e-4" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_where_every_trial_fails_it_says_why():
    run = failed(states.BLURRED)
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("accelerator: cpu", "accelerator: none"))
    with pytest.raises(ValueError, match=r"^every trial has failed, unchanged with: .*none"):
        rescue(str(run), seconds=0.01)


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_where_nothing_is_better_no_config_is_written(scored, capsys):
    scored += [0.5, 0.1, 0.51, 0.2]
    run = failed(states.BLURRED)
    rescue(str(run), seconds=0.01)
    assert "No remedy is better" in capsys.readouterr().out and not list(run.rglob("winner.yaml"))


@pytest.mark.slow
def test_the_same_command_goes_on_where_it_was(scored, in_process):
    scored += [0.3, 0.1, 0.2, 0.8]
    run = failed(states.BLURRED)
    rescue(str(run), seconds=0.01)
    trained = [command for command in in_process if command[0] == "trial"]
    rescue(str(run), seconds=0.01)
    assert [command for command in in_process if command[0] == "trial"] == trained
    scored += [0.3, 0.1, 0.2, 0.8]
    rescue(str(run), seconds=0.02)
    assert len(list((run / "rescue").iterdir())) == 2


@pytest.mark.slow
def test_trials_start_from_the_healthy_checkpoint_where_the_networks_fit(scored, in_process):
    scored += [0.1] * 9
    run = failed(states.MEMORISING_DISCRIMINATOR)
    (run / "checkpoints" / "last.ckpt").rename(run / "checkpoints" / "healthy.ckpt")
    rescue(str(run), seconds=0.01)
    started = {
        command[command.index("--experiment=" + name) - 0]: any(word.startswith("--from=") for word in command)
        for command in in_process
        for name in ("unchanged", "Dropout", "R1Penalty")
        if "--experiment=" + name in command
    }
    assert started == {"--experiment=unchanged": True, "--experiment=Dropout": False, "--experiment=R1Penalty": True}


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("name", few(TRIED, "soft collapse / oscillation"))
def test_every_remedy_of_a_state_can_be_tried(scored, name):
    """Of points those of images alone cannot, and say so."""
    state = TRIED[name]
    scored += [0.1] * 9
    run = failed(state, "--model.objective=Minimax")
    rescue(str(run), seconds=0.01)
    (place,) = (run / "rescue").iterdir()
    outcomes = {path.parent.name: json.loads(path.read_text())["error"] for path in place.glob("*/outcome.json")}
    assert len(outcomes) == 1 + sum(bool(remedy.name) for remedy in state.left({"GAN", "Minimax", remedies.OF_POINTS}))
    of_images = outcomes.pop("DifferentiableAugmentation", "images")
    assert "images" in of_images
    assert not any(outcomes.values()), outcomes


def test_rates_are_a_multiple_of_the_runs():
    config = {"model": {"init_args": {"generator_optimizer": {"init_args": {"lr": 0.002}}}}}
    assert remedies.LOWER_RATES.rates == (0.25, 0.25)
    assert changes(remedies.LOWER_RATES, config) == ("--model.generator_optimizer.lr=0.0005",)


def test_what_a_run_uses_already_is_not_tried():
    config = {"trainer": {"precision": None, "callbacks": [{"class_path": "lightning_gans.stabilizers.R1Penalty"}]}}
    assert "R1Penalty" in classes_in(config, (2,))
    average, r1, rates = states.NOISY.remedies
    assert r1 == remedies.R1 and states.NOISY.left(classes_in(config, (2,))) == [average, rates]
    points, images, *others = states.BLURRED.remedies
    assert states.BLURRED.left(classes_in(config, (2,))) == [points, *others]
    coded = {**config, "model": {"latents": {"class_path": "lightning_gans.networks.GaussianWithCode"}}}
    names, without = ([one.name for one in states.MODE_COLLAPSE.left(classes_in(x, (2,)))] for x in (coded, config))
    assert without == ["recipe for points", "one-hot code"] and names == ["recipe for points"], "it has a code"
    assert states.BLURRED.left(classes_in(config, (1, 8, 8))) == [images, *others]


def refused(capsys, *options):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(["rescue", *options])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.usefixtures("in_process")
def test_what_cannot_be_rescued_gets_one_line_whose_remedy_works(capsys, scored):
    scored += [0.1] * 9
    run = failed(states.HEALTHY)
    assert f"expected the folder of a run of `lightning-gans fit`, such as {run}" in refused(capsys, "--run=nowhere")
    assert "--state 'mode collapse (hard)'" in refused(capsys, f"--run={run}")
    assert "expected one of mode collapse (hard), partial collapse" in refused(
        capsys, f"--run={run}", "--state=collapse"
    )
    assert "nothing is left that a trial could show" in refused(capsys, f"--run={run}", "--state=labels ignored")
    assert "such as 60, 1 and 3" in refused(capsys, f"--run={run}", "--state=partial", "--seconds=0")
    assert "such as 60, 1 and 3" in refused(capsys, f"--run={run}", "--state=partial", "--seconds=.inf")
    assert "such as 60, 1 and 3" in refused(capsys, f"--run={run}", "--state=partial", "--jobs=0")
    assert "such as 60, 1 and 3" in refused(capsys, f"--run={run}", "--state=partial", "--rounds=0")
    main(["rescue", f"--run={run}", "--state=mode collapse (hard)", "--seconds=0.01", "--jobs=1"])
    assert len(list(run.glob("rescue/*/*/outcome.json"))) == 3
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text("- 1\n")
    assert "does not hold the config of a run; give the folder of another run" in refused(capsys, f"--run={run}")
    (run / "config.yaml").write_text(config)
