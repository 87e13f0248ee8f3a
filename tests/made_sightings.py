"""Faces that were never seen: sightings along paths, with a look of their own."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.faces.sighting import Sighting
from tests.made_faces import face_at

Path2 = Callable[[int], tuple[float, float]]
WIDTH = 16
"""Numbers of a look."""


def look(seed: int, *, noise: float = 0.0, frame: int = 0) -> NDArray[np.float32]:
    """Return what somebody looks like, (WIDTH,), of length 1; a little different each time."""
    vector = np.random.default_rng(seed).normal(size=WIDTH)
    vector /= np.linalg.norm(vector)
    other = np.random.default_rng((seed, frame)).normal(size=WIDTH)
    vector = vector + noise * other / np.linalg.norm(other)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def seen(
    frame: int,
    at: tuple[float, float],
    *,
    who: int | None = 0,
    side_px: float = 100.0,
    score: float = 0.9,
) -> Sighting:
    """Return a face of `who` in a frame; None: its appearance is not known."""
    x, y = at
    half = side_px / 2
    appearance = np.zeros(0, np.float32) if who is None else look(who, noise=0.3, frame=frame)
    return Sighting(
        frame=frame,
        box=(x - half, y - half, x + half, y + half),
        score=score,
        roll_deg=0.0,
        points68=face_at(at, 0.6 * side_px),
        mesh=None,
        appearance=appearance,
    )


def walk(who: int | None, path: Path2, frames: Iterable[int]) -> list[Sighting]:
    """Return somebody on a path."""
    return [seen(frame, path(frame), who=who) for frame in frames]


def merged(*walks: list[Sighting]) -> tuple[list[Sighting], list[int]]:
    """Return the sightings of all in the order of frames, and whose each is."""
    pairs = [(sighting, number) for number, one in enumerate(walks) for sighting in one]
    pairs.sort(key=lambda pair: (pair[0].frame, -pair[1]))  # the later walk first: no hint
    return [sighting for sighting, _ in pairs], [number for _, number in pairs]
