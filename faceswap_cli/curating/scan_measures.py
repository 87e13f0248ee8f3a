"""What a scan needs to know of each face of a clip, in columns: a film has 100,000 of them."""

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.faces.pose import estimate_poses
from faceswap_cli.faces.sighting import Origin
from faceswap_cli.faces.sighting_store import Seen, SightingStore

ORIGINS: tuple[Origin, ...] = get_args(Origin)
ENOUGH_FACES = 8
"""Of a person, below which nobody can say how that person usually looks."""
LEAST_SPREAD = 0.15
"""Distance from the mean appearance that is usual for anybody: a still head has less."""
USUAL_SPREADS = 3.0
"""Median absolute deviations that are still usual."""
_NORMAL_MAD = 1.4826
"""Standard deviations in a median absolute deviation of normal numbers."""
_BLOCK = 4096

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ScannedFaces:
    """The faces of a clip, N of them, by frame; not known: NaN."""

    frame: Ints
    track: Ints
    person: Ints
    origin: Ints
    """Place in ORIGINS."""
    score: Floats
    sharpness: Floats
    """0: not known."""
    box: Floats
    """(N, 4): left, top, right, bottom, frame pixels."""
    place: Floats
    """(N, 4): x and y of the middle of the landmarks, frame pixels; log of their spread; roll,
    radians."""
    turn_deg: Floats
    """Yaw or pitch, whichever is more; rough where it is far from the limit."""
    likeness: Floats
    """To the person's other faces: 1 as usual or more, 0.5 twice as far away as is usual."""
    hidden: Floats = field(default_factory=lambda: np.zeros(0))
    """Part of the face that its mask leaves out."""

    def __len__(self) -> int:
        return len(self.frame)

    def is_of(self, *origins: Origin) -> Bools:
        """Return which faces were found in these ways."""
        return np.isin(self.origin, [ORIGINS.index(origin) for origin in origins])


def measure_faces(store: SightingStore) -> ScannedFaces:
    """Measure what was seen in a clip, in bounded memory: it is read twice.

    Args:
        store: With tracks and people.
    """
    numbers, turns, places = array("d"), array("d"), array("d")
    for seen in _blocks(store.lean()):
        numbers.extend(_numbers(seen))
        points = np.stack([face.sighting.points68 for face in seen])
        places.extend(_places(points).ravel())
        turns.extend(_turns(points))
    table = np.array(numbers).reshape(-1, 10)
    person, origin = table[:, 2].astype(np.int64), table[:, 3].astype(np.int64)
    is_own = np.isin(origin, [ORIGINS.index("detected"), ORIGINS.index("manual")])
    return ScannedFaces(
        frame=table[:, 0].astype(np.int64),
        track=table[:, 1].astype(np.int64),
        person=person,
        origin=origin,
        score=table[:, 4],
        sharpness=table[:, 5],
        box=table[:, 6:],
        place=np.array(places).reshape(-1, 4),
        turn_deg=np.array(turns),
        likeness=_likenesses(store, person, is_own),
        hidden=np.full(len(table), np.nan),
    )


def _blocks(seen: Iterable[Seen]) -> Iterator[list[Seen]]:
    faces = iter(seen)
    while block := list(islice(faces, _BLOCK)):
        yield block


def _numbers(seen: Sequence[Seen]) -> Iterator[float]:
    for face in seen:
        s = face.sighting
        yield from (s.frame, face.track, face.person, ORIGINS.index(s.origin))
        yield from (s.score, s.sharpness, *s.box)


def _places(points: Floats) -> Floats:
    """Return ScannedFaces.place of (N, 68, 2) landmarks; the jaw, which trembles, is left out."""
    inner = points[:, 17:]
    eyes = points[:, 42:48].mean(axis=1) - points[:, 36:42].mean(axis=1)
    spread = np.sqrt(inner.var(axis=1).sum(axis=1)).clip(min=1e-3)
    roll = np.arctan2(eyes[:, 1], eyes[:, 0])
    return np.column_stack([inner.mean(axis=1), np.log(spread), roll])


def _turns(points: Floats) -> Floats:
    """Return how far faces turn to the side, up or down, degrees, of (N, 68, 2) landmarks."""
    return np.asarray(np.abs(estimate_poses(points)[:, :2]).max(axis=1, initial=0.0), np.float64)


def _likenesses(store: SightingStore, person: Ints, is_own: Bools) -> Floats:
    """Return ScannedFaces.likeness; the mean is that of the person's other faces.

    Filled-in faces have the appearance of a neighbour: they tell nothing.
    """
    sums: dict[int, Floats] = {}
    counts: dict[int, int] = {}
    known = np.zeros(len(person), np.bool_)
    for row, face in enumerate(store.lean()):
        look = face.sighting.appearance
        if is_own[row] and look.size and look.any():
            total = sums.setdefault(face.person, np.zeros(look.size))
            if total.size == look.size:
                total += look
                counts[face.person] = counts.get(face.person, 0) + 1
                known[row] = True
    away = np.full(len(person), np.nan)
    for row, face in enumerate(store.lean()):
        if known[row] and counts[face.person] >= ENOUGH_FACES:
            away[row] = _distance(face.sighting.appearance, sums[face.person])
    likeness = np.full(len(person), np.nan)
    for who in sums:
        rows = np.flatnonzero((person == who) & ~np.isnan(away))
        if rows.size:
            likeness[rows] = np.minimum(1.0, _usual(away[rows]) / away[rows].clip(min=1e-9))
    return likeness


def _distance(look: NDArray[np.float32], total: Floats) -> float:
    """Return 1 - the product of an appearance with the mean of the others."""
    own = look.astype(np.float64)
    others = total - own
    return 1.0 - float(own @ others) / max(1e-9, math.sqrt(float(others @ others)))


def _usual(away: Floats) -> float:
    """Return the distance up to which a face of this person is as usual."""
    median = float(np.median(away))
    spread = _NORMAL_MAD * float(np.median(abs(away - median)))
    return max(LEAST_SPREAD, median + USUAL_SPREADS * spread)
