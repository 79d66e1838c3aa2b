"""Functions in a config, which the parser calls: each must be declared to return what its setting takes."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

from jsonargparse import Namespace


def check_factories(settings: Any, place: str = "") -> None:
    """Refuse functions for settings that take a factory, unless they are declared to return one.

    A setting such as an optimizer, a schedule or an activation takes a class, or the import path of a function, as a
    factory. With `class_path` and `init_args` the parser calls a function, such as `os.system`, and takes what it
    returns, whatever that is. Nothing is called here.

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
    classes = list(_made(made))
    if not classes or not all(issubclass(one, kinds) for one in classes):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(
            f"{place}: {setting['class_path']} is no class of {wanted}, nor a function that is declared to return a "
            f"factory of one, and was not called; give the import path of a class that derives from {wanted}."
        )


def _made_by(maker: Any, name: str) -> tuple[type, ...]:
    """Return the classes of whose objects a setting of a class or function takes a factory; () if it takes none."""
    owners = [maker]
    if isinstance(maker, type):
        owners = [vars(kind)["__init__"] for kind in maker.__mro__ if "__init__" in vars(kind)]
    for owner in owners:
        if inspect.isfunction(owner) and name in inspect.signature(owner).parameters:
            return tuple(_made(_hints(owner).get(name)))
    return ()


def _made(annotation: Any) -> Iterator[type]:
    """Yield the classes of the objects that a callable returns, by its annotation, which may be one of several."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for one in typing.get_args(annotation):
            yield from _made(one)
    elif typing.get_origin(annotation) is Callable and typing.get_args(annotation):
        returned = typing.get_args(annotation)[-1]
        several = typing.get_origin(returned) in (typing.Union, types.UnionType)
        yield from (one for one in (typing.get_args(returned) if several else (returned,)) if isinstance(one, type))


def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # a name that is imported for typing alone, or a builtin
        return {}
