"""Square, turned regions of a frame, and how they are cut out for a net."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.types import RgbImage


@dataclass(frozen=True)
class Region:
    """A square of a frame."""

    centre: NDArray[np.float64]
    """(2,), frame pixels."""
    side_px: float
    """More than 0."""
    roll_deg: float
    """How far its own x axis is turned from the frame's, clockwise as seen."""

    def crop_from_frame(self, crop_px: int) -> Similarity:
        """Return the transform to the pixels of a crop of that side."""
        scale, angle = crop_px / self.side_px, math.radians(self.roll_deg)
        cos, sin = scale * math.cos(angle), scale * math.sin(angle)
        linear = np.array([[cos, sin], [-sin, cos]])
        return Similarity(np.column_stack([linear, (crop_px - 1) / 2 - linear @ self.centre]))


def cut(frame: RgbImage, region: Region, crop_px: int) -> RgbImage:
    """Return the region as an upright crop; beyond the frame its last pixels are repeated.

    What shrinks is first averaged over k x k pixels, k a whole number, which is several
    times faster than the Gaussian of `warp`; that one does the rest, at most a factor of 2.

    Args:
        frame: (H, W, 3).
        region: In pixels of `frame`.
        crop_px: Side of the crop.

    Returns:
        (crop_px, crop_px, 3).
    """
    shrink = max(1, int(region.side_px / crop_px))
    half_px = region.side_px * math.sqrt(0.5) + 4 * shrink  # half a diagonal, and a margin
    limit = np.array(frame.shape[1::-1])
    low = np.clip(np.floor(region.centre - half_px), 0, np.maximum(limit - shrink, 0)).astype(int)
    high = np.clip(np.ceil(region.centre + half_px), low + shrink, limit).astype(int)
    small_wh = np.maximum((high - low) // shrink, 1)
    high = np.minimum(low + small_wh * shrink, limit)  # less than k pixels, at the border only
    part = frame[low[1] : high[1], low[0] : high[0]]
    if (high - low != small_wh * shrink).any():
        shrink = 1  # a sliver of a frame, thinner than k
    elif shrink > 1:
        size_wh = int(small_wh[0]), int(small_wh[1])
        part = np.asarray(cv2.resize(part, dsize=size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    # A resize keeps corners, so that the centres of pixels move by (k - 1) / 2.
    corner = low + (shrink - 1) / 2
    frame_from_part = Similarity(np.column_stack([np.eye(2) * shrink, corner]))
    crop_from_part = region.crop_from_frame(crop_px).after(frame_from_part)
    return np.asarray(warp(part, crop_from_part, size_wh=(crop_px, crop_px)), np.uint8)
