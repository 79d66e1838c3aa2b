"""The option --import: modules of the user's own, whose classes every command may then build."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule

from lightning_gans import checkpoints
from lightning_gans.cli.errors import fail
from lightning_gans.cli.input import settings_of_configs

HELP = (
    "A module of your own to import first, such as my_gans for the file my_gans.py in this folder; its classes can "
    "then be named in configs and options, and built from checkpoints. May be given several times."
)


def take_imports(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the arguments without `--import`, and the modules that it and `import` in the configs name."""
    names, rest = [], []
    following = iter(args)
    for argument in following:
        flag, sign, value = argument.partition("=")
        if flag != "--import":
            rest.append(argument)
            continue
        value = value if sign else next(following, "")
        names += [name.strip(" \"'") for name in value.strip("[]").split(",")]
    for settings in settings_of_configs(args):
        given = settings.get("import")
        names += [one for one in listed(given) if isinstance(one, str)]
    return rest, list(dict.fromkeys(names))


def import_modules(names: Iterable[str]) -> None:
    """Import modules, and let checkpoints name what is in them; end the command with one line where one cannot be."""
    for name in names:
        _import(name)


def listed(given: list[str] | str | None) -> list[str]:
    """Return the modules that the setting `import` of a config names."""
    return [given] if isinstance(given, str) else given or []


def option(names: Sequence[str]) -> list[str]:
    """Return the option that names these modules, for a parser or to be typed."""
    return [f"--import={json.dumps(list(names))}"] if names else []


def needed_by(model: LightningModule, given: list[str] | str | None) -> str:
    """Return the options, to be typed, by which another command finds the classes that a model is made of.

    Args:
        model: the model of a run.
        given: the modules that the run's own command has imported.
    """
    parts = {"class_path": checkpoints.name_of(type(model)), "settings": dict(model.hparams)}
    names = dict.fromkeys([*listed(given), *_foreign({**parts, "changes": getattr(model, "network_changes", [])})])
    return "".join(f" --import {name}" for name in names)


def _foreign(settings: Any) -> Iterator[str]:
    """Yield the modules, outside of this library and of PyTorch, of the classes that settings name."""
    known = ("lightning_gans", "torch", "lightning", "builtins")
    for key, value in settings.items() if isinstance(settings, dict) else enumerate(settings):
        if isinstance(value, dict | list):
            yield from _foreign(value)
        elif key == "class_path" and "." in str(value) and str(value).partition(".")[0] not in known:
            yield str(value).rpartition(".")[0]


def _import(given: str) -> None:
    path = Path(given)
    name, folder = (path.stem, path.parent.resolve()) if path.suffix == ".py" else (given, Path.cwd())
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))  # as for a script; the command's own folder comes first otherwise
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            fail(
                f"--import {given}: the module needs {error.name}, which is not installed; add it to this environment."
            )
        fail(
            f"--import {given}: there is no {name.replace('.', os.sep)}.py in {folder}, nor an installed module of "
            "that name; give the name of a Python file in this folder, without .py."
        )
    except (ValueError, TypeError) as error:
        if not name.strip("."):
            fail(f"--import {given!r}: expected the name of a module, such as my_gans for my_gans.py; give one.")
        _fail(given, name, error)
    except (Exception, SystemExit) as error:
        _fail(given, name, error)
    checkpoints.trust_module(name)


def _fail(given: str, name: str, error: BaseException) -> None:
    if isinstance(error, SystemExit):
        fail(
            f"--import {given}: the module ends the program when it is imported; change it: what it runs belongs below "
            '`if __name__ == "__main__":`.'
        )
    place = traceback.extract_tb(error.__traceback__)[-1]
    fail(
        f"--import {given}: the module cannot be imported ({type(error).__name__}: {str(error).strip()[:200]}, "
        f"{Path(place.filename).name}, line {place.lineno}); change it; python -c 'import {name}' shows where."
    )
