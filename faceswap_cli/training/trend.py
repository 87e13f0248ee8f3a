"""Whether the losses still fall: the last tenth of a training against the tenth before."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

SHARE = 0.1
"""Of the iterations so far."""

Seen = tuple[int, Mapping[str, float]]
"""An iteration, and what was seen then, by name."""


def mean_and_trend(history: Sequence[Seen], name: str) -> tuple[float, float | None] | None:
    """Return the mean of a value over the last tenth of the iterations, and how it changes.

    Args:
        history: By growing iteration.
        name: Of the value.

    Returns:
        The mean, and its change against the tenth before, per cent; None where there is no such
        tenth, or its mean is 0. None alone if the value was not seen in the last tenth.
    """
    if not history:
        return None
    end = history[-1][0]
    start = (1.0 - SHARE) * end
    now = _mean(history, name, after=start, until=end)
    if now is None:
        return None
    before = _mean(history, name, after=start - SHARE * end, until=start)
    return now, 100.0 * (now - before) / abs(before) if before else None


def arrow(change_percent: float | None) -> str:
    """Return a change as a few characters: an arrow and its size, or nothing."""
    if change_percent is None:
        return ""
    if abs(change_percent) < 0.5:
        return "→"
    return f"{'↑' if change_percent > 0 else '↓'}{abs(change_percent):.0f}%"


def _mean(history: Sequence[Seen], name: str, *, after: float, until: float) -> float | None:
    first = bisect_right(history, after, key=lambda seen: seen[0])
    last = bisect_right(history, until, key=lambda seen: seen[0])
    values = [history[i][1][name] for i in range(first, last) if name in history[i][1]]
    return sum(values) / len(values) if values else None
