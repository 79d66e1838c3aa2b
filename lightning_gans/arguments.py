"""Checks of arguments, with one phrasing: "Owner(name=value): expected …, such as …."."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection
from typing import Any


def at_least(owner: object, least: float, /, **values: Any) -> None:
    """Require finite numbers of at least `least`; of a schedule, both ends.

    Args:
        owner: the object whose arguments they are, or the name to show in the message.
        least: the smallest number that is accepted.
        values: the arguments by name. None is accepted where it is the argument's default in the owner's class or
            a base class, here and below.

    Raises:
        ValueError: for the first value that is not such a number, with an example.
    """
    _check(owner, f"a number of at least {least:g}", least, lambda x: least <= x < math.inf, values)


def finite(owner: object, /, **values: Any) -> None:
    """Require numbers that are finite; of a schedule, both ends."""
    _check(owner, "a finite number", 1.0, math.isfinite, values)


def positive(owner: object, /, **values: Any) -> None:
    """Require finite numbers above 0; of a schedule, both ends."""
    _check(owner, "a finite number above 0", 1.0, lambda x: 0 < x < math.inf, values)


def fraction(owner: object, /, *, include_zero: bool = True, include_one: bool = True, **values: Any) -> None:
    """Require numbers in [0, 1], without 0 or 1 where these are not included; of a schedule, both ends."""
    kind = f"a number in {'[' if include_zero else '('}0, 1{']' if include_one else ')'}"
    fits = lambda x: 0 < x < 1 or (include_zero and x == 0) or (include_one and x == 1)  # noqa: E731
    _check(owner, kind, 0.5, fits, values)


def between(owner: object, least: float, most: float, /, **values: Any) -> None:
    """Require numbers from `least` to `most`; of a schedule, both ends."""
    _check(owner, f"a number from {least:g} to {most:g}", least, lambda x: least <= x <= most, values)


def whole(owner: object, least: int, /, **values: Any) -> None:
    """Require whole numbers (int, not bool) of at least `least`."""
    fits = lambda x: isinstance(x, int) and not isinstance(x, bool) and x >= least  # noqa: E731
    _check(owner, f"a whole number of at least {least}", least, fits, values, schedules=False)


def one_of(owner: object, choices: Collection[Any], /, **values: Any) -> None:
    """Require one of a few values."""
    for name, value in values.items():
        if value not in choices:
            listed = ", ".join("None" if choice is None else str(choice) for choice in choices)
            raise ValueError(f"{_named(owner)}({name}={value!r}): expected one of {listed}.")


def _check(
    owner: object,
    kind: str,
    fallback: float,
    fits: Callable[[Any], bool],
    values: dict[str, Any],
    schedules: bool = True,
) -> None:
    for name, value in values.items():
        ends = (value.start, value.end) if schedules and hasattr(value, "end") else (value,)
        try:
            good = all(fits(end) for end in ends)
        except TypeError:  # cannot be compared with a number
            good = False
        if good:
            continue
        defaults = _defaults(owner, name)
        if value is None and None in defaults:
            continue
        default = defaults[0] if defaults else None
        usable = isinstance(default, int | float) and not isinstance(default, bool) and fits(default)
        example = default if usable else fallback
        raise ValueError(f"{_named(owner)}({name}={value!r}): expected {kind}, such as {example}.")


def _named(owner: object) -> str:
    return owner if isinstance(owner, str) else type(owner).__name__


def _defaults(owner: object, name: str) -> list[Any]:
    """Return the defaults of an owner's argument, that of its class first, then those of its base classes."""
    kinds = [] if isinstance(owner, str) else [kind for kind in type(owner).__mro__ if "__init__" in vars(kind)]
    signatures = [inspect.signature(vars(kind)["__init__"]).parameters for kind in kinds]
    return [parameters[name].default for parameters in signatures if name in parameters]
