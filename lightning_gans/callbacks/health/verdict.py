"""From the states of single readings to the state that is reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lightning_gans.callbacks.health.states import HEALTHY, NON_FINITE, State


def verdict(reported: State, recent: Sequence[State], patience: int, scaled: bool) -> State:
    """Return the state to report, which lasts: trainings in trouble often waver between two failures.

    Args:
        reported: the state that was reported last.
        recent: the states of the last 2 × `patience` readings, or of fewer at the beginning; the newest is last.
        patience: readings in a row that must fail before a failure is reported, by the name that most of them have.
            As many readings replace one failure by another, and twice as many healthy ones end it.
        scaled: whether gradients are scaled (16-mixed). A scaler skips an update that overflows, and recovers, so NaN
            or infinity is reported from the second reading in a row on, and otherwise at once.
    """
    last, lasting = recent[-1], list(recent[-patience:])
    if last == NON_FINITE:
        sure = not scaled or list(recent[-2:]) == [NON_FINITE] * 2
        return NON_FINITE if sure else reported
    if reported == HEALTHY:
        lasts = len(lasting) == patience and HEALTHY not in lasting
        return Counter(reversed(lasting)).most_common(1)[0][0] if lasts else HEALTHY
    if last == HEALTHY:  # a failure that pauses is not over
        return HEALTHY if list(recent) == [HEALTHY] * (2 * patience) else reported
    return last if lasting == [last] * patience else reported
