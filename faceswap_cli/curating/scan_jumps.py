"""Faces that leap: landmarks that are torn away for some frames, or for good."""

from collections.abc import Sequence

import numpy as np

from faceswap_cli.curating.scan_measures import Floats, Ints, ScannedFaces

LONGEST = 8
"""Frames that a face may be away from its path; if it stays longer, only the leap is marked."""
LONGEST_GAP = 2.5
"""Steps between two looks at a track; further apart it may have gone anywhere."""
BACK = 0.5
"""Part of a leap that may be missing when a face comes back to its path."""
EDGE = 0.5
"""Sides from the middle of a face to its edge, which turning and growing move."""


def find_jumps(
    faces: ScannedFaces, *, cuts: Sequence[int], step: float, limit: float
) -> dict[int, float]:
    """Return the faces that are off their track's path, and by how much, sides of the face.

    From one frame to the next a face leaps if it moves, turns or grows otherwise than just
    before and otherwise than just after: fast motion lasts for some frames, and a face that
    starts or stops goes on, or was going, that way.

    Args:
        faces: Of a clip.
        cuts: Frames that begin a shot; no path leads over them.
        step: Frames between two looks.
        limit: Longest leap that is none.

    Returns:
        Leap by place in `faces`.
    """
    order = np.lexsort((faces.frame, faces.track))
    found: dict[int, float] = {}
    for run in _runs(faces, order, cuts, step):
        leaps = _leaps(faces, run)
        places = np.flatnonzero(leaps > limit)
        for first, last, size in _off_path(faces, run, places.tolist(), leaps):
            found |= {int(face): max(size, found.get(int(face), 0.0)) for face in run[first:last]}
    return found


def _runs(faces: ScannedFaces, order: Ints, cuts: Sequence[int], step: float) -> list[Ints]:
    """Return the faces of each stretch of a track, by frame; fewer than 3 tell nothing."""
    frame, track = faces.frame[order], faces.track[order]
    shot = np.searchsorted(np.asarray(sorted(cuts), np.int64), frame, side="right")
    is_new = (np.diff(track) != 0) | (np.diff(shot) != 0)
    is_new |= np.diff(frame) > LONGEST_GAP * step
    return [run for run in np.split(order, np.flatnonzero(is_new) + 1) if len(run) >= 3]


def _leaps(faces: ScannedFaces, run: Ints) -> Floats:
    """Return how far each face is from where its neighbours' motion leads, (len(run),)."""
    moved = np.diff(faces.place[run], axis=0)
    moved[:, 3] = _turn(moved[:, 3])
    pace = moved / np.diff(faces.frame[run]).clip(min=1)[:, None]
    still = np.zeros((1, 4))
    before = np.concatenate([still, pace[:-1]])
    after = np.concatenate([pace[1:], still])
    spans = np.diff(faces.frame[run]).clip(min=1)[:, None]
    sides = _sides(faces, run)
    sides = np.sqrt(sides[1:] * sides[:-1])
    off = [_size(moved - other * spans, sides) for other in (before, after)]
    return np.concatenate([[0.0], np.minimum(*off)])


def _sides(faces: ScannedFaces, run: Ints) -> Floats:
    left, top, right, bottom = faces.box[run].T
    sides: Floats = ((right - left + bottom - top) / 2.0).clip(min=1.0)
    return sides


def _size(moved: Floats, sides: Floats) -> Floats:
    """Return how far the edge of a face moves, sides of the face."""
    shift = np.hypot(moved[:, 0], moved[:, 1]) / sides
    edge = EDGE * np.maximum(abs(moved[:, 2]), abs(_turn(moved[:, 3])))
    return np.asarray(np.maximum(shift, edge), np.float64)


def _turn(angle: Floats) -> Floats:
    """Return angles between -pi and pi."""
    return np.asarray((angle + np.pi) % (2.0 * np.pi) - np.pi, np.float64)


def _off_path(
    faces: ScannedFaces, run: Ints, leaps: list[int], sizes: Floats
) -> list[tuple[int, int, float]]:
    """Return which parts of a run are off its path: first, one after the last, and how far."""
    off: list[tuple[int, int, float]] = []
    while leaps:
        first, *others = leaps
        back = next((b for b in others if _is_back(faces, run, first, b, sizes)), None)
        size = float(sizes[first])
        if back is not None:
            off.append((first, back, size))
            leaps = [leap for leap in others if leap > back]
            continue
        leaps = others
        rest = len(run) - first
        if not off and first <= LONGEST and first < rest:
            off.append((0, first, size))
        elif not others and rest <= LONGEST:
            off.append((first, len(run), size))
        else:
            off.append((first, first + 1, size))
    return off


def _is_back(faces: ScannedFaces, run: Ints, first: int, back: int, sizes: Floats) -> bool:
    """Whether a face that left its path at `first` is on it again at `back`."""
    if back - first > LONGEST:
        return False
    ends = faces.place[[run[first - 1], run[back]]]
    apart = float(_size(np.diff(ends, axis=0), _sides(faces, run[[first]]))[0])
    return apart < BACK * min(float(sizes[first]), float(sizes[back]))
