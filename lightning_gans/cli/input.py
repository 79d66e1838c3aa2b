"""The configs and keys that a command line gives, read before anything is built from them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml
from typing_extensions import override

from lightning_gans.cli.errors import fail


def check_configs(args: Sequence[str]) -> None:
    """End the command with one line where a config file cannot be read, is not YAML or contains itself.

    The value of an option may not contain itself either, which the parser would follow without end.
    """
    for path in _config_files(args):
        _leaves_of(path)
    for before, argument in zip(["", *args], args, strict=False):
        name, _, value = argument.partition("=") if argument.startswith("--") else (before, "", argument)
        if "&" in value and "*" in value and _contains_itself(_value_of(value), set(), set()):
            fail(f"{name}: the value contains itself; give one without an alias (*) of what it is in.")


def _value_of(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        return None  # of which the parser says what is wrong


def _contains_itself(tree: Any, above: set[int], checked: set[int]) -> bool:
    if not isinstance(tree, dict | list) or id(tree) in checked:
        return False
    if id(tree) in above:
        return True
    above.add(id(tree))
    found = any(_contains_itself(one, above, checked) for one in (tree.values() if isinstance(tree, dict) else tree))
    above.discard(id(tree))
    checked.add(id(tree))
    return found


def given_keys(args: Sequence[str]) -> list[str]:
    """Return every key that the options and config files set, such as `model.init_args.width`."""
    return [key for key, _ in given_settings(args)]


def given_settings(args: Sequence[str]) -> list[tuple[str, Any]]:
    """Return every key that the config files, then the options set, with its value; that of an option as it is typed.

    Options override config files where they follow them, as they usually do.
    """
    settings: list[tuple[str, Any]] = []
    for path in _config_files(args):
        settings += _leaves_of(path)
    for argument, following in zip(args, [*args[1:], ""], strict=True):
        if argument.startswith("--"):
            key, equals, value = argument[2:].partition("=")
            settings.append((key, value if equals else following))
    return settings


def settings_of_configs(args: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the settings of each config file that a command line names."""
    for path in _config_files(args):
        yield _settings_of(path)


def stacked_loggers(args: Sequence[str]) -> list[str]:
    """Return the option for the loggers of all config files, where several files name one of different classes.

    A later logger replaces an earlier one of its class only; `logger: false` or null drops those before it, and an
    option on the command line all of them.
    """
    if any(argument.startswith("--trainer.logger") for argument in args):
        return []
    loggers: dict[str, dict[str, Any]] = {}
    files = 0
    for path in _config_files(args):
        trainer = _settings_of(path).get("trainer")
        if not isinstance(trainer, dict) or "logger" not in trainer:
            continue
        given = trainer["logger"]
        named = [{"class_path": one} if isinstance(one, str) else one for one in _listed(given)]
        if not all(isinstance(one, dict) and isinstance(one.get("class_path"), str) for one in named):
            return []  # the parser says what is wrong
        files = files + 1 if named else 0
        loggers = {} if not named else loggers
        loggers |= {one["class_path"].rpartition(".")[2]: one for one in named}
    return [f"--trainer.logger={json.dumps(list(loggers.values()))}"] if files > 1 and len(loggers) > 1 else []


def _listed(given: Any) -> list[Any]:
    return [] if given in (None, False, True) else given if isinstance(given, list) else [given]


def _config_files(args: Sequence[str]) -> Iterator[Path]:
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


class _RepeatedKey(Exception):
    """A key is given twice in one mapping."""


class _UniqueKeys(yaml.SafeLoader):
    """A loader that refuses a mapping with a key twice, of which YAML would take the last in silence."""

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in lines:
                    places = f"in lines {lines[key.value]} and {line}"
                    raise _RepeatedKey(f"the key '{key.value}' is given twice, {places}; leave one of them.")
                lines[key.value] = line
        return super().construct_mapping(node, deep)


def _leaves_of(path: Path) -> list[tuple[str, Any]]:
    try:
        return _leaves(_settings_of(path))
    except RecursionError:
        _fail_too_deep(path)


def _settings_of(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)
    except _RepeatedKey as repeated:
        fail(f"{path}: {repeated}")
    except RecursionError:
        _fail_too_deep(path)
    except (yaml.YAMLError, ValueError, OSError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        fail(f"{path} is not a YAML file{line}; give a config such as those in configs/.")
    if _contains_itself(content, set(), set()):
        _fail_too_deep(path)
    if not isinstance(content, dict):
        fail(f"{path} holds no settings; give a config such as those in configs/.")
    return content


def _fail_too_deep(path: Path) -> NoReturn:
    fail(f"{path} is nested too deeply or contains itself; give a config such as those in configs/.")


def _leaves(tree: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if not isinstance(tree, dict):
        return [(prefix[:-1], tree)] if prefix else []
    return [leaf for name, branch in tree.items() for leaf in _leaves(branch, f"{prefix}{name}.")]
