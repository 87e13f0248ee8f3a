"""What is painted, and whether anything else has changed."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.geometry import bounding_box
from faceswap_cli.masks import feather, hull_mask
from faceswap_cli.types import FloatImage, Points, RgbImage

MARGIN = 0.04
"""Of the face: around the mask, where chroma and the codec's blocks reach over its edge."""
LEAST_MARGIN_PX = 8
SEEN = 5.0
"""Levels by which a pixel must differ, to be told from what the codec does."""
LEAST_SHARE = 0.3
"""Of the hull: if less has changed, the mask cannot be found from the difference."""
SOFT = 0.04
"""Of the face: width of the edge that is assumed for a mask found so."""
BEST_DB = 99.0
"""Of two equal pictures; no number is infinite in JSON."""


def squared_error(
    result: RgbImage, footage: RgbImage, mask: FloatImage | None, face_px: float
) -> float:
    """Return the mean squared difference outside of a mask, squared levels; NaN: all is inside.

    Args:
        result: (H, W, 3), a whole frame.
        footage: (H, W, 3).
        mask: (H, W), 0..1; None: nothing is painted.
        face_px: Size of the largest face, pixels.
    """
    outside = None
    count = result.shape[0] * result.shape[1]
    if mask is not None:
        margin = max(LEAST_MARGIN_PX, round(MARGIN * face_px))
        kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
        outside = (cv2.dilate((mask > 0.0).astype(np.uint8), kernel) == 0).astype(np.uint8)
        count = cv2.countNonZero(outside)
    if count == 0:
        return float("nan")
    distance = float(cv2.norm(result, footage, cv2.NORM_L2, outside))
    return float(distance * distance / (3.0 * count))


def psnr_db(mean_squared_error: float) -> float:
    """Return the peak signal-to-noise ratio of 8 bits, dB, at most BEST_DB."""
    if math.isnan(mean_squared_error):
        return float("nan")
    least = 255.0**2 / 10.0 ** (BEST_DB / 10.0)
    return 10.0 * math.log10(255.0**2 / max(mean_squared_error, least))


def whereabouts(faces: Sequence[Points], size_wh: tuple[int, int]) -> FloatImage:
    """Return where faces may have been painted, (H, W): their boxes, twice as large.

    Args:
        faces: (68, 2) each, frame pixels.
        size_wh: Of the frame.
    """
    area = np.zeros((size_wh[1], size_wh[0]), np.float32)
    for points in faces:
        side = float(np.ptp(points, axis=0).max())
        left, top, right, bottom = bounding_box(points, size_wh, pad=side / 2.0)
        area[top:bottom, left:right] = 1.0
    return area


def mask_from_difference(
    result: RgbImage, footage: RgbImage, landmarks: Points, face_px: float
) -> FloatImage:
    """Return what seems to have been painted, (H, W): where the pictures differ near the face.

    If they hardly do, it is the hull of the landmarks.

    Args:
        result: (H, W, 3), a part of the frame.
        footage: (H, W, 3), the same part.
        landmarks: (68, 2), its pixels.
        face_px: Side of the mean face's unit square, pixels.
    """
    size_wh = (result.shape[1], result.shape[0])
    hull = hull_mask(landmarks, size_wh) > 127
    soft = cv2.GaussianBlur(cv2.absdiff(result, footage).max(axis=2), (0, 0), 2.0)
    side = max(3, round(0.08 * face_px))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    joined = cv2.morphologyEx((soft > SEEN).astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    filled = _largest(joined)
    share = float(filled[hull].mean()) if hull.any() else 0.0
    drawn = (filled if share >= LEAST_SHARE else hull).astype(np.float32)
    return feather(drawn, width_px=SOFT * face_px)


def _largest(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the largest island, its holes filled."""
    filled = np.zeros_like(mask)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if contours:
        cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, (1,), cv2.FILLED)
    return np.asarray(filled > 0, np.bool_)
