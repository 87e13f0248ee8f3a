"""Which checkpoints of a training stay."""

from collections.abc import Sequence
from dataclasses import dataclass

HOUR_S = 3600.0


@dataclass(frozen=True)
class Saved:
    """A checkpoint, as far as this is concerned."""

    iteration: int
    loss: float
    """Mean since the one before."""
    elapsed_s: float
    """Time of training until then."""


def which_stay(saved: Sequence[Saved], *, newest: int, every_hours: float) -> set[int]:
    """Return the iterations of the checkpoints that stay.

    They are the newest, the one of the lowest loss, and the last one of every so many hours of
    training. That of iteration 0 has learnt nothing: it stays until there is another. Asked
    again after every save, with what has stayed, this keeps the same as asked once at the end.

    Args:
        saved: In any order.
        newest: How many of the newest, 1 or more.
        every_hours: 0: none for their age.
    """
    in_order = sorted(saved, key=lambda one: one.iteration)
    trained = [one for one in in_order if one.iteration > 0] or in_order
    stay = {one.iteration for one in trained[-newest:]}
    if trained:
        stay.add(min(trained, key=lambda one: (one.loss, one.iteration)).iteration)
    if every_hours > 0:
        span_s = every_hours * HOUR_S
        last = {int(one.elapsed_s // span_s): one.iteration for one in trained}
        stay |= set(last.values())
    return stay
