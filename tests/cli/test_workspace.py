"""The command `workspace`: panels at W&B for all that a run logs."""

import json
import re
import sys
from pathlib import Path

import pytest
from short_runs import LIGHTNING_WARNINGS, metrics

from lightning_gans.cli.main import main

pytestmark = LIGHTNING_WARNINGS


def sections_of(path):
    made = json.loads(Path(path).read_text())
    config = made["spec"]["section"]["panelBankConfig"]
    return made, {section["name"]: [panel["config"] for panel in section["panels"]] for section in config["sections"]}


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """W&B without a network and a login, whatever the machine has."""
    pytest.importorskip("wandb_workspaces")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")


def test_a_workspace_has_panels_for_all_that_a_run_logs(offline, run, capsys):
    main(["workspace", "--project=mine"])
    said = capsys.readouterr().out
    assert "in workspace.json" in said and "WANDB_MODE is offline" in said and "wandb login" in said
    made, sections = sections_of("workspace.json")
    assert (made["project"], made["displayName"]) == ("mine", "GAN")
    groups = ["samples", "val", "loss", "discriminator", "generator", "gradients", "health", "progress"]
    assert list(sections) == groups
    assert sections["samples"][0]["mediaKeys"] == ["samples/grid"]
    lines = [panel for name, panels in sections.items() if name != "samples" for panel in panels]
    assert {panel["xAxis"] for panel in lines} == {"trainer/global_step"}
    for key in [key for key in metrics(run)[0] if "/" in key]:
        assert any(key in panel["metrics"] or re.search(panel.get("metricRegex", "^$"), key) for panel in lines), key
    for key in (
        "val/fd",
        "val/reverse_kl_floor",
        "loss/gradient_penalty",
        "health/generator_gradient",
        "health/energy",
    ):
        assert any(re.search(panel.get("metricRegex", "^$"), key) for panel in lines), key
    assert [panel["chartTitle"] for panel in lines if panel.get("yLogScale")] == ["Learning rates", "Gradient norms"]


def test_options_of_a_workspace(offline, capsys):
    main(["workspace", "--project=mine", "--entity=us", "--name=Digits", "--out=made/panels.json"])
    made, _ = sections_of("made/panels.json")
    assert (made["project"], made["entity"], made["displayName"]) == ("mine", "us", "Digits")
    assert not Path("workspace.json").exists()


@pytest.mark.parametrize("entity", [[], ["--entity=us"]], ids=str)
def test_without_a_login_a_workspace_is_written_to_a_file(offline, monkeypatch, capsys, entity):
    monkeypatch.setenv("WANDB_MODE", "online")
    main(["workspace", "--project=mine", *entity])
    said = capsys.readouterr().out
    reason = "(No API key configured|api_key not configured|HTTPConnectionPool)"  # by version of wandb
    assert Path("workspace.json").is_file() and re.search(f"Not saved at W&B: {reason}", said)


def test_a_workspace_is_saved_where_the_user_is_logged_in(offline, monkeypatch, capsys):
    from wandb_workspaces.workspaces import Workspace

    saved = []
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(Workspace, "save", lambda self: saved.append((self.entity, self.project)))
    monkeypatch.setattr(Workspace, "url", "https://wandb.example/mine")
    main(["workspace", "--project=mine", "--entity=us"])
    assert saved == [("us", "mine")] and not Path("workspace.json").exists()
    assert capsys.readouterr().out == "The workspace is at https://wandb.example/mine\n"
    main(["workspace", "--project=mine", "--entity=us", "--out=kept.json"])
    assert Path("kept.json").is_file()


def test_mistakes_of_workspace(offline, monkeypatch, refused):
    for project in ("", "us/mine"):
        assert "expected a project's name" in refused("workspace", f"--project={project}")
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
    line = refused("workspace", "--project=mine")
    assert 'pip install -U "lightning-gans[workspace]"' in line
