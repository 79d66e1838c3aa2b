"""Functions in a config: each must be declared to return what its setting is to be made of, before it is called."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

from jsonargparse import Namespace


def check_factories(settings: Any, place: str = "") -> None:
    """Refuse functions that are not declared to return an object of the kind that their setting takes.

    A setting that takes a class also takes a function which makes an object of it, with `class_path` and `init_args`.
    The parser checks classes; of functions it calls any, such as `os.system` for a schedule. Nothing is called here.

    Args:
        settings: a parsed config or a part of it.
        place: where in the config that is.

    Raises:
        ValueError: for the first such function, naming its setting.
    """
    maker = _maker(settings)
    for name, value in _items(settings):
        if name == "init_args" and maker is not None:
            for argument, given in _items(value):
                _check(f"{place}.{argument}".lstrip("."), given, _made_by(maker, argument))
            check_factories(value, place)
        else:
            check_factories(value, f"{place}.{name}".lstrip("."))


def _items(settings: Any) -> list[tuple[Any, Any]]:
    if isinstance(settings, Namespace):
        return list(vars(settings).items())
    if isinstance(settings, dict):
        return list(settings.items())
    return list(enumerate(settings)) if isinstance(settings, list | tuple) else []


def _maker(setting: Any) -> Any:
    """Return the class or function that a setting names, None where it names none."""
    path = setting.get("class_path") if isinstance(setting, Namespace | dict) else None
    return _imported(path) if isinstance(path, str) else None


def _imported(path: str) -> Any:
    """Return what an import path refers to, by the modules that the parser has imported already."""
    parts = path.split(".")
    for number in range(len(parts) - 1, 0, -1):
        found: Any = sys.modules.get(".".join(parts[:number]))
        if found is not None:
            for name in parts[number:]:
                found = getattr(found, name, None)
            return found
    return None


def _check(place: str, setting: Any, kinds: tuple[type, ...]) -> None:
    maker = _maker(setting)
    if maker is None or isinstance(maker, type) or not kinds:
        return
    made = _hints(maker).get("return")
    if not (isinstance(made, type) and issubclass(made, kinds)):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(
            f"{place}: {setting['class_path']} is neither a class of {wanted} nor a function that is declared to "
            f"return one, and was not called; give the import path of a class that derives from {wanted}."
        )


def _made_by(maker: Any, name: str) -> tuple[type, ...]:
    """Return the classes that a setting of a class or function takes, or of whose objects it takes a factory."""
    owners = [maker]
    if isinstance(maker, type):
        owners = [vars(kind)["__init__"] for kind in maker.__mro__ if "__init__" in vars(kind)]
    for owner in owners:
        if inspect.isfunction(owner) and name in inspect.signature(owner).parameters:
            return tuple(_classes(_hints(owner).get(name)))
    return ()


def _classes(annotation: Any) -> Iterator[type]:
    """Yield the classes in an annotation; of a callable, those that it returns."""
    if isinstance(annotation, type) and annotation is not type(None) and not typing.get_origin(annotation):
        if annotation not in (int, float, str, bool):
            yield annotation
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for one in typing.get_args(annotation):
            yield from _classes(one)
    elif typing.get_origin(annotation) is Callable and typing.get_args(annotation):
        yield from _classes(typing.get_args(annotation)[-1])


def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # a name that is imported for typing alone, or a builtin
        return {}
