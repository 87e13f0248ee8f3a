"""Detecting in some frames of a film, and taking the faces of those between from them."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from faceswap_cli.detect import Detection, Detector
from faceswap_cli.types import RgbImage

SAME_FACE_OVERLAP = 0.5
"""Intersection over union of a face in two frames: it hardly moved."""


def detect_sparsely(
    detector: Detector, frames: Sequence[RgbImage], *, stride: int
) -> list[list[Detection]]:
    """Return the faces of each frame; the detector sees every stride-th, and the last one.

    Faces that are in two of these frames, nearly at the same place, are taken to move on a
    straight line between them. Where a face comes, goes or leaps, all frames are looked at.

    Args:
        detector: Sees what it is given.
        frames: Consecutive frames of a film.
        stride: 1 looks at every frame.
    """
    keys = sorted({*range(0, len(frames), stride), len(frames) - 1}) if frames else []
    found = dict(zip(keys, detector.detect([frames[key] for key in keys]), strict=True))
    unclear: list[int] = []
    for first, last in pairwise(keys):
        pairs = _pairs(found[first], found[last])
        if pairs is None:
            unclear += range(first + 1, last)
            continue
        for frame in range(first + 1, last):
            share = (frame - first) / (last - first)
            found[frame] = [_between(a, b, share) for a, b in pairs]
    if unclear:
        found |= zip(unclear, detector.detect([frames[frame] for frame in unclear]), strict=True)
    return [found[frame] for frame in range(len(frames))]


def _pairs(
    before: Sequence[Detection], after: Sequence[Detection]
) -> list[tuple[Detection, Detection]] | None:
    """Return each face with itself in another frame; None if that is not certain of all."""
    if len(before) != len(after):
        return None
    overlap = np.array([[_overlap(a, b) for b in after] for a in before])
    overlap = overlap.reshape(len(before), len(after))
    rows, columns = linear_sum_assignment(-overlap)
    if (overlap[rows, columns] < SAME_FACE_OVERLAP).any():
        return None
    return [(before[a], after[b]) for a, b in zip(rows, columns, strict=True)]


def _overlap(a: Detection, b: Detection) -> float:
    low, high = np.maximum(a.box[:2], b.box[:2]), np.minimum(a.box[2:], b.box[2:])
    shared = float(np.prod((high - low).clip(min=0.0)))
    areas = float(np.prod(a.box[2:] - a.box[:2]) + np.prod(b.box[2:] - b.box[:2]))
    return shared / max(1e-9, areas - shared)


def _between(a: Detection, b: Detection, share: float) -> Detection:
    turn_deg = (b.roll_deg - a.roll_deg + 180.0) % 360.0 - 180.0
    return Detection(
        box=(1.0 - share) * a.box + share * b.box,
        score=(1.0 - share) * a.score + share * b.score,
        roll_deg=a.roll_deg + share * turn_deg,
        keypoints=(1.0 - share) * a.keypoints + share * b.keypoints,
    )
