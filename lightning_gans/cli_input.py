"""What a command line and its config files hold, looked at before anything is built from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from lightning_gans.cli_errors import fail

_MOST = 100_000  # settings; a config of this library has some hundred
_DEEPEST = 100
_IN_BRACKETS = ("[", "{", "&", "*", "!")


def check_input(args: Sequence[str]) -> None:
    """Refuse configs that cannot be read, and any that are small to write and without end to read.

    YAML can name a part and repeat it, so that ten lines stand for billions of settings.
    """
    for path in _configs(args):
        _measure(str(path), _content(path))
    for argument in args:
        name, _, value = argument.rpartition("=")
        if value.strip().startswith(_IN_BRACKETS):
            try:
                content = yaml.safe_load(value)
            except RecursionError:
                _refuse(name or value[:40])
            except (yaml.YAMLError, ValueError):
                continue  # the parser says what is wrong
            _measure(name or value[:40], content)


def given_keys(args: Sequence[str]) -> list[str]:
    """Every key that the user gives, on the line or in a config file, such as `model.init_args.width`."""
    keys = [argument[2:].split("=")[0] for argument in args if argument.startswith("--")]
    for path in _configs(args):
        content = _content(path)
        if not isinstance(content, dict):
            fail(f"{path} holds no settings; give a config such as those in configs/, with model, data and trainer.")
        keys += _keys(content)
    return keys


def _configs(args: Sequence[str]) -> Iterator[Path]:
    for flag, following in zip(args, [*args[1:], ""], strict=True):
        name, _, value = flag.partition("=")
        if name in ("--config", "-c"):
            path = Path(value or following)
            try:
                is_file = path.is_file()
            except (OSError, ValueError) as error:  # a name too long, or with a zero byte
                fail(f"{name}: no file can have the name {str(path)[:60]!r} ({error}); give the path of a config.")
            if is_file:
                yield path


def _content(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except RecursionError:
        _refuse(str(path))
    except (yaml.YAMLError, ValueError, OSError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" (line {where.line + 1})" if where else ""
        fail(f"{path} is not a YAML file{line}; give a config such as those in configs/.")


def _measure(name: str, content: Any) -> None:
    waiting, seen = [(content, 0)], 0
    while waiting:
        branch, depth = waiting.pop()
        seen += 1
        if seen > _MOST or depth > _DEEPEST:
            _refuse(name)
        if isinstance(branch, dict | list):
            inner = branch.values() if isinstance(branch, dict) else branch
            waiting += [(one, depth + 1) for one in inner]


def _refuse(name: str) -> None:
    fail(
        f"{name} holds more than {_MOST} settings, counting what it repeats, or is nested more than {_DEEPEST} deep; "
        "give a config such as those in configs/."
    )


def _keys(tree: Any, prefix: str = "") -> list[str]:
    if not isinstance(tree, dict):
        return [prefix[:-1]] if prefix else []
    return [key for name, branch in tree.items() for key in _keys(branch, f"{prefix}{name}.")]
