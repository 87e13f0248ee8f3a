"""Landmarks drawn into a frame, for people to look at."""

from collections.abc import Sequence

import cv2
import numpy as np

from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.types import RgbImage

_POINT, _BOX, _CROP = (0, 255, 0), (255, 160, 0), (80, 160, 255)


def draw_overlay(frame: RgbImage, records: Sequence[FaceRecord]) -> RgbImage:
    """Return a copy of the frame with boxes, crops, 68 points and track numbers."""
    drawn = frame.copy()
    width = max(1, round(min(frame.shape[:2]) / 500))
    for record in records:
        left, top, right, bottom = (round(v) for v in record.box)
        cv2.rectangle(drawn, (left, top), (right, bottom), _BOX, width)
        side = record.size_px - 0.5
        corners = np.array([[-0.5, -0.5], [side, -0.5], [side, side], [-0.5, side]])
        outline = np.rint(record.crop.inverse().apply(corners)).astype(np.int32)
        cv2.polylines(drawn, [outline], isClosed=True, color=_CROP, thickness=width)
        for x, y in record.landmarks:
            cv2.circle(drawn, (round(x), round(y)), width + 1, _POINT, cv2.FILLED, cv2.LINE_AA)
        label = f"track {record.track}  {record.score:.2f}  yaw {record.pose_deg[1]:.0f}"
        at, font = (left, max(12, top - 6)), cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(drawn, label, at, font, 0.5 * width, _BOX, width, cv2.LINE_AA)
    return drawn
