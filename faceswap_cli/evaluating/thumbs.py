"""Footage and result side by side, of the frames that need a look."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

import numpy as np

from faceswap_cli.curating.scan_thumbs import THUMB_PX, View, read_thumbs
from faceswap_cli.evaluating.doubts import Doubt
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.sighting import Box
from faceswap_cli.media.source import Source
from faceswap_cli.types import RgbImage

BETWEEN_PX = 4
_PAPER = 128

Times = Mapping[int, tuple[Fraction, Fraction]]
"""Of a frame in the footage and in the result, seconds, by its number."""


def read_sides(
    sources: tuple[Source, Source],
    doubts: Sequence[Doubt],
    faces: Mapping[int, Sequence[FaceRecord]],
    times: Times,
) -> list[RgbImage]:
    """Return a picture of each doubt, (THUMB_PX, 2 * THUMB_PX + BETWEEN_PX, 3).

    What cannot be read is grey.

    Args:
        sources: Footage and result.
        doubts: In whatever order.
        faces: That are swapped, by frame.
        times: Of the frames that were read.
    """
    empty = np.full((THUMB_PX, THUMB_PX, 3), _PAPER, np.uint8)
    line = np.full((THUMB_PX, BETWEEN_PX, 3), 255, np.uint8)
    shown: dict[tuple[int, int], list[RgbImage]] = {}
    for part in _rounds(doubt for doubt in doubts if doubt.frame in times):
        thumbs = [
            read_thumbs(source, {f: View(times[f][side], _box(part[f], faces)) for f in part})
            for side, source in enumerate(sources)
        ]
        for frame, doubt in part.items():
            shown[frame, doubt.track] = [found.get(frame, empty) for found in thumbs]
    sides = (shown.get((doubt.frame, doubt.track), [empty, empty]) for doubt in doubts)
    return [np.hstack([footage, line, result]) for footage, result in sides]


def _rounds(doubts: Iterable[Doubt]) -> list[dict[int, Doubt]]:
    """Return the doubts by frame; faces of one frame are in different rounds."""
    rounds: list[dict[int, Doubt]] = []
    for doubt in doubts:
        free = next((part for part in rounds if doubt.frame not in part), None)
        if free is None:
            rounds.append(free := {})
        free[doubt.frame] = doubt
    return rounds


def _box(doubt: Doubt, faces: Mapping[int, Sequence[FaceRecord]]) -> Box | None:
    """Return where the face is; of one that was missed, where it was a frame before."""
    for frame in (doubt.frame, doubt.frame - 1):
        for record in faces.get(frame, ()):
            if record.track == doubt.track:
                low, high = record.landmarks.min(axis=0), record.landmarks.max(axis=0)
                return float(low[0]), float(low[1]), float(high[0]), float(high[1])
    return None
