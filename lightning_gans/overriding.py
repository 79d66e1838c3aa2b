"""Checks of the methods that a subclass defines: names that nothing calls, and parameters that do not fit the call."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Collection
from typing import Any


def check_hooks(kind: type, base: type, others: Collection[str] = ()) -> None:
    """Refuse methods of a class that look like hooks and are called by nothing, or not as they are written.

    A hook is a method of `base` whose name begins with `on_`. A method of the class itself with such a name must be one
    of them; of its other bases, one whose name is close to a hook's. Those that `base` defines itself must take as many
    arguments as there, in the same order, and return a value at once (neither `yield` nor `async`).

    Args:
        kind: the class.
        base: the class that names the hooks.
        others: further names that are called.

    Raises:
        ValueError: for the first such method, naming the hook that is meant.
    """
    hooks = [name for name in dir(base) if name.startswith("on_")]
    for name in dir(kind):
        if not name.startswith("on_") or name in others:
            continue
        owner = next(one for one in kind.__mro__ if name in vars(one))
        if name not in hooks:
            close = difflib.get_close_matches(name, hooks, 1, 0.75)
            if close or issubclass(owner, base):
                meant = f"did you mean {close[0]}?" if close else f"hooks are {', '.join(_own_hooks(base))}."
                raise ValueError(
                    f"{kind.__name__}.{name} is no hook of {base.__name__}, so nothing calls it; {meant} A method of "
                    "your own needs a name that does not begin with on_."
                )
        elif name in _own_hooks(base) and owner not in base.__mro__:
            _check_call(kind, name, getattr(kind, name), getattr(base, name))


def _own_hooks(base: type) -> list[str]:
    return [name for name in vars(base) if name.startswith("on_")]


def _check_call(kind: type, name: str, method: Any, hook: Any) -> None:
    """Refuse a method that cannot be called like the hook that it overrides."""
    called = inspect.signature(hook).parameters
    expected = f"{name}({', '.join(called)})"
    if not callable(method):
        raise ValueError(
            f"{kind.__name__}.{name} is {method!r}, expected {expected}; leave the hook out where it does nothing."
        )
    if any(test(method) for test in (inspect.isgeneratorfunction, inspect.iscoroutinefunction)):
        raise ValueError(
            f"{kind.__name__}.{name} is a generator or a coroutine, which a call does not run; write it with return, "
            "without yield and async."
        )
    try:
        signature = inspect.signature(method)
        signature.bind(*called)
    except TypeError as error:
        raise ValueError(
            f"{kind.__name__}.{name} cannot be called as it is written ({error}); expected {expected}; give it these "
            "parameters."
        ) from None
    positions = {parameter: place for place, parameter in enumerate(called)}
    for place, parameter in enumerate(signature.parameters):
        if positions.get(parameter, place) != place:
            raise ValueError(
                f"{kind.__name__}.{name}({', '.join(signature.parameters)}) has its parameters in another order than "
                f"they are given; expected {expected}; use this order."
            )


def check_names(kind: type, base: type, names: Collection[str]) -> None:
    """Refuse an attribute of a class whose name is that of a part of `base` but for a letter or two.

    Args:
        kind: the class.
        base: the class whose parts may be overridden.
        names: of these parts.

    Raises:
        ValueError: for the first such attribute, naming the part that is meant.
    """
    for name in vars(kind):
        known = any(hasattr(one, name) for one in kind.__mro__[1:])
        close = [] if known or name.startswith("_") else difflib.get_close_matches(name, names, 1, 0.9)
        if close and close[0] not in vars(kind):
            raise ValueError(
                f"{kind.__name__}.{name} is no part of {base.__name__}, so nothing reads it; did you mean {close[0]}? "
                "An attribute of your own needs a name that is less like it."
            )
