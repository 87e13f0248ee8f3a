"""Which sightings of consecutive frames are one face: tracks."""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from faceswap_cli.faces.sighting import Sighting

REACH: Final = 0.6
"""How far from its predicted place a face may be found after one frame, sides of its box."""
REACH_GROWTH: Final = 0.06
"""More, for each frame it was not seen."""
MAX_REACH: Final = 1.6
FARTHEST: Final = 3.0
"""In reaches: only a face that looks right is looked for so far from its place."""
COAST: Final = 0.9
"""What is left of a face's speed from one frame to the next while nobody sees it."""
NEW_SPEED: Final = 0.5
"""Share of the latest step in a face's speed."""
SIZE_SHARE: Final = math.log(1.6)
"""A growth of 1.6 costs as much as being one reach away."""
SHAPE_SHARE: Final = 0.25
"""So does a shape that differs by a quarter of its own extent: see `_unlike_shape`."""
LOOK_WEIGHT: Final = 5.0
"""What it costs not to look alike at all, in reaches; without an appearance, a third of it."""
LATE_LOOK_WEIGHT: Final = 7.0
"""Of a face not seen for LATE frames or more: its place says less by then."""
LATE: Final = 10
LOOK_UNKNOWN: Final = 0.3
LIMIT: Final = 3.0
"""What costs more than this is a new face."""
FIRST_LIKENESS: Final = 0.75
"""How alike a face is taken to be to itself before it is known."""
LOOK_MEMORY: Final = 0.1
"""Share of the latest sighting in what a face looks like."""


BLOCK: Final = 256
"""Tracks that are held against all sightings at once: a crowd must fit into memory."""

Shape = NDArray[np.complex128]


@dataclass
class _Track:
    """A face that is followed."""

    number: int
    last: Sighting
    centre: complex
    speed: complex
    """Pixels a frame."""
    shape: Shape
    look: NDArray[np.float32]
    """Mean appearance, of length 1, or (0,)."""
    likeness: float = FIRST_LIKENESS
    """How alike its sightings are to that, as a rule."""
    described: int = 0

    @classmethod
    def begin(cls, number: int, sighting: Sighting, shape: Shape) -> "_Track":
        """Return a track of one sighting, at rest."""
        return cls(
            *(number, sighting, _centre(sighting), 0j, shape, sighting.appearance),
            described=int(sighting.appearance.size > 0),
        )

    def expected(self, frame: int) -> complex:
        """Return where it should be."""
        frames = frame - self.last.frame
        return self.centre + self.speed * (1.0 - COAST**frames) / (1.0 - COAST)

    def reach_px(self, frame: int) -> float:
        """Return how far from there it may well be."""
        unseen = frame - self.last.frame - 1
        return min(MAX_REACH, REACH + REACH_GROWTH * unseen) * self.last.side_px

    def add(self, sighting: Sighting, shape: Shape) -> None:
        """Follow it to its next sighting."""
        frames, centre = sighting.frame - self.last.frame, _centre(sighting)
        step = (centre - self.centre) / frames
        self.speed += NEW_SPEED * (step - self.speed)
        self.last, self.centre, self.shape = sighting, centre, shape
        if sighting.appearance.size:
            self._note_look(sighting.appearance)

    def _note_look(self, appearance: NDArray[np.float32]) -> None:
        share = max(LOOK_MEMORY, 1.0 / (self.described + 1))
        if self.look.size == appearance.size:
            self.likeness += share * (float(self.look @ appearance) - self.likeness)
            mixed = self.look + share * (appearance - self.look)
            length = max(1e-6, float(np.linalg.norm(mixed)))
            self.look = np.asarray(mixed / length, np.float32)
        else:
            self.look = appearance
        self.described += 1


def link(sightings: Sequence[Sighting], *, cuts: Collection[int], max_gap: int) -> list[int]:
    """Return the track of each sighting.

    A face is followed by where it should be next, its size, the shape of its landmarks and what
    it looks like, measured against how much it looks like itself as a rule. All faces of a
    frame are settled at once, at the least cost together. In doubt a track ends and another
    begins: two tracks may still become one person, one track never becomes two.

    Args:
        sightings: Ordered by frame. Meshes are not looked at; appearances may be missing.
        cuts: Frames that begin a new shot: no track goes on there.
        max_gap: A face that was missing from more frames than this begins a new track. Where
            only every Nth frame is looked at, N - 1 of them are missing all the time.

    Returns:
        Numbers from 0, by first sighting; the sightings of one frame all differ.
    """
    tracks: list[int] = []
    active: list[_Track] = []
    number, ends, shot = 0, sorted(cuts), 0
    for frame, group in groupby(sightings, key=lambda sighting: sighting.frame):
        found = list(group)
        shapes = [_shape(sighting) for sighting in found]
        earlier, shot = shot, bisect_right(ends, frame)
        active = [
            track for track in active if shot == earlier and frame - track.last.frame - 1 <= max_gap
        ]
        followed = _settle(active, found, shapes)
        for index, (sighting, shape) in enumerate(zip(found, shapes, strict=True)):
            if index in followed:
                track = followed[index]
                track.add(sighting, shape)
            else:
                track = _Track.begin(number, sighting, shape)
                active.append(track)
                number += 1
            tracks.append(track.number)
    return tracks


def _settle(
    active: Sequence[_Track], found: Sequence[Sighting], shapes: Sequence[Shape]
) -> dict[int, _Track]:
    """Return the track that goes on at each sighting that continues one, by its index."""
    if not active:
        return {}
    frame = found[0].frame
    centres = np.array([_centre(sighting) for sighting in found])
    costs: dict[tuple[int, int], float] = {}
    for start in range(0, len(active), BLOCK):
        part = active[start : start + BLOCK]
        expected = np.array([track.expected(frame) for track in part])
        reach_px = np.array([track.reach_px(frame) for track in part])
        away = np.abs(expected[:, None] - centres) / reach_px[:, None]  # (tracks, sightings)
        for row, index in np.argwhere(away < FARTHEST).tolist():
            unlike = _unlike(part[row], found[index], shapes[index])
            cost = float(away[row, index]) + unlike
            if cost < LIMIT:
                costs[start + row, index] = cost
    return {index: active[row] for row, index in _cheapest(costs)}


def _cheapest(costs: Mapping[tuple[int, int], float]) -> Iterator[tuple[int, int]]:
    """Yield (row, column), each at most once, so that costs and LIMIT for what is left are least.

    Rivals only are weighed against each other: a frame of many faces is many small problems.
    """
    for part in _rivals(costs):
        if len(part) == 1:
            yield part[0]
            continue
        rows, columns = (sorted(set(side)) for side in zip(*part, strict=True))
        table = np.full((len(rows), len(columns)), LIMIT)
        for row, column in part:
            table[rows.index(row), columns.index(column)] = costs[row, column]
        for i, j in zip(*linear_sum_assignment(table), strict=True):
            if table[i, j] < LIMIT:
                yield rows[i], columns[j]


def _rivals(pairs: Iterable[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Yield the pairs in parts that share neither row nor column with each other."""
    of_row, of_column = defaultdict(list), defaultdict(list)
    for pair in pairs:
        of_row[pair[0]].append(pair)
        of_column[pair[1]].append(pair)
    seen: set[tuple[int, int]] = set()
    for first in pairs:
        if first in seen:
            continue
        seen.add(first)
        part = [first]
        for row, column in part:  # which grows
            fresh = [pair for pair in of_row[row] + of_column[column] if pair not in seen]
            seen.update(fresh)
            part += dict.fromkeys(fresh)
        yield part


def _unlike(track: _Track, sighting: Sighting, shape: Shape) -> float:
    """Return what speaks against a sighting being of that track, but for its place."""
    unseen = sighting.frame - track.last.frame - 1
    sizes = abs(math.log(sighting.side_px / track.last.side_px))
    leeway = 1.0 + REACH_GROWTH / REACH * unseen
    shapes = _unlike_shape(track.shape, shape) / SHAPE_SHARE
    late = min(1.0, unseen / LATE)
    weight = LOOK_WEIGHT + late * (LATE_LOOK_WEIGHT - LOOK_WEIGHT)
    return (
        sizes / (SIZE_SHARE * leeway)
        + shapes / leeway
        + weight * _unlike_look(track, sighting.appearance)
    )


def _unlike_look(track: _Track, appearance: NDArray[np.float32]) -> float:
    """Return how much less alike they are than the track is to itself: 0 to some 1.

    A face that opens its mouth and turns leaves its usual look within a few frames, but not
    that of the frame before.
    """
    if not appearance.size or track.look.size != appearance.size:
        return LOOK_UNKNOWN
    alike = float(track.look @ appearance)
    if track.last.appearance.size == appearance.size:
        alike = max(alike, float(track.last.appearance @ appearance))
    return max(0.0, track.likeness - alike)


def _centre(sighting: Sighting) -> complex:
    """Return where a face is: the mean of its landmarks is steadier than its box."""
    x, y = sighting.points68.mean(axis=0)
    return complex(x, y)


def _shape(sighting: Sighting) -> Shape:
    """Return the landmarks without place and size, (68,): x is real, y is imaginary."""
    points = sighting.points68[:, 0] + 1j * sighting.points68[:, 1]
    points = points - points.mean()
    return np.asarray(points / max(1e-9, float(np.linalg.norm(points))), np.complex128)


def _unlike_shape(a: Shape, b: Shape) -> float:
    """Return the part of a shape that no turn in the plane makes like the other, 0 to 1.

    Source: Kendall, "Shape manifolds, Procrustean metrics, and complex projective spaces",
    Bulletin of the London Mathematical Society 16, 1984: the full Procrustes distance.
    """
    common = min(1.0, abs(complex(np.vdot(a, b))))
    return math.sqrt(1.0 - common**2)
