"""Footage and result side by side, of the frames that need a look."""

from collections.abc import Mapping, Sequence
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
    known = [doubt for doubt in doubts if doubt.frame in times]
    boxes = {doubt.frame: _box(doubt, faces) for doubt in known}
    shown = [
        read_thumbs(source, {f: View(times[f][side], box) for f, box in boxes.items()})
        for side, source in enumerate(sources)
    ]
    empty = np.full((THUMB_PX, THUMB_PX, 3), _PAPER, np.uint8)
    line = np.full((THUMB_PX, BETWEEN_PX, 3), 255, np.uint8)
    return [
        np.hstack([shown[0].get(d.frame, empty), line, shown[1].get(d.frame, empty)])
        for d in doubts
    ]


def _box(doubt: Doubt, faces: Mapping[int, Sequence[FaceRecord]]) -> Box | None:
    """Return where the face is; of one that was missed, where it was a frame before."""
    for frame in (doubt.frame, doubt.frame - 1):
        for record in faces.get(frame, ()):
            if record.track == doubt.track:
                low, high = record.landmarks.min(axis=0), record.landmarks.max(axis=0)
                return float(low[0]), float(low[1]), float(high[0]), float(high[1])
    return None
