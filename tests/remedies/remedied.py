"""Run one row of a table of remedies: provoke a message, find the remedies in it, and do each of them.

    REMEDIES = {
        "words of the message, … for what varies": (provoke, {"a remedy in the message's words": do_it, ...}),
    }

    test_a_remedy_works = each_row(REMEDIES)

Where two rows have one fragment, they are named otherwise and begin with it: `"name": (fragment, provoke, {...})`.
`provoke` and `do_it` are functions; one with a parameter `folder` is given an empty folder, the same for the row. `{}`
in a remedy's words stands for a value, which `do_it` is given as text. After a remedy nothing may be raised, and the
message may not be said again.
"""

import contextlib
import inspect
import io
import re
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from lightning_gans.cli.main import main

Row = tuple[Callable[..., Any], dict[str, Callable[..., Any]]]
REFUSALS = (ValueError, TypeError, RuntimeError, OSError, ImportError, ArithmeticError, LookupError)


@cache
def pattern(fragment: str) -> re.Pattern[str]:
    """Return a fragment of a message, in which … stands for anything, as a regular expression."""
    return re.compile(".*".join(re.escape(part) for part in fragment.split("…")), re.DOTALL)


def each_row(table: dict[str, tuple[Any, ...]]) -> Callable[..., None]:
    """Return the test of a table: each row by its name, which is the fragment unless the row begins with one."""

    @pytest.mark.parametrize("name", table)
    def test(name: str, tmp_path: Path) -> None:
        *fragment, provoke, remedies = table[name]
        check(fragment[0] if fragment else name, (provoke, remedies), tmp_path)

    return test


def check(fragment: str, row: Row, folder: Path) -> None:
    """Provoke the message with this fragment, and do what it says."""
    provoke, remedies = row
    text = next((line for line in said(provoke, folder) if pattern(fragment).search(line)), None)
    assert text is not None, f"{fragment!r} was not said"
    assert remedies, "a row without a remedy tests nothing"
    for words, act in remedies.items():
        assert words, "a remedy has words"
        found = re.search(re.escape(words).replace(r"\{\}", r"([^\s,;)'\"]*[^\s,;)'\".])"), text)
        assert found, f"{words!r} is not in {text!r}"
        again = said(act, folder, *found.groups(), raises=False)
        assert not any(pattern(fragment).search(line) for line in again), f"{words!r} did not help"


def said(act: Callable[..., Any], folder: Path, *values: str, raises: bool = True) -> list[str]:
    """Return what is said while something is done: its error, if it `raises` one, and its warnings, a line each."""
    given = {"folder": folder} if "folder" in inspect.signature(act).parameters else {}
    lines: list[str] = []
    with warnings.catch_warnings(record=True) as caught, pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("always")
        patch.chdir(folder)
        try:
            act(*values, **given)
        except REFUSALS as error:
            if not raises:
                raise
            lines.append(str(error))
    return lines + [str(one.message) for one in caught]


def fit(gan: Any, data: Any, folder: Path | None = None, **settings: Any) -> Trainer:
    """Fit in silence, on batches in a list or on what a Trainer takes."""
    loader = DataLoader(data, batch_size=None) if isinstance(data, list) else data
    quiet = {
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "max_epochs": 1,
        "default_root_dir": folder,
    }
    trainer = Trainer(**{**quiet, **settings})
    trainer.fit(gan, loader)
    return trainer


def command(*args: Any) -> str:
    """Run `lightning-gans` with these arguments; return what it prints, and raise a ValueError with what it refuses."""
    printed, refused = io.StringIO(), io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(refused):
        try:
            main([str(one) for one in args])
        except SystemExit as end:
            code = end.code
    if code not in (0, None):
        raise ValueError(refused.getvalue())
    return printed.getvalue() + refused.getvalue()
