"""Which of the faces that are there a given one is."""

from collections.abc import Iterable, Sequence

import numpy as np

from faceswap_cli.curating.landmark_files import ManualFace
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.types import Points

NEAR = 0.5
"""Distance of the centres, in sizes of the larger face: further away is another face."""
GROWTH = 2.0
"""A face of more than so many times the size is another."""
TRACK_FRAMES, TRACK_NEAR = 25, 0.6
"""As far away, in frames and in sizes, a new face may be of a track that is there."""


def pair_faces(given: Sequence[Points], there: Sequence[Points]) -> dict[int, int]:
    """Return which of `there` each of `given` is, by number, the nearest pairs first.

    Args:
        given: (68, 2) points of each face, frame pixels.
        there: The same of the faces that they may be.
    """
    distances = sorted(
        (distance, one, other)
        for one, points in enumerate(given)
        for other, held in enumerate(there)
        if (distance := _distance(points, held)) < NEAR
    )
    pairs: dict[int, int] = {}
    for _, one, other in distances:
        if one not in pairs and other not in pairs.values():
            pairs[one] = other
    return pairs


def choose_track(
    face: ManualFace, frame: int, others: Iterable[FaceRecord]
) -> tuple[int, int | None]:
    """Return track and person of a new face: those of the nearest in frames close by.

    Args:
        face: The new one; what its file says goes first.
        frame: Its index.
        others: Faces of the same clip.

    Returns:
        Both as in FaceRecord; a new number for the track if no face is near.
    """
    others = list(others)
    here = {record.track for record in others if record.frame_index == frame}
    near = min(
        (
            (abs(record.frame_index - frame), distance, record.track, record.person)
            for record in others
            if abs(record.frame_index - frame) <= TRACK_FRAMES
            and record.track not in here
            and (distance := _distance(face.points68, record.landmarks)) < TRACK_NEAR
        ),
        key=lambda found: found[:2],
        default=None,
    )
    free = 1 + max((record.track for record in others), default=-1)
    track, person = (free, None) if near is None else near[2:]
    if face.track is not None:
        track = face.track
    return track, person if face.person is None else face.person


def _distance(one: Points, other: Points) -> float:
    """Return how far the centres are apart, in sizes; infinite if the sizes do not fit."""
    sizes = sorted(float(np.ptp(points, axis=0).max()) for points in (one, other))
    if sizes[1] > GROWTH * sizes[0]:
        return float("inf")
    return float(np.linalg.norm(one.mean(axis=0) - other.mean(axis=0))) / max(sizes[1], 1e-9)
