"""What a class's constructor takes: its arguments by name, and its defaults, which may be functions."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any


def by_name(kind: type, args: Any, kwargs: Any) -> dict[str, Any] | None:
    """Return all arguments of a constructor by name, None where some have none or the constructor will refuse them."""
    signature = inspect.signature(kind.__init__)  # type: ignore[misc] # that of the class, not of an instance
    try:
        bound = signature.bind(None, *args, **kwargs)
    except TypeError:
        return None
    bound.apply_defaults()
    kinds = {parameter.kind: name for name, parameter in signature.parameters.items()}
    if bound.arguments.pop(kinds.get(inspect.Parameter.VAR_POSITIONAL, ""), None):
        return None
    further = bound.arguments.pop(kinds.get(inspect.Parameter.VAR_KEYWORD, ""), {})
    return dict(list(bound.arguments.items())[1:]) | further


def default_of(kind: type, name: str) -> Any:
    """Return the default of an argument of a class's constructor, or of that of a base class."""
    return next((parameters[name].default for _, parameters in _constructors(kind) if name in parameters), None)


def without_defaults(state: dict[str, Any], kind: type) -> dict[str, Any]:
    """Return a state, in dicts of any depth, that names those functions in it that are defaults of a constructor.

    Such a function is a lambda, which cannot be pickled; its place can.

    Args:
        state: values by name.
        kind: the class whose constructor, and those of whose bases, have the defaults.
    """
    places = {id(one.function): one for one in _function_defaults(kind)}

    def without(value: Any) -> Any:
        if type(value) is dict:
            return {name: without(part) for name, part in value.items()}
        return places.get(id(value), value)

    return without(state)


def with_defaults(state: Any) -> Any:
    """Return a state as it was before `without_defaults`."""
    if type(state) is dict:
        return {name: with_defaults(value) for name, value in state.items()}
    return state.function if isinstance(state, _Default) else state


@dataclass(frozen=True)
class _Default:
    kind: type
    argument: str

    @property
    def function(self) -> Any:
        return inspect.signature(vars(self.kind)["__init__"]).parameters[self.argument].default


def _constructors(kind: type) -> Iterator[tuple[type, Any]]:
    for parent in kind.__mro__:
        if "__init__" in vars(parent):
            yield parent, inspect.signature(vars(parent)["__init__"]).parameters


def _function_defaults(kind: type) -> Iterator[_Default]:
    for parent, parameters in _constructors(kind):
        for name, parameter in parameters.items():
            if isinstance(parameter.default, FunctionType):
                yield _Default(parent, name)
