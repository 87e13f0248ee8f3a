"""The second look: faces lost between two sightings are searched where they must be."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from faceswap_cli.detect import Detection, Landmarker, Landmarks
from faceswap_cli.faces.sighting import Box, Sighting
from faceswap_cli.media.pictures import BadFrame
from faceswap_cli.media.reader import Frame
from faceswap_cli.types import RgbImage

MIN_PRESENCE = 0.25
"""Half of what the first look asks for: here a face is expected."""
TURNS_DEG = (0.0, -25.0, 25.0)
"""A tilted head is what the detector loses first."""
MAX_AWAY = 0.4
"""From where the face was expected to where it was found, sides of its box."""
MAX_RESIZE = 1.4


@dataclass(frozen=True, eq=False)
class Hole:
    """A moment at which a face of a track was not seen."""

    frame: int
    track: int
    expected: Sighting
    """Between the sightings before and after."""


def find_holes(
    tracks: Sequence[int], sightings: Sequence[Sighting], frames: Sequence[int]
) -> list[Hole]:
    """Return the frames that were looked at between two sightings of a track, and lack it.

    Args:
        tracks: Of each sighting.
        sightings: By frame; their landmarks may be those of 68 points alone.
        frames: That were looked at, growing.
    """
    by_track: defaultdict[int, list[Sighting]] = defaultdict(list)
    for track, sighting in zip(tracks, sightings, strict=True):
        by_track[track].append(sighting)
    place = {frame: number for number, frame in enumerate(frames)}
    holes = []
    for track, seen in by_track.items():
        for before, after in pairwise(seen):
            between = frames[place[before.frame] + 1 : place[after.frame]]
            holes += [Hole(frame, track, between_two(before, after, frame)) for frame in between]
    return sorted(holes, key=lambda hole: (hole.frame, hole.track))


def between_two(before: Sighting, after: Sighting, frame: int) -> Sighting:
    """Return the face as it must have been at a frame between two sightings, on a straight line."""
    share = (frame - before.frame) / (after.frame - before.frame)
    near = before if share < 0.5 else after
    left, top, right, bottom = (1.0 - share) * np.array(before.box) + share * np.array(after.box)
    mesh = None
    if before.mesh is not None and after.mesh is not None:
        mesh = (1.0 - share) * before.mesh + share * after.mesh
    return replace(
        near,
        frame=frame,
        box=(float(left), float(top), float(right), float(bottom)),
        score=0.0,
        presence=0.0,
        points68=(1.0 - share) * before.points68 + share * after.points68,
        mesh=mesh,
        origin="interpolated",
    )


def search(
    frames: Iterable[Frame | BadFrame],
    holes: Mapping[int, Sequence[Hole]],
    landmarker: Landmarker,
) -> Iterator[tuple[Hole, Sighting]]:
    """Yield what each hole is filled with: what was found near by, else what was expected.

    Args:
        frames: Those that have holes; frames that cannot be decoded keep theirs.
        holes: By frame.
        landmarker: Looks at the place where the face must be, upright and tilted.
    """
    for frame in frames:
        if isinstance(frame, BadFrame):
            continue
        for hole in holes.get(frame.index, ()):
            yield hole, _search_one(frame.image, hole.expected, landmarker)


def _search_one(image: RgbImage, expected: Sighting, landmarker: Landmarker) -> Sighting:
    eyes = expected.points68[42:48].mean(axis=0) - expected.points68[36:42].mean(axis=0)
    roll_deg = float(np.degrees(np.arctan2(eyes[1], eyes[0])))
    box = np.array(expected.box)
    tries = [Detection(box, 0.0, roll_deg + turn, np.zeros((6, 2))) for turn in TURNS_DEG]
    found = landmarker.locate([image], [tries])[0]
    fitting = [marks for marks in found if _fits(marks, expected)]
    if not fitting:
        return expected
    best = max(fitting, key=lambda marks: marks.score)
    return replace(
        expected,
        points68=best.points68,
        mesh=best.mesh,
        presence=round(best.score, 4),
        box=_box_like(expected, best),
        origin="repaired",
    )


def _fits(marks: Landmarks, expected: Sighting) -> bool:
    if marks.score < MIN_PRESENCE or not np.isfinite(marks.points68).all():
        return False
    away = marks.points68.mean(axis=0) - expected.points68.mean(axis=0)
    growth = _size(marks.points68) / max(1e-6, _size(expected.points68))
    near = float(np.hypot(*away)) <= MAX_AWAY * expected.side_px
    return near and 1.0 / MAX_RESIZE <= growth <= MAX_RESIZE


def _size(points: np.ndarray) -> float:
    return float(np.sqrt(points.var(axis=0).sum()))


def _box_like(expected: Sighting, marks: Landmarks) -> Box:
    """Return the expected box, moved and resized as the landmarks are."""
    centre_of = expected.points68.mean(axis=0)
    growth = _size(marks.points68) / max(1e-6, _size(expected.points68))
    corners = np.array(expected.box).reshape(2, 2)
    moved = (corners - centre_of) * growth + marks.points68.mean(axis=0)
    left, top, right, bottom = (round(float(v), 2) for v in moved.reshape(4))
    return left, top, right, bottom
