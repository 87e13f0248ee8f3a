"""Finding faces in a film: the detector sees some frames, those between follow from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from faceswap_cli.detect import Detection, Detector, Landmarker, Landmarks
from faceswap_cli.detect.facemesh import MARGIN, MIN_PRESENCE, region_of_mesh
from faceswap_cli.types import RgbImage

SAME_FACE_OVERLAP = 0.5
"""Intersection over union of a face in two frames: it hardly moved."""


@dataclass
class Sparse:
    """Detections of consecutive frames."""

    seen: dict[int, list[Detection]] = field(default_factory=dict)
    """Of the frames that the detector saw."""
    between: dict[int, tuple[int, int, list[tuple[int, int]]]] = field(default_factory=dict)
    """Of each frame that it did not: the seen frames before and after, and which face of the one
    is which of the other."""

    def at(self, frame: int) -> list[Detection]:
        """Return the faces of a frame; between two frames they move on a straight line."""
        if frame in self.seen:
            return self.seen[frame]
        first, last, pairs = self.between[frame]
        share = (frame - first) / (last - first)
        return [_between(self.seen[first][a], self.seen[last][b], share) for a, b in pairs]


def detect_sparsely(detector: Detector, frames: Sequence[RgbImage], *, stride: int) -> Sparse:
    """Detect in every stride-th frame, and in the last one.

    Faces that are in two of these frames, nearly at the same place, are taken to be in those
    between them, too. Where a face comes, goes or leaps, all frames are looked at.

    Args:
        detector: Sees what it is given.
        frames: Consecutive frames of a film.
        stride: 1 looks at every frame.
    """
    found = Sparse()
    keys = sorted({*range(0, len(frames), stride), len(frames) - 1}) if frames else []
    found.seen |= zip(keys, detector.detect([frames[key] for key in keys]), strict=True)
    unclear: list[int] = []
    for first, last in pairwise(keys):
        pairs = _pairs(found.seen[first], found.seen[last])
        if pairs is None:
            unclear += range(first + 1, last)
        else:
            found.between |= {frame: (first, last, pairs) for frame in range(first + 1, last)}
    if unclear:
        more = detector.detect([frames[frame] for frame in unclear])
        found.seen |= zip(unclear, more, strict=True)
    return found


def locate_sparsely(
    landmarker: Landmarker, frames: Sequence[RgbImage], found: Sparse
) -> list[list[tuple[Detection, Landmarks]]]:
    """Return the faces of each frame with their landmarks.

    In the frames between, they are looked for where the meshes before and after tell, which is
    exact enough for one look to do.

    Args:
        landmarker: Places the landmarks.
        frames: The same.
        found: What detect_sparsely returned.
    """
    keys = sorted(found.seen)
    located = landmarker.locate([frames[key] for key in keys], [found.seen[key] for key in keys])
    marks = dict(zip(keys, located, strict=True))
    rest = sorted(found.between)
    places = [_places(found, marks, frame) for frame in rest]
    more = landmarker.locate([frames[frame] for frame in rest], places)
    marks |= zip(rest, more, strict=True)
    return [list(zip(found.at(frame), marks[frame], strict=True)) for frame in range(len(frames))]


def _places(found: Sparse, marks: dict[int, list[Landmarks]], frame: int) -> list[Detection]:
    """Return where to look for the landmarks of a frame between."""
    first, last, pairs = found.between[frame]
    share = (frame - first) / (last - first)
    return [
        _place(detection, marks[first][a], marks[last][b], share)
        for detection, (a, b) in zip(found.at(frame), pairs, strict=True)
    ]


def _place(detection: Detection, before: Landmarks, after: Landmarks, share: float) -> Detection:
    if before.mesh is None or after.mesh is None or min(before.score, after.score) < MIN_PRESENCE:
        return detection
    region = region_of_mesh((1.0 - share) * before.mesh + share * after.mesh)
    half = np.full(2, region.side_px / MARGIN / 2.0)
    box = np.concatenate([region.centre - half, region.centre + half])
    return replace(detection, box=box, roll_deg=region.roll_deg, is_exact=True)


def _pairs(before: Sequence[Detection], after: Sequence[Detection]) -> list[tuple[int, int]] | None:
    """Return each face with itself in another frame; None if that is not certain of all."""
    if len(before) != len(after):
        return None
    overlap = np.array([[_overlap(a, b) for b in after] for a in before])
    overlap = overlap.reshape(len(before), len(after))
    rows, columns = linear_sum_assignment(-overlap)
    if (overlap[rows, columns] < SAME_FACE_OVERLAP).any():
        return None
    return [(int(a), int(b)) for a, b in zip(rows, columns, strict=True)]


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
