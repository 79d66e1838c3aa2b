"""The command `workspace`: panels at Weights & Biases, grouped by the prefix of the logged metrics."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from lightning_gans.callbacks.report.charts import HEALTH, TRAINING

X_AXIS = "trainer/global_step"  # the number of the batch, by the name that Lightning's WandbLogger gives it
_SCORES = {  # panel → the scores in it, by a regular expression
    "Fréchet distance": "^val/(fd|fid)",
    "Kernel distance": "^val/(kd|kid)",
    "Quality and variety": "^val/(precision|recall|density|coverage)",
    "Modes and classes": "^val/(modes|classes)",
    "Imbalance of modes and classes": "^val/(reverse_kl|kl_uniform)",
    "Every score": "^val/",
}


def workspace(project: str, entity: str | None = None, name: str = "GAN", out: str | None = None) -> None:
    """Create a Weights & Biases (W&B) workspace with panels for all that a run logs.

    It has sections for samples, scores, losses, the discriminator, the generator, gradients, health and progress. It
    needs the package wandb-workspaces: pip install "lightning-gans[workspace]". Without a connection or a login, the
    specification is written to a JSON file instead.

    Args:
        project: the name of the W&B project.
        entity: the user or team that the project belongs to; your default one if left out.
        name: the name of the workspace.
        out: the JSON file for the specification; if left out, workspace.json where it is needed.
    """
    if not project.strip() or "/" in project:
        raise ValueError(f"--project {project!r}: expected a project's name, such as lightning-gans.")
    reason = "WANDB_MODE is offline" if os.environ.get("WANDB_MODE", "online") in ("offline", "disabled") else ""
    if not reason and entity is None:
        entity, reason = _own_entity()
    made = _build(project, entity or "", name)
    if not reason:
        try:
            made.save()
        except Exception as error:  # no network, no permission, or an error at W&B
            reason = _first_sentence(error)
    if reason or out:
        out = out or "workspace.json"
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        # what `save` sends; the package has no public way to see it
        Path(out).write_text(json.dumps(made._spec, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"The specification is in {out}.")
    if reason:
        print(f"Not saved at W&B: {reason}. Log in (wandb login), then run this command again to save it there.")
    else:
        print(f"The workspace is at {made.url}")


def _own_entity() -> tuple[str | None, str]:
    """Return the user's default entity at W&B, or why it is not known."""
    import wandb

    try:
        return wandb.Api().default_entity, ""
    except Exception as error:
        return None, _first_sentence(error)


def _first_sentence(error: Exception) -> str:
    words = str(error).strip() or type(error).__name__
    return words.splitlines()[0].split(". ")[0].rstrip(".")


def _build(project: str, entity: str, name: str) -> Any:
    try:
        import wandb_workspaces.reports.v2 as reports
        import wandb_workspaces.workspaces as workspaces
    except ImportError as error:
        raise ValueError(
            f"workspace needs the package wandb-workspaces ({error}); add it: "
            'pip install -U "lightning-gans[workspace]".'
        ) from error

    def line(title: str, **settings: Any) -> Any:
        return reports.LinePlot(title=title, x=X_AXIS, title_x="batch", **settings)

    sections: dict[str, list[Any]] = {
        "samples": [reports.MediaBrowser(title="Samples", media_keys=["samples/grid"], gallery_axis="step")],
        "val": [line(title, metric_regex=pattern) for title, pattern in _SCORES.items()],
        **{group: [] for group in ("loss", "discriminator", "generator", "gradients")},
        "health": [line(_title(figure), metric_regex=rf"^health/([a-z]+_)?{figure}$") for figure in HEALTH],
        "progress": [
            line("Updates", y=["progress/generator_updates", "progress/discriminator_updates"]),
            line("Images seen", y=["progress/images"]),
        ],
    }
    for chart in TRAINING:
        group = next(iter(chart.lines.values())).partition("/")[0]
        sections[group].append(line(chart.title, y=list(chart.lines.values()), log_y=chart.log or None))
    sections["loss"].append(line("Every loss and term", metric_regex="^loss/"))
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[
            workspaces.Section(name=group, panels=panels, is_open=group not in ("health", "progress"))
            for group, panels in sections.items()
        ],
        settings=workspaces.WorkspaceSettings(x_axis=X_AXIS, group_by_prefix="first"),
    )


def _title(figure: str) -> str:
    return figure.replace("_", " ").capitalize()
