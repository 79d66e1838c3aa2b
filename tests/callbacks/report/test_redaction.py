"""Secrets and the home folder are hidden, and nothing else."""

from pathlib import Path

import pytest

from lightning_gans.callbacks.report.page import page
from lightning_gans.callbacks.report.redaction import redacted


@pytest.mark.parametrize(
    "text",
    [
        "wandb_api_key: SECRET",
        "  api_key: 'SECRET'",
        "lightning-gans fit --logger.api_key SECRET",
        "lightning-gans fit --logger.api-key=SECRET",
        "{class_path: X, init_args: {token: SECRET, size: 3}}",
        '{"hub_token": "SECRET"}',
        "password: SECRET",
        "https://me:SECRET@host/data",
        f"{Path.home()}/data",
    ],
)
def test_secrets_and_the_home_folder_are_hidden(text):
    assert "SECRET" not in redacted(text) and str(Path.home()) not in redacted(text)
    assert "hidden" in redacted(text) or "~/data" in redacted(text)


@pytest.mark.parametrize("text", ["num_tokens: 3", "size: 3", "keys: [a, b]", "token: null", "seed: 1", "a monkey: b"])
def test_other_text_is_unchanged(text):
    assert redacted(text) == text


def test_the_page_hides_secrets_in_every_part(tmp_path):
    (tmp_path / "config.yaml").write_text("logger: {api_key: SECRET}\n")
    secret = {"command": "fit --api_key SECRET"}
    html = page(tmp_path, "run", "", "failed: token=SECRET", False, secret, secret, secret)
    assert "SECRET" not in html and html.count("(hidden)") == 5
