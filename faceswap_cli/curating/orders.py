"""The orders in which a faceset can be looked at: each key gives every face a value."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from faceswap_cli.curating.best import choose_best
from faceswap_cli.curating.chain import nearest_chain, unlikeness
from faceswap_cli.curating.measures import Measures


@dataclass(frozen=True, eq=False)
class Ranked:
    """A face at its place."""

    face: Measures
    value: float
    """By which it stands there; see KEYS."""
    is_kept: bool = True


@dataclass(frozen=True)
class _Plain:
    """An order by a number of each face."""

    value: Callable[[Measures], Any]
    """A number, or a tuple of which the last number is the value."""
    is_descending: bool
    meaning: str


_PLAIN = {
    "blur": _Plain(lambda face: face.sharpness, True, "sharpest first"),
    "motion-blur": _Plain(lambda face: face.steadiness, True, "least moved first"),
    "yaw": _Plain(lambda face: face.yaw_deg, True, "looking to the picture's right first"),
    "pitch": _Plain(lambda face: face.pitch_deg, True, "looking up first"),
    "roll": _Plain(lambda face: face.roll_deg, True, "tilted clockwise first"),
    "size": _Plain(lambda face: face.side_px, True, "largest in the frame first, pixels"),
    "brightness": _Plain(lambda face: face.brightness, True, "brightest first"),
    "hue": _Plain(lambda face: face.hue_deg, True, "yellowest first"),
    "black": _Plain(lambda face: face.outside, False, "least beyond the frame first"),
    "source": _Plain(lambda face: (face.source, face.frame), False, "as in the footage"),
    "track": _Plain(lambda face: (face.track, face.source, face.frame), False, "by track"),
    "person": _Plain(
        lambda face: (face.person, face.track, face.source, face.frame), False, "by person"
    ),
}
_CHAINED = {
    "histogram": "each beside those of like colours; the value is how unlike the one before",
    "histogram-dissimilar": "most unlike all others first",
    "best": "an even choice of poses, the sharpest of each; the value is the sharpness",
}
KEYS = {name: plain.meaning for name, plain in _PLAIN.items()} | _CHAINED
"""What each order is."""
_SHOWN = {"source": "frame", "track": "track", "person": "person"}
"""Of the keys that are no number: the field that is shown."""
WITHOUT_THRESHOLD = frozenset(("source", "histogram", "best"))
"""Their values are no property of a face."""


def ranked(faces: Sequence[Measures], key: str, *, best: int = 0) -> list[Ranked]:
    """Return the faces in the order of a key, the one that is wanted most first.

    Args:
        faces: In any order; equal ones are then as in the footage.
        key: Of KEYS.
        best: Of the key best: how many are chosen; the others follow, not kept.
    """
    in_time = sorted(faces, key=lambda face: (face.source, face.frame, face.name))
    if key in _PLAIN:
        return _by_number(in_time, key)
    if key == "best":
        chosen = choose_best(in_time, best)
        rest = sorted(set(range(len(in_time))) - set(chosen))
        kept = [Ranked(in_time[index], in_time[index].sharpness) for index in chosen]
        left = [Ranked(in_time[index], in_time[index].sharpness, False) for index in rest]
        return kept + left
    if not in_time:
        return []
    colours = np.stack([face.colours for face in in_time])
    if key == "histogram":
        return [Ranked(in_time[index], value) for index, value in nearest_chain(colours)]
    values = unlikeness(colours)
    return [Ranked(in_time[i], float(values[i])) for i in np.argsort(-values, kind="stable")]


def cut(
    order: Sequence[Ranked],
    *,
    keep: int | None = None,
    drop: int | None = None,
    below: float | None = None,
    above: float | None = None,
) -> list[Ranked]:
    """Return the same order, with what falls out marked as not kept.

    Args:
        order: By any key.
        keep: So many are kept, from the first on.
        drop: So many fall out, the last ones.
        below: Whose value is less falls out.
        above: Whose value is more falls out.
    """
    last = len(order)
    last = last if keep is None else min(last, keep)
    last = last if drop is None else min(last, max(0, len(order) - drop))
    low = float("-inf") if below is None else below
    high = float("inf") if above is None else above
    return [
        replace(place, is_kept=place.is_kept and index < last and low <= place.value <= high)
        for index, place in enumerate(order)
    ]


def _by_number(faces: Sequence[Measures], key: str) -> list[Ranked]:
    plain, shown = _PLAIN[key], _SHOWN.get(key)
    order = sorted(faces, key=plain.value, reverse=plain.is_descending)
    return [
        Ranked(face, float(getattr(face, shown) if shown else plain.value(face))) for face in order
    ]
